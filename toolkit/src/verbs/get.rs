//! `micro get service`: what the registry knows of one.

use async_trait::async_trait;
use clap::{Arg, ArgMatches, Command};
use micro::registry::{Endpoint, ServiceRecord};

use super::message::word;
use super::output::Output;
use crate::failure::{Failure, Outcome};
use crate::json;
use crate::screen::{Paint, Palette, Screen, harmless};
use crate::shape::{Branch, tree};
use crate::table::{Cell, Table};
use crate::verb::{Session, Verb};

pub(crate) struct Get;

#[async_trait(?Send)]
impl Verb for Get {
    fn command(&self) -> Command {
        Command::new("get")
            .about("Shows a service: versions, nodes and endpoints")
            .arg(
                Arg::new("what")
                    .value_name("WHAT")
                    .required(true)
                    .value_parser(["service"])
                    .help("What to show"),
            )
            .arg(
                Arg::new("service")
                    .value_name("SERVICE")
                    .required(true)
                    .help("The service's name"),
            )
            .arg(Output::text_or_json())
            .after_help("Examples:\n  micro get service greeter\n  micro get service greeter --output json")
    }

    async fn run(&self, words: &ArgMatches, session: &mut Session) -> Outcome {
        let records = session.network.service(word(words, "service")).await?;
        let screen = &mut session.screen;
        if Output::of(words) == Output::Json {
            return print_json(screen, &records);
        }
        for (number, record) in records.iter().enumerate() {
            if number > 0 {
                screen.line("")?;
            }
            print(screen, record)?;
        }
        Ok(())
    }
}

/// Prints records as Go Micro writes them.
pub(super) fn print_json(screen: &mut Screen, records: &[ServiceRecord]) -> Outcome {
    let text = serde_json::to_string(records)
        .map_err(|error| Failure::usage(format!("the record cannot be written as JSON: {error}")))?;
    screen.line(json::indented(&text, screen.palette))?;
    Ok(())
}

fn print(screen: &mut Screen, record: &ServiceRecord) -> Outcome {
    let palette = screen.palette;
    screen.line(format!(
        "{} {}",
        palette.paint(Paint::Title, "service"),
        palette.paint(Paint::Name, harmless(&record.name))
    ))?;
    screen.line(format!(
        "{} {}",
        palette.paint(Paint::Title, "version"),
        harmless(&record.version)
    ))?;
    for (name, value) in &record.metadata {
        screen.line(format!("{}={}", harmless(name), harmless(value)))?;
    }
    screen.line("")?;
    let mut nodes = Table::new(&["NODE", "ADDRESS", "METADATA"]).whole(&[1]);
    for node in &record.nodes {
        let metadata: Vec<String> = node
            .metadata
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        nodes.row([
            Cell::painted(&node.id, Paint::Name),
            node.address.as_str().into(),
            metadata.join(" ").into(),
        ]);
    }
    for line in nodes.lines(palette, screen.width) {
        screen.line(line)?;
    }
    for endpoint in &record.endpoints {
        screen.line("")?;
        print_endpoint(screen, endpoint)?;
    }
    Ok(())
}

/// An endpoint's name, what it is for, and its shapes.
pub(super) fn print_endpoint(screen: &mut Screen, endpoint: &Endpoint) -> Outcome {
    let palette = screen.palette;
    let kind = kind(endpoint);
    screen.line(format!(
        "{}{}",
        palette.paint(Paint::Title, harmless(&endpoint.name)),
        palette.paint(Paint::Quiet, kind)
    ))?;
    let description = endpoint.metadata.get("description").map(String::as_str);
    for line in description.unwrap_or_default().lines() {
        screen.line(bar(palette, &harmless(line)))?;
    }
    for (name, value) in endpoint
        .metadata
        .iter()
        .filter(|(name, _)| !is_shown_otherwise(name))
    {
        screen.line(bar(palette, &harmless(&format!("{name}={value}"))))?;
    }
    let branches = [
        Branch::message("request", endpoint.request.as_ref()),
        Branch::message("response", endpoint.response.as_ref()),
    ];
    for line in tree(&branches, palette) {
        screen.line(line)?;
    }
    Ok(())
}

fn bar(palette: Palette, text: &str) -> String {
    format!("{} {text}", palette.paint(Paint::Quiet, "│"))
}

fn kind(endpoint: &Endpoint) -> String {
    if let Some(topic) = endpoint.metadata.get("topic") {
        return format!("  listens to {}", harmless(topic));
    }
    if is_stream(endpoint) { "  stream" } else { "" }.to_owned()
}

pub(super) fn is_stream(endpoint: &Endpoint) -> bool {
    endpoint
        .metadata
        .get("stream")
        .is_some_and(|value| value == "true")
}

fn is_shown_otherwise(name: &str) -> bool {
    matches!(
        name,
        "description" | "example" | "stream" | "topic" | "subscriber"
    )
}
