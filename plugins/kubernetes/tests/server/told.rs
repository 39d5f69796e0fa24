//! What tests register, and how they wait for what watchers tell.

use std::time::Duration;

use micro_core::registry::{Change, Node, RegisterOptions, Registry, ServiceRecord, Watcher};
use tokio::time::timeout;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const LONG: RegisterOptions = RegisterOptions {
    ttl: Some(Duration::from_secs(300)),
};

/// A name that no other test has.
pub(crate) fn name() -> String {
    format!("greeter-{:08x}", fastrand::u32(..))
}

pub(crate) fn record(name: &str, version: &str, ids: &[&str]) -> ServiceRecord {
    let nodes = ids.iter().map(|id| Node::new(*id, "127.0.0.1:9101")).collect();
    ServiceRecord::new(name, version).with_nodes(nodes)
}

/// The ids of the nodes that a look-up finds, of all versions.
pub(crate) async fn found(registry: &dyn Registry, name: &str) -> Vec<String> {
    let found = match registry.get_service(name).await {
        Ok(found) => found,
        Err(error) if error.kind() == micro_core::ErrorKind::NotFound => Vec::new(),
        Err(error) => panic!("{error}"),
    };
    let nodes = found.into_iter().flat_map(|record| record.nodes);
    nodes.map(|node| node.id).collect()
}

pub(crate) async fn next(watcher: &mut Watcher) -> Change {
    let next = timeout(PATIENCE, watcher.next()).await;
    next.expect("the watcher tells something").unwrap()
}
