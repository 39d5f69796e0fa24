//! Members for the tests, and what they see.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use micro_core::registry::{Action, Node, RegisterOptions, Registry, ServiceRecord, Watcher};
use micro_gossip::{GossipConfig, GossipRegistry};
use tokio::time::{Instant, sleep, timeout};

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn config(seeds: &[SocketAddr]) -> GossipConfig {
    GossipConfig {
        seeds: seeds.iter().map(ToString::to_string).collect(),
        listen: Some(([127, 0, 0, 1], 0).into()),
        interval: Duration::from_millis(100),
        failure_timeout: Duration::from_secs(2),
        ..GossipConfig::default()
    }
}

pub(crate) async fn member(seeds: &[SocketAddr]) -> GossipRegistry {
    GossipRegistry::connect(config(seeds)).await.unwrap()
}

pub(crate) fn record(node: &str) -> ServiceRecord {
    ServiceRecord::new("greeter", "1").with_nodes(vec![Node::new(node, "127.0.0.1:9101")])
}

pub(crate) async fn register(registry: &GossipRegistry, node: &str) {
    registry
        .register(&record(node), RegisterOptions::default())
        .await
        .unwrap();
}

pub(crate) async fn nodes(registry: &GossipRegistry) -> BTreeSet<String> {
    let found = registry.get_service("greeter").await.unwrap_or_default();
    found
        .into_iter()
        .flat_map(|record| record.nodes)
        .map(|node| node.id)
        .collect()
}

/// Waits until look-ups show just these nodes, and says how long that took.
pub(crate) async fn until(registry: &GossipRegistry, wanted: &[&str]) -> Duration {
    let began = Instant::now();
    let wanted: BTreeSet<String> = wanted.iter().map(|node| (*node).to_owned()).collect();
    loop {
        let seen = nodes(registry).await;
        if seen == wanted {
            return began.elapsed();
        }
        assert!(began.elapsed() < PATIENCE, "{seen:?} and never {wanted:?}");
        sleep(Duration::from_millis(1)).await;
    }
}

pub(crate) async fn told(watcher: &mut Watcher) -> (Action, String) {
    let change = timeout(PATIENCE, watcher.next()).await.unwrap().unwrap();
    (change.action, change.service.nodes[0].id.clone())
}
