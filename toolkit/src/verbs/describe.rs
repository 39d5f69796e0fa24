//! `micro describe`: how to call a service.

use async_trait::async_trait;
use clap::{Arg, ArgMatches, Command};
use micro::registry::{Endpoint, ServiceRecord};

use super::get::{is_stream, print_endpoint, print_json};
use super::message::word;
use super::output::Output;
use crate::failure::{Failure, Outcome};
use crate::json;
use crate::screen::{Paint, Screen, harmless};
use crate::shape;
use crate::verb::{Session, Verb};

pub(crate) struct Describe;

#[async_trait(?Send)]
impl Verb for Describe {
    fn command(&self) -> Command {
        Command::new("describe")
            .about("Shows how to call a service: each endpoint with its messages and an example")
            .arg(
                Arg::new("service")
                    .value_name("SERVICE")
                    .required(true)
                    .help("The service's name"),
            )
            .arg(
                Arg::new("endpoint")
                    .value_name("ENDPOINT")
                    .help("Only this endpoint"),
            )
            .arg(Output::text_or_json())
            .after_help("Examples:\n  micro describe greeter\n  micro describe greeter Greeter.Hello")
    }

    async fn run(&self, words: &ArgMatches, session: &mut Session) -> Outcome {
        let service = word(words, "service");
        let mut records = session.network.service(service).await?;
        if let Some(wanted) = words.get_one::<String>("endpoint") {
            for record in &mut records {
                record.endpoints.retain(|endpoint| endpoint.name == *wanted);
            }
            records.retain(|record| !record.endpoints.is_empty());
            if records.is_empty() {
                let what = format!("{service} has no endpoint {wanted}");
                return Err(Failure::not_found(what).try_this(format!("micro describe {service}")));
            }
        }
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

fn print(screen: &mut Screen, record: &ServiceRecord) -> Outcome {
    let palette = screen.palette;
    screen.line(format!(
        "{} {}",
        palette.paint(Paint::Name, harmless(&record.name)),
        palette.paint(Paint::Quiet, format!("version {}", harmless(&record.version)))
    ))?;
    if record.endpoints.is_empty() {
        screen.line("registers no endpoints; it may have some all the same")?;
    }
    for endpoint in &record.endpoints {
        screen.line("")?;
        print_endpoint(screen, endpoint)?;
        if endpoint.metadata.contains_key("topic") {
            continue;
        }
        let line = format!("  {}", example_line(&record.name, endpoint));
        screen.line(palette.paint(Paint::Good, line))?;
    }
    Ok(())
}

/// The command that calls an endpoint, with a request to be changed.
pub(crate) fn example_line(service: &str, endpoint: &Endpoint) -> String {
    let verb = if is_stream(endpoint) { "stream" } else { "call" };
    format!(
        "micro {verb} {} {} {}",
        quoted(&harmless(service)),
        quoted(&harmless(&endpoint.name)),
        quoted(&harmless(&example(endpoint)))
    )
}

/// A request of this endpoint: the one that the service states, or else one made of its shape.
pub(crate) fn example(endpoint: &Endpoint) -> String {
    let stated = endpoint.metadata.get("example");
    match stated.filter(|text| json::check(text).is_ok()) {
        Some(text) => json::compact(text),
        None => shape::example(endpoint.request.as_ref()),
    }
}

/// A word as a shell takes it.
fn quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_can_be_pasted() {
        let mut endpoint = Endpoint {
            name: "Greeter.Hello".into(),
            ..Endpoint::default()
        };
        assert_eq!(
            example_line("greeter", &endpoint),
            "micro call greeter Greeter.Hello '{}'"
        );
        endpoint.metadata.insert("stream".into(), "true".into());
        endpoint
            .metadata
            .insert("example".into(), r#"{ "name": "O'Hara" }"#.into());
        assert_eq!(
            example_line("my greeter", &endpoint),
            r#"micro stream 'my greeter' Greeter.Hello '{"name":"O'\''Hara"}'"#
        );
    }
}
