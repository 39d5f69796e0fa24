//! Where Consul's agents are, and how to speak with them.

use std::fmt;
use std::time::Duration;

use micro_consul_connection::{ConsulAgents, ConsulTls, Role};
use micro_core::Result;

use crate::error;

/// How to reach Consul. The default meets Go Micro's services at the agent of this machine.
#[derive(Clone)]
pub struct ConsulConfig {
    /// The agents, each as `host`, `host:port`, `http://host:port` or `https://host:port`. One is used until it fails,
    /// then the next. Without a port, 8500; without a scheme, `https` if there is [`tls`](Self::tls). Default:
    /// `127.0.0.1:8500`.
    pub agents: Vec<String>,
    /// The ACL token, sent as the header `X-Consul-Token`. Default: none.
    pub token: Option<String>,
    /// The datacenter that is looked into. Registering is always in the agent's own. Default: the agent's own.
    pub datacenter: Option<String>,
    /// Whom to believe and what to show where an agent is `https`. Default: none.
    pub tls: Option<ConsulTls>,
    /// Lets the agent try a TCP connection to the node this often, in place of waiting for the node to register again.
    /// A node is not found before the first try. Default: none.
    pub tcp_check: Option<Duration>,
    /// Registers nodes as native to Consul's service mesh, and looks up those that are in it. Default: no.
    pub connect: bool,
    /// How long connecting to one agent may take. Default: 2 s.
    pub connect_timeout: Duration,
    /// How long a request may take, all agents together. At most a day. Default: 5 s.
    pub request_timeout: Duration,
    /// How long Consul may hold back the answer to a watch while nothing changes. A connection that fell silent is given
    /// up after this time, a sixteenth of it, and [`request_timeout`](Self::request_timeout). At most 10 min. Default:
    /// 15 s.
    pub watch_wait: Duration,
}

impl Default for ConsulConfig {
    fn default() -> Self {
        let connection = ConsulAgents::default();
        Self {
            agents: connection.addresses,
            token: None,
            datacenter: None,
            tls: None,
            tcp_check: None,
            connect: false,
            connect_timeout: connection.connect_timeout,
            request_timeout: connection.request_timeout,
            watch_wait: connection.watch_wait,
        }
    }
}

impl ConsulConfig {
    /// Takes the texts of `--registry_address` as [`agents`](Self::agents). None: the default.
    ///
    /// # Errors
    ///
    /// When a text is no address.
    pub fn from_addresses(addresses: &[String]) -> Result<Self> {
        let connection = ConsulAgents::from_addresses(addresses, Role::Registry)?;
        Ok(Self {
            agents: connection.addresses,
            ..Self::default()
        })
    }

    pub(crate) fn check(&self) -> Result<()> {
        match self.tcp_check {
            Some(Duration::ZERO) => Err(error::misconfigured(
                "a time of zero lets nothing happen; give at least a millisecond",
            )),
            _ => Ok(()),
        }
    }

    pub(crate) fn connection(&self) -> ConsulAgents {
        ConsulAgents {
            addresses: self.agents.clone(),
            token: self.token.clone(),
            datacenter: self.datacenter.clone(),
            namespace: None,
            tls: self.tls.clone(),
            connect_timeout: self.connect_timeout,
            request_timeout: self.request_timeout,
            watch_wait: self.watch_wait,
        }
    }
}

impl fmt::Debug for ConsulConfig {
    // The token is left out.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ConsulConfig")
            .field("agents", &self.agents)
            .field("has_token", &self.token.is_some())
            .field("datacenter", &self.datacenter)
            .field("tls", &self.tls)
            .field("tcp_check", &self.tcp_check)
            .field("connect", &self.connect)
            .field("connect_timeout", &self.connect_timeout)
            .field("request_timeout", &self.request_timeout)
            .field("watch_wait", &self.watch_wait)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_not_zero_and_the_token_stays_unseen() {
        let config = ConsulConfig {
            token: Some("secret".into()),
            tcp_check: Some(Duration::ZERO),
            ..ConsulConfig::default()
        };
        assert!(config.check().is_err());
        assert!(!format!("{config:?}").contains("secret"));
    }
}
