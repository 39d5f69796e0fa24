//! `micro register service`: a record for what cannot register itself.

use std::time::Duration;

use async_trait::async_trait;
use clap::{Arg, ArgMatches, Command};
use micro::Registry;
use micro::registry::{RegisterOptions, ServiceRecord};

use super::message::{self, word};
use crate::ending::Ending;
use crate::failure::{Failure, Outcome};
use crate::screen::{Paint, harmless, remark};
use crate::verb::{Place, Session, Verb};

const EXAMPLE: &str = r#"'{"name":"legacy","version":"1","nodes":[{"id":"legacy-1","address":"10.0.0.7:8080","metadata":{"protocol":"mucp"}}]}'"#;

pub(crate) struct Register;

#[async_trait(?Send)]
impl Verb for Register {
    fn command(&self) -> Command {
        Command::new("register")
            .about("Registers a record, for a service that cannot do so itself")
            .args(arguments())
            .after_help(format!(
                "Some registries, such as mdns, keep records in the process that registers them. There this command \
                 goes on until Ctrl-C, and takes the record out then.\n\n\
                 Examples:\n  micro register service \\\n    {EXAMPLE}\n  micro register service - < record.json"
            ))
    }

    async fn run(&self, words: &ArgMatches, session: &mut Session) -> Outcome {
        let record = record(words, session).await?;
        for node in &record.nodes {
            if !node.metadata.contains_key("protocol") {
                remark(&format!(
                    "warning: node {} has no metadata `protocol`, so Go Micro's callers will speak an old protocol \
                     to it; give it {{\"protocol\":\"mucp\"}}",
                    node.id
                ));
            }
        }
        let registry = session.network.registry().await?.clone();
        let is_held = lives_with_its_process(registry.as_ref());
        let registration = session.network.settings().service.registration;
        // What is held is refreshed, so that it lapses when this process is killed.
        let ttl = (is_held && session.place == Place::Process).then_some(registration.ttl);
        register(session, registry.as_ref(), &record, RegisterOptions { ttl }).await?;
        tell(session, &record, "registered")?;
        if !is_held {
            return Ok(());
        }
        if session.place == Place::Shell {
            session
                .screen
                .line("it stays registered until `deregister` or the end of the shell")?;
            return Ok(());
        }
        let ending = Ending::new()?;
        session.screen.line(format!(
            "{} keeps it in this process: Ctrl-C takes it out",
            registry.name()
        ))?;
        hold(
            session,
            registry.as_ref(),
            &record,
            registration.interval,
            ttl,
            ending,
        )
        .await;
        let gone = session.network.limited(registry.deregister(&record)).await?;
        gone.map_err(|error| Failure::of(&error))?;
        tell(session, &record, "deregistered")
    }
}

/// The words of both verbs that take a record.
pub(super) fn arguments() -> [Arg; 2] {
    [
        Arg::new("what")
            .value_name("WHAT")
            .required(true)
            .value_parser(["service"])
            .help("What the record is of"),
        Arg::new("record").value_name("JSON").required(true).help(
            "The record, as `micro get service NAME --output json` prints it; `-` reads standard input",
        ),
    ]
}

/// Whether records are gone when the process ends that registered them.
pub(super) fn lives_with_its_process(registry: &dyn Registry) -> bool {
    matches!(registry.name(), "mdns" | "memory")
}

/// The record of the words, complete enough to be registered.
pub(super) async fn record(words: &ArgMatches, session: &Session) -> Outcome<ServiceRecord> {
    let text = match word(words, "record") {
        "-" => message::standard_input(session).await?,
        text => text.to_owned(),
    };
    read(&text).map_err(|problem| {
        Failure::usage(format!("the record cannot be used: {problem}"))
            .try_this(format!("micro register service {EXAMPLE}"))
    })
}

/// One record; or the list with one record that `get service --output json` prints.
fn read(text: &str) -> Result<ServiceRecord, String> {
    let record: ServiceRecord = if text.trim_start().starts_with('[') {
        let records: Vec<ServiceRecord> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        match <[ServiceRecord; 1]>::try_from(records) {
            Ok([record]) => record,
            Err(records) => return Err(format!("it is a list of {} records, not of one", records.len())),
        }
    } else {
        serde_json::from_str(text).map_err(|error| error.to_string())?
    };
    if record.name.is_empty() {
        return Err("it has no name".to_owned());
    }
    if record.nodes.is_empty() {
        return Err("it has no nodes".to_owned());
    }
    for node in &record.nodes {
        if node.id.is_empty() || node.address.is_empty() {
            return Err("each node needs an id and an address".to_owned());
        }
    }
    Ok(record)
}

async fn register(
    session: &Session,
    registry: &dyn Registry,
    record: &ServiceRecord,
    options: RegisterOptions,
) -> Outcome {
    let registered = session
        .network
        .limited(registry.register(record, options))
        .await?;
    registered.map_err(|error| Failure::of(&error).try_this("micro doctor"))
}

/// Refreshes the record until the process is told to end.
async fn hold(
    session: &Session,
    registry: &dyn Registry,
    record: &ServiceRecord,
    interval: Duration,
    ttl: Option<Duration>,
    mut ending: Ending,
) {
    loop {
        tokio::select! {
            () = ending.told() => return,
            () = tokio::time::sleep(interval) => {
                // The next refresh may succeed; until then the record lives on.
                if let Err(failure) = register(session, registry, record, RegisterOptions { ttl }).await {
                    failure.print();
                }
            }
        }
    }
}

pub(super) fn tell(session: &mut Session, record: &ServiceRecord, what: &str) -> Outcome {
    let screen = &mut session.screen;
    for node in &record.nodes {
        screen.line(format!(
            "{} {} version {}: node {} at {}",
            screen.palette.paint(Paint::Good, what),
            harmless(&record.name),
            harmless(&record.version),
            harmless(&node.id),
            harmless(&node.address),
        ))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_a_record_and_a_list_of_one_will_do() {
        let text = EXAMPLE.trim_matches('\'');
        assert_eq!(read(text).unwrap().nodes[0].id, "legacy-1");
        assert_eq!(read(&format!("[{text}]")).unwrap().name, "legacy");
        let refused = [
            ("[]", "a list of 0"),
            ("{}", "no name"),
            (r#"{"name":"a"}"#, "no nodes"),
            (r#"{"name":"a","nodes":[{"id":"1"}]}"#, "an address"),
            ("x", "expected value"),
        ];
        for (text, why) in refused {
            assert!(read(text).unwrap_err().contains(why), "{text}");
        }
    }
}
