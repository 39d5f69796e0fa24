//! Records live as long as their sessions, and sessions outlive connections.

use std::net::SocketAddr;
use std::time::Duration;

use micro_core::ErrorKind;
use micro_core::registry::{Action, Node, Registry};
use micro_testkit::proxy::Proxy;
use micro_zookeeper::ZookeeperConfig;
use tokio::time::{Instant, sleep, timeout};

use crate::raw::Raw;
use crate::zookeeper::{LONG, PATIENCE, Zookeeper, connect, greeter, ids, next, raw, shared, shared_address};

/// The configuration with a short session, and the path of a node.
fn short() -> (ZookeeperConfig, String) {
    let config = ZookeeperConfig {
        session_timeout: Duration::from_secs(1),
        ..shared()
    };
    let path = format!("{}/greeter/a", config.path);
    (config, path)
}

fn through(config: &ZookeeperConfig, address: SocketAddr) -> ZookeeperConfig {
    ZookeeperConfig {
        servers: vec![address.to_string()],
        ..config.clone()
    }
}

async fn proxy() -> Proxy {
    Proxy::open(shared_address().parse().unwrap()).await.unwrap()
}

/// Waits until a path has an owner other than this.
async fn until_owned_by_another(raw: &mut Raw, path: &str, owner: i64) -> i64 {
    let until = Instant::now() + PATIENCE;
    loop {
        match raw.get(path).await {
            Some(seen) if seen.owner != owner => return seen.owner,
            _ => assert!(Instant::now() < until, "{path} has no other owner than {owner:x}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
}

async fn until_gone(raw: &mut Raw, path: &str) {
    let until = Instant::now() + PATIENCE;
    while raw.get(path).await.is_some() {
        assert!(Instant::now() < until, "{path} is still there");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn dropping_the_last_clone_takes_the_records_away_at_once() {
    let config = ZookeeperConfig {
        session_timeout: Duration::from_secs(50),
        ..shared()
    };
    let observer = connect(config.clone()).await;
    let registry = connect(config).await;
    let clone = registry.clone();
    // Its own watcher does not keep it.
    let mut own = registry.watch(None).await.unwrap();
    let mut watcher = observer.watch(Some("greeter")).await.unwrap();
    registry.register(&greeter("a"), LONG).await.unwrap();
    assert_eq!(next(&mut watcher).await.action, Action::Create);
    assert_eq!(next(&mut own).await.action, Action::Create);
    drop(registry);
    assert_eq!(ids(&clone.get_service("greeter").await.unwrap()), ["a"]);
    drop(clone);
    let told = timeout(Duration::from_secs(20), watcher.next()).await.unwrap();
    assert_eq!(told.unwrap().action, Action::Delete);
    assert_eq!(next(&mut own).await.action, Action::Delete);
}

#[tokio::test]
async fn the_directory_of_a_service_whose_processes_died_is_taken_away() {
    let Some(zookeeper) = Zookeeper::start_with(&["-Dznode.container.checkIntervalMs=100"]).await else {
        return;
    };
    let registry = zookeeper.connect().await;
    let mut raw = Raw::connect(&zookeeper.address()).await;
    registry.register(&greeter("a"), LONG).await.unwrap();
    drop(registry);
    until_gone(&mut raw, "/micro-registry/greeter").await;
    assert!(raw.get("/micro-registry").await.is_some());
}

#[tokio::test]
async fn a_lost_connection_keeps_the_session() {
    let (config, path) = short();
    let config = ZookeeperConfig {
        session_timeout: Duration::from_secs(30),
        ..config
    };
    let (mut proxy, mut raw) = (proxy().await, raw().await);
    let registry = connect(through(&config, proxy.address())).await;
    registry.register(&greeter("a"), LONG).await.unwrap();
    let before = raw.get(&path).await.unwrap();
    for _ in 0..3 {
        proxy.cut().await;
        assert!(registry.get_service("greeter").await.is_err());
        proxy.mend().await.unwrap();
        while registry.register(&greeter("a"), LONG).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(raw.get(&path).await.unwrap(), before);
    }
    registry.deregister(&greeter("a")).await.unwrap();
}

#[tokio::test]
async fn what_lives_on_is_back_when_a_session_was_lost_to_an_outage() {
    let (config, path) = short();
    let (mut proxy, mut raw) = (proxy().await, raw().await);
    let registry = connect(through(&config, proxy.address())).await;
    registry.register(&greeter("a"), LONG).await.unwrap();
    registry.register(&greeter("b"), LONG).await.unwrap();
    registry.deregister(&greeter("b")).await.unwrap();
    let owner = raw.get(&path).await.unwrap().owner;
    proxy.cut().await;
    until_gone(&mut raw, &path).await;
    proxy.mend().await.unwrap();
    // Nobody registers again.
    until_owned_by_another(&mut raw, &path, owner).await;
    assert_eq!(ids(&registry.get_service("greeter").await.unwrap()), ["a"]);
    registry.deregister(&greeter("a")).await.unwrap();
}

#[tokio::test]
async fn registering_after_a_session_was_lost_makes_a_new_one_in_the_same_call() {
    let (config, path) = short();
    let (mut proxy, mut raw) = (proxy().await, raw().await);
    let registry = connect(through(&config, proxy.address())).await;
    registry.register(&greeter("a"), LONG).await.unwrap();
    let owner = raw.get(&path).await.unwrap().owner;
    proxy.cut().await;
    until_gone(&mut raw, &path).await;
    proxy.mend().await.unwrap();
    let mut another = greeter("a");
    another.nodes[0].address = "127.0.0.1:9102".into();
    registry.register(&another, LONG).await.unwrap();
    assert_ne!(raw.get(&path).await.unwrap().owner, owner);
    assert_eq!(registry.get_service("greeter").await.unwrap(), [another.clone()]);
    registry.deregister(&another).await.unwrap();
}

#[tokio::test]
async fn a_restarted_process_takes_its_node_over_from_the_session_before() {
    let (config, path) = short();
    let (mut proxy, mut raw) = (proxy().await, raw().await);
    let before = connect(through(&config, proxy.address())).await;
    before.register(&greeter("a"), LONG).await.unwrap();
    before.register(&greeter("witness"), LONG).await.unwrap();
    let owner = raw.get(&path).await.unwrap();
    // It is as dead as a killed process: its session runs out on the server.
    proxy.cut().await;
    let after = connect(config.clone()).await;
    let mut watcher = after.watch(None).await.unwrap();
    after.register(&greeter("a"), LONG).await.unwrap();
    let taken = raw.get(&path).await.unwrap();
    assert_ne!((taken.owner, taken.version), (owner.owner, owner.version));
    // Its session runs out, and takes away what it alone had.
    until_gone(&mut raw, &format!("{}/greeter/witness", config.path)).await;
    assert_eq!(raw.get(&path).await.unwrap(), taken);
    drop(before);
    after.deregister(&greeter("a")).await.unwrap();
    let mut told = next(&mut watcher).await;
    if told.service == greeter("witness") {
        told = next(&mut watcher).await;
    }
    assert_eq!((told.action, told.service), (Action::Delete, greeter("a")));
}

#[tokio::test]
async fn a_service_too_large_for_one_answer_costs_nobody_else_the_connection() {
    let (config, _) = short();
    let proxy = proxy().await;
    let many = connect(config.clone()).await;
    let mut service = greeter("a");
    let nodes = (0..60).map(|number| Node::new(format!("a-node-with-a-long-name-{number}"), "127.0.0.1:1"));
    service.nodes = nodes.collect();
    many.register(&service, LONG).await.unwrap();
    let small = ZookeeperConfig {
        max_message: 1024,
        ..through(&config, proxy.address())
    };
    let registry = connect(small).await;
    let accepted = proxy.accepted();
    let mut other = greeter("b");
    other.name = "waver".into();
    for _ in 0..20 {
        let (found, registered) =
            tokio::join!(registry.get_service("greeter"), registry.register(&other, LONG));
        let error = found.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
        registered.unwrap();
    }
    assert_eq!(proxy.accepted(), accepted, "the connection is the same");
    registry.deregister(&other).await.unwrap();
    many.deregister(&service).await.unwrap();
}
