//! For the tests that a registry has beside the cases: what they register, and how they wait for what comes of it. All
//! of it panics when it is waited for in vain, as tests do.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use micro_core::registry::{Action, Change, KnownNodes, Node, RegisterOptions, ServiceRecord, Watcher};
use micro_core::service::RegistrationOptions;
use micro_core::{ErrorKind, Registry, Service};
use tokio::time::{Instant, sleep, timeout};

/// Long enough for the busiest machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// A time to live that is longer than any test.
pub const LONG: RegisterOptions = RegisterOptions {
    ttl: Some(Duration::from_secs(600)),
};

/// The record of a service `greeter` with one node of this id.
pub fn greeter(node: &str) -> ServiceRecord {
    ServiceRecord::new("greeter", "1").with_nodes(vec![Node::new(node, "127.0.0.1:9101")])
}

/// Registers as core's loop does: until it works.
pub async fn register(registry: &dyn Registry, record: &ServiceRecord) {
    let until = Instant::now() + PATIENCE;
    while let Err(error) = registry.register(record, LONG).await {
        assert!(Instant::now() < until, "{error}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// The ids of all nodes, sorted.
pub fn ids(records: &[ServiceRecord]) -> Vec<&str> {
    let nodes = records.iter().flat_map(|record| &record.nodes);
    let mut ids: Vec<&str> = nodes.map(|node| node.id.as_str()).collect();
    ids.sort_unstable();
    ids
}

/// Looks up until just these nodes are found.
pub async fn until(registry: &dyn Registry, name: &str, wanted: &[&str]) {
    let until = Instant::now() + PATIENCE;
    loop {
        let found = registry.get_service(name).await.unwrap_or_default();
        if ids(&found) == wanted {
            return;
        }
        assert!(Instant::now() < until, "{name} has {found:?} and not {wanted:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// The next change, whatever trouble is told before it. May be cancelled.
pub async fn next(watcher: &mut Watcher) -> Change {
    let next = async {
        loop {
            if let Ok(change) = watcher.next().await {
                return change;
            }
        }
    };
    match timeout(PATIENCE, next).await {
        Ok(change) => change,
        Err(_) => panic!("the watcher told of no change within {PATIENCE:?}"),
    }
}

/// Reads changes of the `greeter` until the watcher knows just these nodes. Each must be news.
pub async fn until_told(watcher: &mut Watcher, known: &mut KnownNodes, wanted: &[&str]) {
    while ids(&known.service("greeter")) != wanted {
        let change = next(watcher).await;
        assert_eq!(
            known.apply(change.clone()),
            [change],
            "what is told is really another"
        );
    }
}

/// A restart of the server with its data is told by no change; what is new after it is.
pub async fn tells_only_what_is_new(registry: &dyn Registry, restart: impl Future<Output = ()>) {
    register(registry, &greeter("a")).await;
    let mut watcher = told(registry.watch(None).await);
    restart.await;
    register(registry, &greeter("a")).await;
    register(registry, &greeter("b")).await;
    let new = next(&mut watcher).await;
    assert_eq!((new.action, new.service), (Action::Create, greeter("b")));
    told(registry.deregister(&greeter("a")).await);
    let gone = next(&mut watcher).await;
    assert_eq!((gone.action, gone.service), (Action::Delete, greeter("a")));
}

/// A service is found after its server came back without its data, as long as it runs. `restart` gives a registry at the
/// new server.
pub async fn finds_a_service_again(
    registry: Arc<dyn Registry>,
    restart: impl Future<Output = Arc<dyn Registry>>,
) {
    let service = Service::builder("greeter")
        .registry(registry.clone())
        .address("127.0.0.1:0")
        .registration(RegistrationOptions {
            interval: Duration::from_millis(200),
            ..RegistrationOptions::default()
        })
        .build();
    let running = told(told(service).start().await);
    appears(&*registry).await;
    let seen = restart.await;
    appears(&*seen).await;
    told(running.stop().await);
    until(&*seen, "greeter", &[]).await;
    let found = seen.get_service("greeter").await.map_err(|error| error.kind());
    assert_eq!(found, Err(ErrorKind::NotFound));
}

/// Waits until there is a `greeter`.
async fn appears(registry: &dyn Registry) {
    let mut watcher = told(registry.watch(Some("greeter")).await);
    if registry.get_service("greeter").await.is_err() {
        assert_eq!(next(&mut watcher).await.action, Action::Create);
    }
}

fn told<T>(result: micro_core::Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}
