//! Where and how to speak mDNS.

use std::net::IpAddr;
use std::time::Duration;

use micro_core::Result;

use crate::error;
use crate::packet::check_name;

/// How to speak mDNS. The default meets Go Micro's services on every network of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MdnsConfig {
    /// Through which interfaces. Default: all, the loopback interface included.
    pub interfaces: Interfaces,
    /// Whether to speak IPv6 multicast beside IPv4 where an interface has it. Default: yes.
    pub ipv6: bool,
    /// The DNS domain in which all names are. Only services of the same domain meet. Default: `micro`.
    pub domain: String,
    /// The UDP port. Only services on the same port meet; Go Micro's is the default, 5353.
    pub port: u16,
    /// The name of this machine in the answers. Default: the operating system's.
    pub host: Option<String>,
    /// How long a lookup waits for nodes that are known but silent; two and a half times as long for the first
    /// node of all, before the service counts as not found. Default: 100 ms, as Go Micro.
    pub timeout: Duration,
    /// How long after the last answer a lookup returns what it has; on a busy machine longer, namely twice the
    /// longest pause between the answers, up to half of the timeout. Default: 20 ms.
    pub quiet: Duration,
    /// How often watched services are asked for again, at most; sooner when a node's time to live is short.
    /// Default: 10 s.
    pub refresh: Duration,
    /// How often to look for interfaces that came or went. Default: 5 s.
    pub rescan: Duration,
}

/// The interfaces to use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Interfaces {
    /// All that are up.
    #[default]
    All,
    /// Those of these names (`lo`, `eth0`) or addresses (`127.0.0.1`). Each must exist when connecting.
    Only(Vec<String>),
}

impl Default for MdnsConfig {
    fn default() -> Self {
        Self {
            interfaces: Interfaces::All,
            ipv6: true,
            domain: "micro".to_owned(),
            port: 5353,
            host: None,
            timeout: Duration::from_millis(100),
            quiet: Duration::from_millis(20),
            refresh: Duration::from_secs(10),
            rescan: Duration::from_secs(5),
        }
    }
}

impl MdnsConfig {
    /// Reads the texts of `--registry_address`: each is an interface's name or address, with or without a port:
    /// `lo`, `127.0.0.1`, `eth0:5353`, `[::1]:15353`, `:15353` (all interfaces, another port). None: the default.
    ///
    /// # Errors
    ///
    /// When a port is no number or two texts name different ports.
    pub fn from_addresses(addresses: &[String]) -> Result<Self> {
        let mut config = Self::default();
        let mut names = Vec::new();
        let mut chosen: Option<u16> = None;
        for address in addresses.iter().map(|address| address.trim()) {
            let (name, port) = split(address)?;
            if let (Some(port), Some(chosen)) = (port, chosen)
                && port != chosen
            {
                return Err(error::misconfigured(format!(
                    "registry address {address} names port {port}, another one {chosen}; use one port for all"
                )));
            }
            chosen = chosen.or(port);
            if !name.is_empty() {
                names.push(name.to_owned());
            }
        }
        config.port = chosen.unwrap_or(config.port);
        if !names.is_empty() {
            config.interfaces = Interfaces::Only(names);
        }
        Ok(config)
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_name(&self.domain)
            .map_err(|why| error::misconfigured(format!("cannot use the domain {}: {why}", self.domain)))?;
        if let Some(host) = &self.host {
            check_name(host)
                .map_err(|why| error::misconfigured(format!("cannot use the host name {host}: {why}")))?;
        }
        if self.port == 0 {
            return Err(error::misconfigured(
                "port 0 is no port to meet at; the usual one is 5353",
            ));
        }
        let long_enough = [
            ("timeout", self.timeout),
            ("refresh", self.refresh),
            ("rescan", self.rescan),
        ];
        for (name, duration) in long_enough {
            if duration < Duration::from_millis(1) {
                return Err(error::misconfigured(format!(
                    "{name} must be at least one millisecond"
                )));
            }
        }
        Ok(())
    }

    /// The machine's name as one DNS name.
    pub(crate) fn host_name(&self) -> String {
        self.host
            .clone()
            .or_else(system_host_name)
            .filter(|host| check_name(host).is_ok())
            // The name only ties the records of one packet together, so any name serves.
            .unwrap_or_else(|| "localhost".to_owned())
    }
}

fn split(address: &str) -> Result<(&str, Option<u16>)> {
    if let Some((inside, after)) = address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let port = after.strip_prefix(':').map(|port| parse_port(address, port));
        return Ok((inside, port.transpose()?));
    }
    if address.parse::<IpAddr>().is_ok() {
        return Ok((address, None));
    }
    match address.rsplit_once(':') {
        Some((name, port)) => Ok((name, Some(parse_port(address, port)?))),
        None => Ok((address, None)),
    }
}

fn parse_port(address: &str, port: &str) -> Result<u16> {
    port.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
        error::misconfigured(format!(
            "registry address {address}: {port} is no port; write an interface's name or address, \
             then perhaps a colon and a port from 1 to 65535"
        ))
    })
}

fn system_host_name() -> Option<String> {
    let read = |path| std::fs::read_to_string(path).ok();
    ["/proc/sys/kernel/hostname", "/etc/hostname"]
        .into_iter()
        .find_map(read)
        .or_else(|| std::env::var("COMPUTERNAME").ok())
        .or_else(|| std::env::var("HOSTNAME").ok())
        .map(|name| name.trim().trim_matches('.').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(addresses: &[&str]) -> Result<(Interfaces, u16)> {
        let addresses: Vec<String> = addresses.iter().map(|address| (*address).to_owned()).collect();
        MdnsConfig::from_addresses(&addresses).map(|config| (config.interfaces, config.port))
    }

    fn only(names: &[&str]) -> Interfaces {
        Interfaces::Only(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn addresses_name_interfaces_and_a_port() {
        assert_eq!(read(&[]).unwrap(), (Interfaces::All, 5353));
        assert_eq!(read(&["lo"]).unwrap(), (only(&["lo"]), 5353));
        assert_eq!(
            read(&["127.0.0.1:15353", "eth0"]).unwrap(),
            (only(&["127.0.0.1", "eth0"]), 15353)
        );
        assert_eq!(read(&["[::1]:99"]).unwrap(), (only(&["::1"]), 99));
        assert_eq!(read(&["::1"]).unwrap(), (only(&["::1"]), 5353));
        assert_eq!(read(&[":99"]).unwrap(), (Interfaces::All, 99));
        assert!(read(&["lo:x"]).unwrap_err().detail().contains("lo:x"));
        assert!(
            read(&["lo:1", "eth0:2"])
                .unwrap_err()
                .detail()
                .contains("one port")
        );
    }

    #[test]
    fn a_name_that_dns_cannot_carry_is_refused() {
        let config = MdnsConfig {
            domain: "a..b".into(),
            ..MdnsConfig::default()
        };
        assert!(config.check().unwrap_err().detail().contains("a..b"));
        assert!(MdnsConfig::default().check().is_ok());
        assert!(!MdnsConfig::default().host_name().is_empty());
    }
}
