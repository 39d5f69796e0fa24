//! `micro list services` and `micro services`: who is there.

use std::collections::BTreeMap;

use async_trait::async_trait;
use clap::{Arg, ArgMatches, Command};
use serde_json::json;

use super::output::Output;
use crate::failure::Outcome;
use crate::json;
use crate::screen::{harmless, remark};
use crate::verb::{Session, Verb};

pub(crate) struct List;

#[async_trait(?Send)]
impl Verb for List {
    fn command(&self) -> Command {
        Command::new("list")
            .about("Lists the services by name")
            .arg(
                Arg::new("what")
                    .value_name("WHAT")
                    .default_value("services")
                    .value_parser(["services"])
                    .help("What to list"),
            )
            .arg(Output::text_or_json())
            .after_help("Examples:\n  micro list services\n  micro list services --output json")
    }

    async fn run(&self, words: &ArgMatches, session: &mut Session) -> Outcome {
        list(words, session).await
    }
}

pub(crate) struct Services;

#[async_trait(?Send)]
impl Verb for Services {
    fn command(&self) -> Command {
        Command::new("services")
            .about("Lists the services by name, as `list services` does")
            .arg(Output::text_or_json())
            .after_help("Examples:\n  micro services")
    }

    async fn run(&self, words: &ArgMatches, session: &mut Session) -> Outcome {
        list(words, session).await
    }
}

async fn list(words: &ArgMatches, session: &mut Session) -> Outcome {
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in session.network.services().await? {
        let versions = names.entry(record.name).or_default();
        if !versions.contains(&record.version) {
            versions.push(record.version);
        }
    }
    let screen = &mut session.screen;
    if Output::of(words) == Output::Json {
        let services: Vec<_> = names
            .iter()
            .map(|(name, versions)| json!({ "name": name, "versions": versions }))
            .collect();
        screen.line(json::indented(&json!(services).to_string(), screen.palette))?;
        return Ok(());
    }
    for name in names.keys() {
        screen.line(harmless(name))?;
    }
    if names.is_empty() {
        remark("no services are known here; `micro doctor` tells whether that is right");
    }
    Ok(())
}
