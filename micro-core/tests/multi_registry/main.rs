//! Several registries as one, with neighbours that are switched off, hang and forget.
#![allow(clippy::unwrap_used, reason = "the helpers of tests, too")]

#[path = "../registries/mod.rs"]
mod registries;

mod late;
mod lookup;
mod reading;
mod register;
mod warnings;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use micro_core::Registry;
use micro_core::registry::{MultiRegistry, Node, RegisterOptions, ServiceRecord};
use registries::Moody;
use tokio::time::Instant;

/// The old registry, the new one, and both as one.
fn both() -> (Arc<Moody>, Arc<Moody>, MultiRegistry) {
    let (old, new) = (Moody::named("old"), Moody::named("new"));
    let multi = MultiRegistry::new([old.clone() as _, new.clone() as _]).unwrap();
    (old, new, multi)
}

fn record(id: &str, address: &str) -> ServiceRecord {
    ServiceRecord::new("greeter", "1").with_nodes(vec![Node::new(id, address)])
}

fn lives(ttl: Duration) -> RegisterOptions {
    RegisterOptions { ttl: Some(ttl) }
}

/// The nodes with their addresses.
async fn nodes(registry: &dyn Registry) -> Vec<String> {
    let records = registry.get_service("greeter").await.unwrap();
    let nodes = records.iter().flat_map(|record| &record.nodes);
    nodes
        .map(|node| format!("{} {}", node.id, node.address))
        .collect()
}

/// What it comes to, and how long that takes.
async fn timed<T>(answer: impl Future<Output = T>) -> (T, Duration) {
    let begin = Instant::now();
    let answer = answer.await;
    (answer, begin.elapsed())
}

#[test]
fn at_least_one_registry_is_needed() {
    assert!(MultiRegistry::new([]).is_err());
    let (_, _, multi) = both();
    assert_eq!(multi.name(), "old,new");
}
