//! `micro deregister service`: takes a record out.

use async_trait::async_trait;
use clap::{ArgMatches, Command};
use micro::ErrorKind;

use super::register::{arguments, lives_with_its_process, record, tell};
use crate::failure::{Code, Failure, Outcome};
use crate::screen::harmless;
use crate::verb::{Place, Session, Verb};

pub(crate) struct Deregister;

#[async_trait(?Send)]
impl Verb for Deregister {
    fn command(&self) -> Command {
        Command::new("deregister")
            .about("Takes the nodes of a record out of the registry")
            .args(arguments())
            .after_help(
                "Some registries, such as mdns, keep records in the process that registered them; only that process \
                 can take them out.\n\nExamples:\n  \
                 micro deregister service \\\n    '{\"name\":\"legacy\",\"version\":\"1\",\"nodes\":[{\"id\":\"legacy-1\",\"address\":\"10.0.0.7:8080\"}]}'",
            )
    }

    async fn run(&self, words: &ArgMatches, session: &mut Session) -> Outcome {
        let record = record(words, session).await?;
        let registry = session.network.registry().await?.clone();
        let deregistered = session.network.limited(registry.deregister(&record)).await?;
        deregistered.map_err(|error| Failure::of(&error).try_this("micro doctor"))?;
        // To take out what is not there succeeds, so that only a look tells whether it did.
        let left = match session
            .network
            .limited(registry.get_service(&record.name))
            .await?
        {
            Ok(records) => records,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Failure::of(&error)),
        };
        let versions = left.iter().filter(|known| known.version == record.version);
        let known: Vec<&str> = versions
            .flat_map(|known| &known.nodes)
            .map(|node| node.id.as_str())
            .collect();
        let mut ids = record.nodes.iter().map(|node| node.id.as_str());
        let Some(id) = ids.find(|id| known.contains(id)) else {
            return tell(session, &record, "deregistered");
        };
        let what = format!(
            "node {} of {} is still registered",
            harmless(id),
            harmless(&record.name)
        );
        let failure = Failure::new(Code::Failed, what);
        Err(match lives_with_its_process(registry.as_ref()) {
            true if session.place == Place::Process => failure.try_this(format!(
                "end the process that registered it: {} records live there",
                registry.name()
            )),
            _ => failure.try_this("end the process that keeps registering it"),
        })
    }
}
