//! How events go over NATS.

use std::time::Duration;

use micro_core::Result;
use micro_nats_connection::{NatsServers, Role};

use crate::error;

/// How events go over NATS. The default meets Go Micro's services at a server of this machine.
#[derive(Debug, Clone)]
pub struct NatsConfig {
    /// Where the servers are, and how to speak with them.
    pub servers: NatsServers,
    /// How long a publish may take, also while no server is there. Default: 10 s.
    pub publish_timeout: Duration,
    /// How many publishes may wait for their confirmation; more wait to be sent. Default: 1024.
    pub max_pending: usize,
    /// Keeps events in JetStream, so that none is lost. Default: none, as Go Micro.
    pub jetstream: Option<JetStream>,
}

/// How events are kept in JetStream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JetStream {
    /// The name of the stream of the [`subjects`](Self::subjects), or without those what the names of the topics' own
    /// streams begin with. Default: `micro`.
    pub stream: String,
    /// The topics that one stream keeps, with NATS' wildcards: `orders.>`. A stream of the name that is there already is
    /// taken as it is. Default: none, each topic that no stream keeps gets one of its own.
    pub subjects: Vec<String>,
    /// Where new streams keep events. Default: files.
    pub storage: Storage,
    /// How many servers of a cluster keep each event of new streams: 1, 3 or 5. Default: 1.
    pub replicas: usize,
    /// After what time new streams forget an event that nobody acknowledged. Default: 7 days.
    pub max_age: Duration,
    /// After what time an event comes again whose subscriber is gone without a word. Subscribers that still work on one
    /// say so in time. Default: 30 s.
    pub ack_wait: Duration,
    /// After what time the server forgets a subscription without a queue whose process is gone. Default: 5 min.
    pub forget_after: Duration,
}

/// Where a stream keeps its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// On disk: they survive restarts of the server.
    File,
    /// In the server's memory.
    Memory,
}

impl Default for NatsConfig {
    fn default() -> Self {
        Self {
            servers: NatsServers::default(),
            publish_timeout: Duration::from_secs(10),
            max_pending: 1024,
            jetstream: None,
        }
    }
}

impl Default for JetStream {
    fn default() -> Self {
        Self {
            stream: "micro".to_owned(),
            subjects: Vec::new(),
            storage: Storage::File,
            replicas: 1,
            max_age: Duration::from_secs(7 * 24 * 60 * 60),
            ack_wait: Duration::from_secs(30),
            forget_after: Duration::from_secs(5 * 60),
        }
    }
}

impl NatsConfig {
    /// Takes the texts of `--broker_address` as the servers' addresses. None: the default.
    ///
    /// # Errors
    ///
    /// When a text is no address.
    pub fn from_addresses(addresses: &[String]) -> Result<Self> {
        Ok(Self {
            servers: NatsServers::from_addresses(addresses, Role::Broker)?,
            ..Self::default()
        })
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.publish_timeout.is_zero() || self.max_pending == 0 {
            return Err(error::misconfigured(
                "with a `publish_timeout` of zero, or none that may be pending, nothing can be published",
            ));
        }
        let Some(jetstream) = &self.jetstream else {
            return Ok(());
        };
        let is_name = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '_';
        if jetstream.stream.is_empty()
            || jetstream.stream.len() > 32
            || !jetstream.stream.chars().all(is_name)
        {
            return Err(error::misconfigured(format!(
                "{:?} is no name of a stream; use up to 32 letters, digits, dashes and underscores",
                jetstream.stream
            )));
        }
        if jetstream.ack_wait < Duration::from_millis(100) || jetstream.forget_after.is_zero() {
            return Err(error::misconfigured(
                "an `ack_wait` below 100 ms, or a `forget_after` of zero, leaves no time to work",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        let with = |jetstream| NatsConfig {
            jetstream: Some(jetstream),
            ..NatsConfig::default()
        };
        assert!(with(JetStream::default()).check().is_ok());
        for stream in ["", "a.b", "a b", "x*"] {
            let stream = stream.to_owned();
            let error = with(JetStream {
                stream,
                ..JetStream::default()
            })
            .check()
            .unwrap_err();
            assert!(error.detail().contains("name of a stream"), "{error}");
        }
        let ack_wait = Duration::ZERO;
        assert!(
            with(JetStream {
                ack_wait,
                ..JetStream::default()
            })
            .check()
            .is_err()
        );
        let none = NatsConfig {
            max_pending: 0,
            ..NatsConfig::default()
        };
        assert!(none.check().is_err());
    }
}
