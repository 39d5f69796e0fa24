//! The nodes behind targets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use micro_core::registry::{Node, ServiceRecord};
use micro_core::{Error, Result};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::FOREIGN;
use super::target::{Resolve, Target};
use crate::transport::AUTHORITY;

/// How long one look-up of a name may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The version of all foreign services: nobody says it.
pub(super) const VERSION: &str = "latest";

/// Looks up where targets are, and remembers it for when that fails.
pub(super) struct Nodes {
    targets: Arc<[Target]>,
    resolve: Arc<dyn Resolve>,
    /// For each target.
    known: Vec<Known>,
}

#[derive(Clone, Default)]
struct Known {
    nodes: Vec<Node>,
    /// Why the last look-up failed, if it did.
    failure: Option<String>,
}

impl Nodes {
    pub(super) fn new(targets: Arc<[Target]>, resolve: Arc<dyn Resolve>) -> Self {
        let known = vec![Known::default(); targets.len()];
        Self {
            targets,
            resolve,
            known,
        }
    }

    /// Whether there is a name, whose addresses may change.
    pub(super) fn may_change(&self) -> bool {
        self.targets
            .iter()
            .any(|target| matches!(target, Target::Name(_)))
    }

    /// All nodes as the record of a package. Those of a name that cannot be looked up are as they were.
    pub(super) async fn record(&mut self, package: &str) -> Result<ServiceRecord> {
        let mut lookups = JoinSet::new();
        for (at, target) in self.targets.iter().enumerate() {
            match target {
                Target::Address(address) => {
                    let address = address.to_string();
                    self.known[at].nodes = vec![Node::new(&address, &address)];
                }
                Target::Name(name) => {
                    let (name, resolve) = (name.clone(), self.resolve.clone());
                    lookups.spawn(async move { (at, look_up(&*resolve, &name).await) });
                }
            }
        }
        while let Some(looked_up) = lookups.join_next().await {
            match looked_up {
                Ok((at, found)) => self.take(package, at, found),
                Err(problem) => tracing::debug!(%problem, "a look-up was cut off"),
            }
        }
        let mut nodes: Vec<Node> = Vec::new();
        for node in self.known.iter().flat_map(|known| &known.nodes) {
            if nodes.iter().all(|other| other.id != node.id) {
                nodes.push(node.clone());
            }
        }
        if nodes.is_empty() {
            let failures: Vec<_> = self
                .known
                .iter()
                .filter_map(|known| known.failure.as_deref())
                .collect();
            return Err(Error::unavailable(
                FOREIGN,
                format!(
                    "package {package:?}: no address is known: {}",
                    failures.join("; ")
                ),
            ));
        }
        Ok(ServiceRecord::new(package, VERSION).with_nodes(nodes))
    }

    fn take(&mut self, package: &str, at: usize, found: Result<Vec<Node>, String>) {
        let known = &mut self.known[at];
        match found {
            Ok(nodes) => {
                known.nodes = nodes;
                known.failure = None;
            }
            Err(failure) => {
                if known.failure.is_none() {
                    tracing::warn!(package, %failure, "foreign services: their nodes stay as they were");
                }
                known.failure = Some(failure);
            }
        }
    }
}

async fn look_up(resolve: &dyn Resolve, name: &str) -> Result<Vec<Node>, String> {
    let found = match timeout(PATIENCE, resolve.resolve(name)).await {
        Ok(Ok(found)) => found,
        Ok(Err(problem)) => return Err(format!("{name} cannot be looked up: {problem}")),
        Err(_) => return Err(format!("{name} was not looked up within {PATIENCE:?}")),
    };
    let has_ipv4 = found.iter().any(SocketAddr::is_ipv4);
    let mut addresses: Vec<_> = found
        .into_iter()
        .filter(|address| address.is_ipv4() == has_ipv4)
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() {
        return Err(format!("{name} has no address"));
    }
    let node = |address: SocketAddr| {
        Node::new(format!("{name}/{}", address.ip()), address.to_string()).with_metadata(AUTHORITY, name)
    };
    Ok(addresses.into_iter().map(node).collect())
}
