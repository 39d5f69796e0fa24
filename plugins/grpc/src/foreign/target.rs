//! Where a foreign service is, as people write it, and the look-up of names.

use std::io;
use std::net::SocketAddr;

use async_trait::async_trait;
use micro_core::{Error, Result};

use super::FOREIGN;

/// An address, or a host's name and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Address(SocketAddr),
    /// `host:port`.
    Name(String),
}

impl Target {
    /// Reads `ip:port`, `host:port`, `dns:host:port` or `dns:///host:port`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            Error::bad_request(
                FOREIGN,
                format!("the target {text:?} is neither ip:port nor dns:host:port"),
            )
        };
        let plain = text.trim();
        let (plain, is_name) = match plain.strip_prefix("dns:") {
            Some(name) => (name.strip_prefix("///").unwrap_or(name), true),
            None => (plain, false),
        };
        if let Ok(address) = plain.parse::<SocketAddr>() {
            return (address.port() != 0)
                .then_some(Self::Address(address))
                .ok_or_else(wrong);
        }
        let (host, port) = plain.rsplit_once(':').ok_or_else(wrong)?;
        let is_host = !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        let is_port = matches!(port.parse::<u16>(), Ok(1..));
        // Other schemes of gRPC's name syntax must not pass for the name of a host.
        let is_scheme = !is_name && ["unix", "ipv4", "ipv6", "xds", "passthrough"].contains(&host);
        if !is_host || !is_port || is_scheme {
            return Err(wrong());
        }
        Ok(Self::Name(plain.to_owned()))
    }
}

/// Looks names up.
#[async_trait]
pub(super) trait Resolve: Send + Sync {
    /// The addresses of `host:port`.
    async fn resolve(&self, name: &str) -> io::Result<Vec<SocketAddr>>;
}

/// The system's way: its files, then DNS.
pub(super) struct System;

#[async_trait]
impl Resolve for System {
    async fn resolve(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host(name).await?.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_addresses_or_names() {
        let name = |name: &str| Target::Name(name.to_owned());
        let address = |address: &str| Target::Address(address.parse().unwrap());
        for (text, target) in [
            ("127.0.0.1:50051", address("127.0.0.1:50051")),
            ("dns:127.0.0.1:50051", address("127.0.0.1:50051")),
            ("[::1]:50051", address("[::1]:50051")),
            ("dns:greeter.example:50051", name("greeter.example:50051")),
            ("dns:///greeter.example:50051", name("greeter.example:50051")),
            (" localhost:1 ", name("localhost:1")),
        ] {
            assert_eq!(Target::parse(text).unwrap(), target, "{text}");
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in [
            "",
            "greeter.example",
            "greeter.example:",
            "greeter.example:0",
            "127.0.0.1:0",
            "greeter.example:65536",
            ":50051",
            "::1:50051",
            "dns://8.8.8.8/greeter:1",
            "http://greeter:1",
            "unix:1",
            "a b:1",
            "user@host:1",
        ] {
            let error = Target::parse(text).unwrap_err();
            assert!(
                error.code() == 400 && error.detail().contains("host:port"),
                "{text}"
            );
        }
    }
}
