//! The streams that keep topics, and the names of what is made in JetStream.

use std::fmt::Display;

use async_nats::jetstream::Context;
use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamByNameErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use micro_core::{Error, Result};

use crate::config::{JetStream, Storage};
use crate::error;

const ADVICE: &str = "is JetStream on (nats-server -js), may this user use its API, and is there room?";

pub(crate) struct Streams {
    context: Context,
    config: JetStream,
    servers: String,
}

impl Streams {
    /// Sees to the configured stream, if there is one.
    pub(crate) async fn open(context: Context, config: JetStream, servers: &str) -> Result<Self> {
        let streams = Self {
            context,
            config,
            servers: servers.to_owned(),
        };
        if streams.config.subjects.is_empty() {
            // Whether JetStream is there at all. A stream of this name is not.
            streams.find("micro.no-such-topic").await?;
        } else {
            let name = streams.config.stream.clone();
            let wanted = streams.wanted(name, streams.config.subjects.clone());
            let made = streams.context.get_or_create_stream(wanted).await;
            made.map_err(|problem| {
                streams.failed(format_args!("the stream {:?}", streams.config.stream), problem)
            })?;
        }
        Ok(streams)
    }

    /// The stream that keeps a topic. Makes one where there is none, and one stream for all is not what is configured.
    pub(crate) async fn of_topic(&self, topic: &str) -> Result<String> {
        if let Some(name) = self.find(topic).await? {
            return Ok(name);
        }
        if !self.config.subjects.is_empty() {
            return Err(error::misconfigured(format!(
                "no stream of JetStream at {} keeps the topic {topic:?}; add it to the subjects of the stream {:?}, and \
                 to the option `subjects`",
                self.servers, self.config.stream
            )));
        }
        let name = name_of(&[&self.config.stream, topic]);
        let wanted = self.wanted(name.clone(), vec![topic.to_owned()]);
        match self.context.create_stream(wanted).await {
            Ok(_) => Ok(name),
            Err(problem) => match problem.kind() {
                // Somebody else was quicker, perhaps with other options.
                CreateStreamErrorKind::JetStream(_) => match self.find(topic).await? {
                    Some(name) => Ok(name),
                    None => Err(self.failed(format_args!("the stream of {topic:?}"), problem)),
                },
                _ => Err(self.failed(format_args!("the stream of {topic:?}"), problem)),
            },
        }
    }

    async fn find(&self, topic: &str) -> Result<Option<String>> {
        match self.context.stream_by_subject(topic).await {
            Ok(name) => Ok(Some(name)),
            Err(problem) if problem.kind() == GetStreamByNameErrorKind::NotFound => Ok(None),
            Err(problem) => Err(self.failed(format_args!("the stream of {topic:?}"), problem)),
        }
    }

    fn wanted(&self, name: String, subjects: Vec<String>) -> Config {
        Config {
            name,
            subjects,
            // What all queues have acknowledged is forgotten, and what nobody is subscribed to is not kept.
            retention: RetentionPolicy::Interest,
            discard: DiscardPolicy::Old,
            storage: match self.config.storage {
                Storage::File => StorageType::File,
                Storage::Memory => StorageType::Memory,
            },
            num_replicas: self.config.replicas,
            max_age: self.config.max_age,
            ..Config::default()
        }
    }

    fn failed(&self, what: impl Display, problem: impl Display) -> Error {
        error::jetstream(what, &self.servers, problem, ADVICE)
    }
}

/// A name for something in JetStream, made of texts that may have what no such name has. Different texts have different
/// names.
pub(crate) fn name_of(parts: &[&str]) -> String {
    let plain = |char: char| match char {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => char,
        _ => '_',
    };
    let readable: Vec<String> = parts
        .iter()
        .map(|part| part.chars().take(40).map(plain).collect())
        .collect();
    // FNV-1a over the parts, each with an end that no text has.
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0xff]));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{}-{hash:016x}", readable.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_readable_and_their_own() {
        let name = name_of(&["micro", "orders.new"]);
        assert!(name.starts_with("micro-orders_new-"), "{name}");
        let all = [
            name_of(&["micro", "orders_new"]),
            name_of(&["micro", "orders.new"]),
            name_of(&["microo", "rders.new"]),
            name_of(&["micro", "grüße"]),
            name_of(&["micro", "gr__e"]),
        ];
        let distinct: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert!(name_of(&["a", &"x".repeat(4000)]).len() < 100);
    }
}
