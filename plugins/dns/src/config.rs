//! Which name servers to ask, and for what.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use micro_core::Result;

use crate::error;

/// What to ask the DNS for. The default asks the system's name servers for `_greeter._tcp.local`, as Go Micro's
/// selector `dns` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsConfig {
    /// The name servers, each as `ip` or `ip:port`; without a port, 53. Default: none, which means those of the
    /// operating system.
    pub name_servers: Vec<String>,
    /// The name that has a service's SRV records. `{service}` stands for the service, `{domain}` for
    /// [`domain`](Self::domain). Default: `_{service}._tcp.{domain}`. Consul has `{service}.service.consul`, a headless
    /// service of Kubernetes `_http._tcp.{service}.default.svc.cluster.local`.
    pub pattern: String,
    /// What `{domain}` stands for. Default: `local`, as Go Micro's.
    pub domain: String,
    /// The version of every service, because DNS tells none. Default: `latest`.
    pub version: String,
    /// The metadata of every node, such as `protocol` = `mucp`. Default: none, so that every client takes the nodes for
    /// ones that it can talk to.
    pub metadata: BTreeMap<String, String>,
    /// Whether to take the IPv6 addresses of a host that has both kinds, instead of the IPv4 ones. Default: no.
    pub prefer_ipv6: bool,
    /// What to do when a service registers. Default: [`Registrations::Ignore`].
    pub registrations: Registrations,
    /// How long one look-up may take, with all of its questions. Default: 5 s.
    pub request_timeout: Duration,
    /// A watch asks again no sooner than this, whatever the time to live of the records. Default: 1 s.
    pub min_refresh: Duration,
    /// A watch asks again no later than this. Default: 60 s.
    pub max_refresh: Duration,
}

/// What a registry that only reads does when a service registers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Registrations {
    /// Succeed without doing anything, and say so in the log once: the records are kept by whoever runs the DNS, such
    /// as Consul or Kubernetes, and a service may start all the same.
    #[default]
    Ignore,
    /// Fail, so that no service starts that believes itself registered.
    Refuse,
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self {
            name_servers: Vec::new(),
            pattern: "_{service}._tcp.{domain}".to_owned(),
            domain: "local".to_owned(),
            version: "latest".to_owned(),
            metadata: BTreeMap::new(),
            prefer_ipv6: false,
            registrations: Registrations::Ignore,
            request_timeout: Duration::from_secs(5),
            min_refresh: Duration::from_secs(1),
            max_refresh: Duration::from_secs(60),
        }
    }
}

impl DnsConfig {
    /// Takes the texts of `--registry_address` as [`name_servers`](Self::name_servers). None: the default.
    ///
    /// # Errors
    ///
    /// When a text is no IP address with or without a port.
    pub fn from_addresses(addresses: &[String]) -> Result<Self> {
        let config = Self {
            name_servers: addresses.to_vec(),
            ..Self::default()
        };
        config.servers()?;
        Ok(config)
    }

    /// The addresses of the configured name servers.
    pub(crate) fn servers(&self) -> Result<Vec<SocketAddr>> {
        self.name_servers.iter().map(|text| server(text)).collect()
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.request_timeout.is_zero() || self.min_refresh.is_zero() {
            return Err(error::misconfigured(
                "a `request_timeout` or `min_refresh` of zero lets nothing happen, or everything at once; give at \
                 least a millisecond",
            ));
        }
        if self.max_refresh < self.min_refresh {
            return Err(error::misconfigured(format!(
                "`max_refresh` is {:?} and shorter than `min_refresh`, {:?}; exchange them",
                self.max_refresh, self.min_refresh
            )));
        }
        Ok(())
    }
}

fn server(text: &str) -> Result<SocketAddr> {
    let text = text.trim();
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address = match (text.parse::<SocketAddr>(), bare.parse::<IpAddr>()) {
        (Ok(address), _) => Some(address),
        (_, Ok(ip)) => Some(SocketAddr::new(ip, 53)),
        _ => None,
    };
    address.filter(|address| address.port() != 0).ok_or_else(|| {
        error::misconfigured(format!(
            "registry address {text:?} is no name server; write its IP address and perhaps a port, such as \
             127.0.0.1:8600 or [::1]:53"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_server_is_an_ip_address_with_or_without_a_port() {
        let rows = [
            ("127.0.0.1", "127.0.0.1:53"),
            (" 127.0.0.1:8600 ", "127.0.0.1:8600"),
            ("::1", "[::1]:53"),
            ("[::1]", "[::1]:53"),
            ("[::1]:5353", "[::1]:5353"),
        ];
        for (text, expected) in rows {
            assert_eq!(server(text).unwrap().to_string(), expected);
        }
        for text in [
            "",
            "localhost",
            "127.0.0.1:0",
            "127.0.0.1:99999",
            "dns:53",
            "1.2.3",
        ] {
            let error = DnsConfig::from_addresses(&[text.to_owned()]).unwrap_err();
            assert!(error.detail().contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn refreshes_need_a_sensible_range() {
        let with = |min: u64, max: u64| DnsConfig {
            min_refresh: Duration::from_secs(min),
            max_refresh: Duration::from_secs(max),
            ..DnsConfig::default()
        };
        assert!(with(1, 1).check().is_ok());
        assert!(with(0, 1).check().is_err());
        assert!(with(2, 1).check().unwrap_err().detail().contains("max_refresh"));
    }
}
