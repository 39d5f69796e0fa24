//! The nodes of a service as balancers of others see them come and go.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use micro_core::registry::{MemoryRegistry, Node, RegisterOptions, Registry, RegistryCache, ServiceRecord};
use micro_core::selector::{
    CachedSelector, Candidate, Criteria, Filter, NodeChange, NodeChanges, Outcome, Random, Selector,
};
use tokio::time::timeout;

struct Site {
    registry: MemoryRegistry,
    selector: Arc<CachedSelector>,
}

fn record(nodes: Vec<Node>) -> ServiceRecord {
    ServiceRecord::new("greeter", "latest").with_nodes(nodes)
}

fn node(number: usize) -> Node {
    Node::new(format!("greeter-{number}"), format!("127.0.0.1:{number}"))
}

impl Site {
    async fn of(nodes: impl IntoIterator<Item = usize>) -> Self {
        let registry = MemoryRegistry::new();
        let cache = RegistryCache::new(Arc::new(registry.clone()), Default::default());
        let selector = CachedSelector::new(Arc::new(cache), Arc::new(Random), Default::default());
        let site = Self {
            registry,
            selector: Arc::new(selector),
        };
        for number in nodes {
            site.register(node(number)).await;
        }
        site
    }

    async fn register(&self, node: Node) {
        let options = RegisterOptions::default();
        self.registry
            .register(&record(vec![node]), options)
            .await
            .unwrap();
    }

    async fn deregister(&self, node: Node) {
        self.registry.deregister(&record(vec![node])).await.unwrap();
    }

    fn changes(&self) -> NodeChanges {
        NodeChanges::new(self.selector.clone(), "greeter", Criteria::default())
    }
}

/// The sign of a change, and the node's address.
async fn next(changes: &mut NodeChanges) -> (char, String) {
    let (sign, node) = change(changes).await;
    (sign, node.address().to_string())
}

async fn change(changes: &mut NodeChanges) -> (char, Arc<Candidate>) {
    let change = timeout(Duration::from_secs(3600), changes.next());
    match change.await.expect("nothing changes") {
        NodeChange::Insert(node) => ('+', node),
        NodeChange::Remove(node) => ('-', node),
    }
}

fn of(sign: char, number: usize) -> (char, String) {
    (sign, node(number).address)
}

#[tokio::test(start_paused = true)]
async fn nodes_come_and_go_as_in_the_registry() {
    let site = Site::of([1, 2]).await;
    let mut changes = site.changes();
    assert_eq!(next(&mut changes).await, of('+', 1));
    assert_eq!(next(&mut changes).await, of('+', 2));
    site.register(node(3)).await;
    assert_eq!(next(&mut changes).await, of('+', 3));
    site.deregister(node(1)).await;
    assert_eq!(next(&mut changes).await, of('-', 1));
    site.deregister(node(2)).await;
    site.deregister(node(3)).await;
    let mut gone = [next(&mut changes).await, next(&mut changes).await];
    gone.sort();
    assert_eq!(gone, [of('-', 2), of('-', 3)]);
    site.register(node(1)).await;
    assert_eq!(next(&mut changes).await, of('+', 1));
}

#[tokio::test(start_paused = true)]
async fn a_service_may_be_followed_before_it_is_there() {
    let site = Site::of([]).await;
    let mut changes = site.changes();
    let nobody = timeout(Duration::from_secs(60), changes.next()).await;
    assert!(nobody.is_err(), "{nobody:?}");
    site.register(node(1)).await;
    assert_eq!(next(&mut changes).await, of('+', 1));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_fails_is_removed_until_its_time_out_is_over() {
    let site = Site::of([1, 2]).await;
    let mut changes = site.changes();
    let (_, first) = change(&mut changes).await;
    let (_, second) = change(&mut changes).await;
    site.selector.mark("greeter", &first, Outcome::Unreachable);
    assert_eq!(next(&mut changes).await, of('-', 1));
    assert_eq!(next(&mut changes).await, of('+', 1));
    // Where all are out, all are better than none.
    site.selector.mark("greeter", &first, Outcome::Unreachable);
    site.selector.mark("greeter", &second, Outcome::Unreachable);
    let removed = timeout(Duration::from_millis(90), changes.next()).await;
    assert!(removed.is_err(), "{removed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_moves_is_removed_first_and_filters_count() {
    let site = Site::of([1]).await;
    site.register(node(9).with_metadata("protocol", "mucp")).await;
    let criteria = Criteria {
        filters: Filter::transport("grpc", "grpc").into(),
        key: None,
    };
    let mut changes = NodeChanges::new(site.selector.clone(), "greeter", criteria);
    assert_eq!(next(&mut changes).await, of('+', 1));
    let moved = Node::new("greeter-1", "127.0.0.1:7");
    site.register(moved).await;
    assert_eq!(next(&mut changes).await, of('-', 1));
    assert_eq!(next(&mut changes).await, of('+', 7));
}
