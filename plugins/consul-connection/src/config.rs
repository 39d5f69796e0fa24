//! Where Consul's agents are, and how to speak with them.

use std::fmt;
use std::time::Duration;

use micro_core::Result;
use micro_core::backend::{Role, ServerTls, server_uri};

use crate::error::CONSUL;

/// Where an agent listens, unless its address says otherwise.
const PORT: u16 = 8500;

/// How to reach Consul. The default is the agent of this machine.
#[derive(Clone)]
pub struct ConsulAgents {
    /// The agents, each as `host`, `host:port`, `http://host:port` or `https://host:port`. One is used until it fails,
    /// then the next. Without a port, 8500; without a scheme, `https` if there is [`tls`](Self::tls). Default:
    /// `127.0.0.1:8500`.
    pub addresses: Vec<String>,
    /// The ACL token, sent as the header `X-Consul-Token`. Default: none.
    pub token: Option<String>,
    /// The datacenter that is looked into. Default: the agent's own.
    pub datacenter: Option<String>,
    /// The namespace that is looked into, which only Consul Enterprise has. Default: that of the token.
    pub namespace: Option<String>,
    /// Whom to believe and what to show where an agent is `https`. Default: none.
    pub tls: Option<ConsulTls>,
    /// How long connecting to one agent may take. Default: 2 s.
    pub connect_timeout: Duration,
    /// How long a request may take, all agents together. At most a day. Default: 5 s.
    pub request_timeout: Duration,
    /// How long Consul may hold back the answer to a watch while nothing changes. A connection that fell silent is given
    /// up after this time, a sixteenth of it, and [`request_timeout`](Self::request_timeout). At most 10 min. Default:
    /// 15 s.
    pub watch_wait: Duration,
}

/// How to speak TLS with Consul. Agents with `verify_incoming` want an identity.
pub type ConsulTls = ServerTls;

impl Default for ConsulAgents {
    fn default() -> Self {
        Self {
            addresses: vec!["127.0.0.1:8500".to_owned()],
            token: None,
            datacenter: None,
            namespace: None,
            tls: None,
            connect_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(5),
            watch_wait: Duration::from_secs(15),
        }
    }
}

impl ConsulAgents {
    /// Takes texts as [`addresses`](Self::addresses). None: the default.
    ///
    /// # Errors
    ///
    /// When a text is no address.
    pub fn from_addresses(addresses: &[String], role: Role) -> Result<Self> {
        let mut agents = Self::default();
        if !addresses.is_empty() {
            agents.addresses = addresses.to_vec();
        }
        for address in &agents.addresses {
            server_uri(address, PORT, false).map_err(|why| CONSUL.misconfigured(role, why))?;
        }
        Ok(agents)
    }

    /// The addresses of all agents, whole: `http://127.0.0.1:8500`.
    pub(crate) fn uris(&self, role: Role) -> Result<Vec<String>> {
        if self.addresses.is_empty() {
            return Err(CONSUL.misconfigured(role, "there is no agent; name one such as 127.0.0.1:8500"));
        }
        let times = [self.connect_timeout, self.request_timeout, self.watch_wait];
        if times.into_iter().any(|time| time.is_zero()) {
            return Err(CONSUL.misconfigured(
                role,
                "a time of zero lets nothing happen; give at least a millisecond",
            ));
        }
        CONSUL.uris(role, &self.addresses, PORT, self.tls.as_ref())
    }
}

impl fmt::Debug for ConsulAgents {
    // The token is left out.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ConsulAgents")
            .field("addresses", &self.addresses)
            .field("has_token", &self.token.is_some())
            .field("datacenter", &self.datacenter)
            .field("namespace", &self.namespace)
            .field("tls", &self.tls)
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
    fn what_is_no_address_is_told() {
        let error = ConsulAgents::from_addresses(&["consul:x".to_owned()], Role::Config).unwrap_err();
        assert_eq!(error.id(), "go.micro.config");
        assert!(error.detail().contains("\"consul:x\""), "{error}");
    }

    #[test]
    fn an_encrypted_agent_needs_an_authority() {
        let agents = ConsulAgents {
            addresses: vec!["https://consul".to_owned()],
            ..ConsulAgents::default()
        };
        let error = agents.uris(Role::Registry).unwrap_err();
        assert!(error.detail().contains("CONSUL_CACERT"), "{error}");
    }

    #[test]
    fn times_are_not_zero_and_the_token_stays_unseen() {
        let agents = ConsulAgents {
            token: Some("secret".into()),
            watch_wait: Duration::ZERO,
            ..ConsulAgents::default()
        };
        assert!(agents.uris(Role::Registry).is_err());
        assert!(!format!("{agents:?}").contains("secret"));
    }
}
