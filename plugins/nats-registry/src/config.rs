//! How services find each other over NATS.

use std::time::Duration;

use micro_core::Result;
use micro_nats_connection::{NatsServers, Role, check_subject};

use crate::error;

/// How services find each other over NATS. The default meets Go Micro's services at a server of this machine.
#[derive(Debug, Clone)]
pub struct NatsRegistryConfig {
    /// Where the servers are, and how to speak with them.
    pub servers: NatsServers,
    /// The subject of questions, which all that are registered answer. Default: `micro.nats.query`, as Go Micro.
    pub query_subject: String,
    /// The subject on which all say what changed. Default: `micro.nats.watch`, as Go Micro.
    pub watch_subject: String,
    /// How long answers are waited for. Where some come late, or none though somebody could answer, a little longer.
    /// Default: 100 ms, as Go Micro.
    pub timeout: Duration,
    /// How often watchers ask who is still there. What does not answer twice is gone, as when its process was killed.
    /// Default: 10 s.
    pub poll_interval: Duration,
    /// How long a look-up or a registration may take, also while no server is there. Default: 5 s.
    pub request_timeout: Duration,
}

impl Default for NatsRegistryConfig {
    fn default() -> Self {
        Self {
            servers: NatsServers::default(),
            query_subject: "micro.nats.query".to_owned(),
            watch_subject: "micro.nats.watch".to_owned(),
            timeout: Duration::from_millis(100),
            poll_interval: Duration::from_secs(10),
            request_timeout: Duration::from_secs(5),
        }
    }
}

impl NatsRegistryConfig {
    /// Takes the texts of `--registry_address` as the servers' addresses. None: the default.
    ///
    /// # Errors
    ///
    /// When a text is no address.
    pub fn from_addresses(addresses: &[String]) -> Result<Self> {
        Ok(Self {
            servers: NatsServers::from_addresses(addresses, Role::Registry)?,
            ..Self::default()
        })
    }

    pub(crate) fn check(&self) -> Result<()> {
        for subject in [&self.query_subject, &self.watch_subject] {
            check_subject(subject)
                .map_err(|why| error::misconfigured(format!("the subject {subject:?} {why}")))?;
        }
        if self.query_subject == self.watch_subject {
            return Err(error::misconfigured(
                "questions and changes have one subject; give them two",
            ));
        }
        let times = [self.timeout, self.poll_interval, self.request_timeout];
        if times.iter().any(Duration::is_zero) {
            return Err(error::misconfigured(
                "a time of zero lets nothing happen; give at least a millisecond",
            ));
        }
        Ok(())
    }
}
