//! Where Consul's agents are, and how to speak with them.

use std::fmt;
use std::time::Duration;

use micro_core::Result;
use micro_core::registry::server_uri;
use micro_core::transport::http::Identity;

use crate::error::{Role, misconfigured};

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

/// How to speak TLS with Consul. All texts are PEM.
#[derive(Clone, Default)]
pub struct ConsulTls {
    /// The authorities whose agents are believed.
    pub authorities: Vec<u8>,
    /// What this side shows, for an agent with `verify_incoming`.
    pub identity: Option<Identity>,
    /// The name that the agent must prove, when it is not the host of its address.
    pub server_name: Option<String>,
}

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
            uri(address, false, role)?;
        }
        Ok(agents)
    }

    /// The addresses of all agents, whole: `http://127.0.0.1:8500`.
    pub(crate) fn uris(&self, role: Role) -> Result<Vec<String>> {
        if self.addresses.is_empty() {
            return Err(misconfigured(
                role,
                "there is no agent; name one such as 127.0.0.1:8500",
            ));
        }
        let times = [self.connect_timeout, self.request_timeout, self.watch_wait];
        if times.into_iter().any(|time| time.is_zero()) {
            return Err(misconfigured(
                role,
                "a time of zero lets nothing happen; give at least a millisecond",
            ));
        }
        let uris = self.addresses.iter();
        let uris = uris.map(|address| uri(address, self.tls.is_some(), role));
        let uris = uris.collect::<Result<Vec<String>>>()?;
        let encrypted = uris.iter().find(|uri| uri.starts_with("https"));
        if let (Some(uri), None) = (encrypted, &self.tls) {
            return Err(misconfigured(
                role,
                format!(
                    "{uri} wants TLS, but no authority to believe is configured; set `tls`, or CONSUL_CACERT to a PEM file"
                ),
            ));
        }
        if let (Some(uri), Some(_)) = (uris.iter().find(|uri| uri.starts_with("http:")), &self.tls) {
            return Err(misconfigured(
                role,
                format!("{uri} is not encrypted though TLS is configured; write https:// or leave out `tls`"),
            ));
        }
        Ok(uris)
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

impl fmt::Debug for ConsulTls {
    // The key is left out.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ConsulTls")
            .field("server_name", &self.server_name)
            .field("shows_certificate", &self.identity.is_some())
            .finish_non_exhaustive()
    }
}

fn uri(address: &str, is_encrypted: bool, role: Role) -> Result<String> {
    let uri = server_uri(address, 8500, is_encrypted);
    uri.map_err(|why| match role {
        Role::Registry => misconfigured(role, why),
        Role::Config => misconfigured(role, why.trim_start_matches("registry ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_leave_out_what_is_usual() {
        let rows = [
            ("127.0.0.1", "http://127.0.0.1:8500"),
            ("consul.example:18500", "http://consul.example:18500"),
            (" http://consul/ ", "http://consul:8500"),
            ("https://consul:8501", "https://consul:8501"),
            ("[::1]:99", "http://[::1]:99"),
            ("::1", "http://[::1]:8500"),
            (":99", "http://127.0.0.1:99"),
        ];
        for (address, expected) in rows {
            assert_eq!(uri(address, false, Role::Registry).unwrap(), expected);
        }
        assert_eq!(
            uri("consul", true, Role::Registry).unwrap(),
            "https://consul:8500"
        );
        for address in [
            "",
            "ftp://consul",
            "consul:x",
            "consul:0",
            "consul:99999",
            "a b",
            "me@consul",
            "consul/path",
        ] {
            let error = ConsulAgents::from_addresses(&[address.to_owned()], Role::Config).unwrap_err();
            assert_eq!(error.id(), "go.micro.config");
            assert!(
                error.detail().contains(&format!("{:?}", address.trim())),
                "{error}"
            );
        }
    }

    #[test]
    fn an_encrypted_agent_needs_an_authority_and_a_plain_one_none() {
        let uris = |agent: &str, tls| {
            let agents = ConsulAgents {
                addresses: vec![agent.to_owned()],
                tls,
                ..ConsulAgents::default()
            };
            agents.uris(Role::Registry)
        };
        let error = uris("https://consul", None).unwrap_err();
        assert!(error.detail().contains("CONSUL_CACERT"), "{error}");
        assert!(uris("http://consul", Some(ConsulTls::default())).is_err());
        assert_eq!(
            uris("consul", Some(ConsulTls::default())).unwrap(),
            ["https://consul:8500"]
        );
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
