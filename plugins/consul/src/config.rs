//! Where Consul's agents are, and how to speak with them.

use std::fmt;
use std::time::Duration;

use micro_core::Result;
use micro_core::registry::server_uri;
use micro_core::transport::http::Identity;

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

impl Default for ConsulConfig {
    fn default() -> Self {
        Self {
            agents: vec!["127.0.0.1:8500".to_owned()],
            token: None,
            datacenter: None,
            tls: None,
            tcp_check: None,
            connect: false,
            connect_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(5),
            watch_wait: Duration::from_secs(15),
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
        let mut config = Self::default();
        if !addresses.is_empty() {
            config.agents = addresses.to_vec();
        }
        for address in &config.agents {
            uri(address, false)?;
        }
        Ok(config)
    }

    /// The addresses of all agents, whole: `http://127.0.0.1:8500`.
    ///
    /// # Errors
    ///
    /// When the configuration makes no sense.
    pub(crate) fn uris(&self) -> Result<Vec<String>> {
        if self.agents.is_empty() {
            return Err(error::misconfigured(
                "there is no agent; name one such as 127.0.0.1:8500",
            ));
        }
        let times = [self.connect_timeout, self.request_timeout, self.watch_wait];
        if times.into_iter().chain(self.tcp_check).any(|time| time.is_zero()) {
            return Err(error::misconfigured(
                "a time of zero lets nothing happen; give at least a millisecond",
            ));
        }
        let uris = self.agents.iter().map(|address| uri(address, self.tls.is_some()));
        let uris = uris.collect::<Result<Vec<String>>>()?;
        let encrypted = uris.iter().find(|uri| uri.starts_with("https"));
        if let (Some(uri), None) = (encrypted, &self.tls) {
            return Err(error::misconfigured(format!(
                "{uri} wants TLS, but no authority to believe is configured; set `tls`, or CONSUL_CACERT to a PEM file"
            )));
        }
        if let (Some(uri), Some(_)) = (uris.iter().find(|uri| uri.starts_with("http:")), &self.tls) {
            return Err(error::misconfigured(format!(
                "{uri} is not encrypted though TLS is configured; write https:// or leave out `tls`"
            )));
        }
        Ok(uris)
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

fn uri(address: &str, is_encrypted: bool) -> Result<String> {
    server_uri(address, 8500, is_encrypted).map_err(error::misconfigured)
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
            assert_eq!(uri(address, false).unwrap(), expected);
        }
        assert_eq!(uri("consul", true).unwrap(), "https://consul:8500");
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
            let error = ConsulConfig::from_addresses(&[address.to_owned()]).unwrap_err();
            assert!(
                error.detail().contains(&format!("{:?}", address.trim())),
                "{error}"
            );
        }
    }

    #[test]
    fn an_encrypted_agent_needs_an_authority_and_a_plain_one_none() {
        let with = |agent: &str, tls| ConsulConfig {
            agents: vec![agent.to_owned()],
            tls,
            ..ConsulConfig::default()
        };
        let error = with("https://consul", None).uris().unwrap_err();
        assert!(error.detail().contains("CONSUL_CACERT"), "{error}");
        assert!(with("http://consul", Some(ConsulTls::default())).uris().is_err());
        assert_eq!(
            with("consul", Some(ConsulTls::default())).uris().unwrap(),
            ["https://consul:8500"]
        );
    }

    #[test]
    fn times_are_not_zero_and_the_token_stays_unseen() {
        let config = ConsulConfig {
            token: Some("secret".into()),
            watch_wait: Duration::ZERO,
            ..ConsulConfig::default()
        };
        assert!(config.uris().is_err());
        assert!(!format!("{config:?}").contains("secret"));
    }
}
