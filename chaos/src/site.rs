//! Where nodes and clients find each other, and what a registry needs of each.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use micro::{Arguments, Plugins, Settings};
use servers::{Kind, kubernetes};

use crate::options::Carrier;

/// A registry, as nodes and clients are told of it. The environment of this process does not count: runs shall be the
/// same everywhere.
#[derive(Debug, Clone, Default)]
pub(crate) struct Site {
    flags: Vec<String>,
    variables: Vec<(String, String)>,
    server: Option<(Kind, SocketAddr)>,
    carrier: Carrier,
}

impl Site {
    /// The default stack, restricted to this machine.
    pub(crate) fn local() -> Self {
        Self::default()
    }

    /// The same, but that calls travel over this transport.
    pub(crate) fn local_over(carrier: Carrier) -> Self {
        Self {
            flags: vec![format!("--transport={}", carrier.name())],
            carrier,
            ..Self::default()
        }
    }

    /// What calls travel over.
    pub(crate) fn carrier(&self) -> Carrier {
        self.carrier
    }

    /// A registry with a server.
    pub(crate) fn at(kind: Kind, address: SocketAddr, ttl: Duration) -> Self {
        Self {
            flags: vec![
                format!("--registry={kind}"),
                format!("--registry_address={address}"),
                format!("--register_ttl={}", ttl.as_secs()),
            ],
            variables: match kind {
                Kind::Kubernetes => kubernetes::credentials(),
                _ => Vec::new(),
            },
            server: Some((kind, address)),
            carrier: Carrier::default(),
        }
    }

    /// The default stack with this broker.
    pub(crate) fn with_broker(kind: Kind, address: SocketAddr) -> Self {
        Self {
            flags: vec![format!("--broker={kind}"), format!("--broker_address={address}")],
            ..Self::default()
        }
    }

    /// What a node was told on its command line, and in these variables of its environment.
    pub(crate) fn told(flags: &[String], variables: &[String]) -> Result<Self> {
        let variables = variables.iter().map(|name| {
            let value = std::env::var(name).with_context(|| format!("the variable {name} is missing"))?;
            Ok((name.clone(), value))
        });
        Ok(Self {
            flags: flags.to_vec(),
            variables: variables.collect::<Result<_>>()?,
            server: None,
            carrier: Carrier::default(),
        })
    }

    /// What to tell a node on its command line.
    pub(crate) fn flags(&self) -> &[String] {
        &self.flags
    }

    /// What to tell a node in its environment.
    pub(crate) fn variables(&self, node: &str) -> Vec<(String, String)> {
        let mut variables = self.variables.clone();
        if let Some((Kind::Kubernetes, _)) = self.server {
            variables.push(("HOSTNAME".to_owned(), node.to_owned()));
        }
        variables
    }

    /// Makes at the server what must be there before a node can register: for Kubernetes, its pod.
    pub(crate) async fn admit(&self, node: &str) -> Result<()> {
        match self.server {
            Some((Kind::Kubernetes, address)) => kubernetes::start_pod(address, node).await,
            _ => Ok(()),
        }
    }

    /// The settings of a service or client here.
    pub(crate) fn settings(&self, service: &str, more: &[&str], plugins: Plugins) -> Result<Settings> {
        let arguments = Arguments::new(service)
            .plugins(plugins)
            .default_value("registry_address", "lo")
            .default_value("server_address", "127.0.0.1:0");
        let flags = self.flags.iter().map(String::as_str).chain(more.iter().copied());
        Ok(arguments.parse_from(flags, self.variables.iter().cloned())?)
    }
}

/// How long a registry keeps the record of a node that was killed, and what that is called.
pub(crate) fn lifetime(kind: Kind, ttl: Duration) -> (&'static str, Duration) {
    match kind {
        // The record ends with the session, which the plugin has last for 10 s by default.
        Kind::Zookeeper => ("its session's time", Duration::from_secs(10)),
        _ => ("its time to live", ttl),
    }
}
