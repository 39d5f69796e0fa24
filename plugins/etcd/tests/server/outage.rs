//! What registrations and watches live through.

use std::sync::Arc;
use std::time::Duration;

use micro_core::registry::{Action, KnownNodes, Registry};
use micro_core::{ErrorKind, Result};
use micro_etcd::EtcdConfig;
use micro_testkit::proxy::Proxy;
use micro_testkit::registry::by_hand::{finds_a_service_again, tells_only_what_is_new, until_told};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::etcd::{Etcd, LONG, PATIENCE, connect, connect_to, greeter, ids, next, register};

fn config_of(proxy: &Proxy) -> EtcdConfig {
    EtcdConfig {
        endpoints: vec![proxy.address().to_string()],
        ..EtcdConfig::default()
    }
}

#[tokio::test]
async fn a_watcher_knows_the_truth_after_a_restart_without_data() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    let registry = connect_to(&etcd).await;
    let mut watcher = registry.watch(Some("greeter")).await.unwrap();
    let mut known = KnownNodes::new();
    register(&registry, &greeter("stays")).await;
    register(&registry, &greeter("goes")).await;
    until_told(&mut watcher, &mut known, &["goes", "stays"]).await;
    etcd.server.kill().await.unwrap();

    let told = timeout(PATIENCE, watcher.next()).await.unwrap().unwrap_err();
    assert_eq!(told.kind(), ErrorKind::Unavailable);
    assert!(told.detail().contains(&etcd.address()), "{told}");
    let error = registry.get_service("greeter").await.unwrap_err();
    assert!(
        error.detail().contains(&etcd.address()) && error.detail().contains("greeter"),
        "{error}"
    );

    // The new server gets beyond the old one's revision, so that a watch from there on would see nothing of it.
    etcd.server.start_empty().await.unwrap();
    let other = connect_to(&etcd).await;
    for address in 0..20 {
        let mut new = greeter("comes");
        new.nodes[0].address = format!("127.0.0.1:{address}");
        register(&other, &new).await;
    }
    register(&registry, &greeter("stays")).await;
    until_told(&mut watcher, &mut known, &["comes", "stays"]).await;
    register(&other, &greeter("more")).await;
    until_told(&mut watcher, &mut known, &["comes", "more", "stays"]).await;
    assert_eq!(
        ids(&registry.get_service("greeter").await.unwrap()),
        ["comes", "more", "stays"]
    );
}

#[tokio::test]
async fn after_a_restart_with_data_only_what_is_new_is_told() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    let registry = connect_to(&etcd).await;
    let restart = async { etcd.server.start_again().await.unwrap() };
    tells_only_what_is_new(&registry, restart).await;
}

#[tokio::test]
async fn what_happened_while_the_connection_was_cut_is_told_though_etcd_forgot_it() {
    let Some(etcd) = Etcd::start().await else { return };
    let direct = connect_to(&etcd).await;
    let mut proxy = Proxy::open(etcd.server.address()).await.unwrap();
    let registry = connect(config_of(&proxy)).await;
    register(&direct, &greeter("a")).await;
    let mut watcher = registry.watch(Some("greeter")).await.unwrap();
    proxy.cut().await;
    direct.deregister(&greeter("a")).await.unwrap();
    register(&direct, &greeter("b")).await;
    etcd.forget_history().await;
    assert!(
        timeout(PATIENCE, watcher.next()).await.unwrap().is_err(),
        "the trouble is told"
    );
    proxy.mend().await.unwrap();
    let told = [next(&mut watcher).await, next(&mut watcher).await];
    let told = told.map(|change| (change.action, change.service));
    assert_eq!(
        told,
        [(Action::Delete, greeter("a")), (Action::Create, greeter("b"))]
    );
}

#[tokio::test]
async fn one_endpoint_that_is_away_is_left_for_the_next() {
    let Some(etcd) = Etcd::start().await else { return };
    let mut proxy = Proxy::open(etcd.server.address()).await.unwrap();
    let mut config = config_of(&proxy);
    config.endpoints.push(etcd.address());
    let registry = connect(config.clone()).await;
    let mut watcher = registry.watch(None).await.unwrap();
    proxy.cut().await;
    registry.register(&greeter("a"), LONG).await.unwrap();
    assert_eq!(next(&mut watcher).await.service, greeter("a"));
    drop(connect(config).await);
}

#[tokio::test]
async fn nobody_there_is_told_with_the_address_and_what_to_do() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let config = EtcdConfig::from_addresses(std::slice::from_ref(&address)).unwrap();
    let error = micro_etcd::EtcdRegistry::connect(config).await.unwrap_err();
    assert!(
        error.detail().contains(&address) && error.detail().contains("is it running"),
        "{error}"
    );
    assert!(error.detail().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_silent_server_is_not_waited_for_longer_than_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = EtcdConfig {
        endpoints: vec![listener.local_addr().unwrap().to_string()],
        request_timeout: Duration::from_millis(300),
        ..EtcdConfig::default()
    };
    let connecting: Result<_> = timeout(PATIENCE, micro_etcd::EtcdRegistry::connect(config))
        .await
        .unwrap();
    assert_eq!(connecting.unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn a_service_is_back_when_its_registry_is_back_without_data() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    let registry = Arc::new(connect_to(&etcd).await);
    let restart = async {
        etcd.server.start_empty().await.unwrap();
        Arc::new(connect_to(&etcd).await) as Arc<dyn Registry>
    };
    finds_a_service_again(registry, restart).await;
}
