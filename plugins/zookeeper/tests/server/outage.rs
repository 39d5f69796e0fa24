//! What registrations and watches live through when a server dies.

use std::sync::Arc;
use std::time::Duration;

use micro_core::ErrorKind;
use micro_core::registry::{KnownNodes, Registry};
use micro_testkit::proxy::Proxy;
use micro_testkit::registry::by_hand::{finds_a_service_again, tells_only_what_is_new, until_told};
use micro_zookeeper::{ZookeeperConfig, ZookeeperRegistry};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::zookeeper::{
    LONG, PATIENCE, Zookeeper, connect, greeter, ids, next, register, shared, shared_address,
};

#[tokio::test]
async fn a_watcher_knows_the_truth_after_a_restart_without_data() {
    let Some(mut zookeeper) = Zookeeper::start().await else {
        return;
    };
    let registry = zookeeper.connect().await;
    let mut watcher = registry.watch(Some("greeter")).await.unwrap();
    let mut known = KnownNodes::new();
    register(&registry, &greeter("stays")).await;
    register(&registry, &greeter("goes")).await;
    until_told(&mut watcher, &mut known, &["goes", "stays"]).await;
    zookeeper.server.kill().await.unwrap();

    let told = timeout(PATIENCE, watcher.next()).await.unwrap().unwrap_err();
    assert_eq!(told.kind(), ErrorKind::Unavailable);
    assert!(told.detail().contains(&zookeeper.address()), "{told}");
    let error = registry.get_service("greeter").await.unwrap_err();
    assert!(
        error.detail().contains(&zookeeper.address()) && error.detail().contains("greeter"),
        "{error}"
    );
    let _ = registry.deregister(&greeter("goes")).await;

    zookeeper.server.start_empty().await.unwrap();
    let other = zookeeper.connect().await;
    register(&other, &greeter("comes")).await;
    // What lives on is written into the new session, though nobody registers it again.
    until_told(&mut watcher, &mut known, &["comes", "stays"]).await;
    assert_eq!(
        ids(&registry.get_service("greeter").await.unwrap()),
        ["comes", "stays"]
    );
}

#[tokio::test]
async fn after_a_restart_with_data_only_what_is_new_is_told() {
    let Some(mut zookeeper) = Zookeeper::start().await else {
        return;
    };
    let registry = zookeeper.connect().await;
    let restart = async { zookeeper.server.start_again().await.unwrap() };
    tells_only_what_is_new(&registry, restart).await;
}

#[tokio::test]
async fn a_service_is_back_when_its_registry_is_back_without_data() {
    let Some(mut zookeeper) = Zookeeper::start().await else {
        return;
    };
    let registry = Arc::new(zookeeper.connect().await);
    let restart = async {
        zookeeper.server.start_empty().await.unwrap();
        Arc::new(zookeeper.connect().await) as Arc<dyn Registry>
    };
    finds_a_service_again(registry, restart).await;
}

#[tokio::test]
async fn a_server_that_is_away_is_left_for_the_next() {
    let mut proxy = Proxy::open(shared_address().parse().unwrap()).await.unwrap();
    let config = ZookeeperConfig {
        servers: vec![proxy.address().to_string(), shared_address()],
        ..shared()
    };
    let registry = connect(config.clone()).await;
    let mut watcher = registry.watch(None).await.unwrap();
    proxy.cut().await;
    registry.register(&greeter("a"), LONG).await.unwrap();
    assert_eq!(next(&mut watcher).await.service, greeter("a"));
    registry.deregister(&greeter("a")).await.unwrap();
    drop(connect(config).await);
}

#[tokio::test]
async fn nobody_there_is_told_with_the_addresses_and_what_to_do() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let config = ZookeeperConfig::from_addresses(std::slice::from_ref(&address)).unwrap();
    let error = ZookeeperRegistry::connect(config).await.unwrap_err();
    assert!(
        error.detail().contains(&address) && error.detail().contains("is it running"),
        "{error}"
    );
    assert!(error.detail().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_silent_server_is_not_waited_for_longer_than_the_timeouts() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for (connect_timeout, request_timeout) in [(100, 60_000), (60_000, 100)] {
        let config = ZookeeperConfig {
            servers: vec![listener.local_addr().unwrap().to_string()],
            connect_timeout: Duration::from_millis(connect_timeout),
            request_timeout: Duration::from_millis(request_timeout),
            ..ZookeeperConfig::default()
        };
        let connecting = timeout(Duration::from_secs(30), ZookeeperRegistry::connect(config)).await;
        let error = connecting.unwrap().unwrap_err();
        assert!(error.detail().contains("100ms"), "{error}");
    }
}
