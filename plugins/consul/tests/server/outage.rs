//! What registrations and watches live through when a Consul goes and comes.

use std::sync::Arc;
use std::time::Duration;

use micro_core::ErrorKind;
use micro_core::registry::{Action, KnownNodes, Registry, Watcher};
use micro_core::service::RegistrationOptions;
use micro_testkit::proxy::Proxy;

use crate::consul::{Consul, LONG, connect, greeter, ids, next, register, until};

/// Reads changes until the watcher knows just these nodes.
async fn until_known(watcher: &mut Watcher, known: &mut KnownNodes, wanted: &[&str]) {
    while ids(&known.service("greeter")) != wanted {
        let change = next(watcher).await;
        known.apply(change);
    }
}

#[tokio::test]
async fn a_watcher_knows_the_truth_after_a_restart_without_data() {
    let Some(mut consul) = Consul::start().await else {
        return;
    };
    let registry = consul.connect().await;
    let mut of_one = registry.watch(Some("greeter")).await.unwrap();
    let mut of_all = registry.watch(None).await.unwrap();
    let mut known = [KnownNodes::new(), KnownNodes::new()];
    register(&registry, &greeter("stays")).await;
    register(&registry, &greeter("goes")).await;
    until_known(&mut of_one, &mut known[0], &["goes", "stays"]).await;
    until_known(&mut of_all, &mut known[1], &["goes", "stays"]).await;

    consul.start_empty().await;
    register(&registry, &greeter("stays")).await;
    register(&consul.connect().await, &greeter("comes")).await;
    until_known(&mut of_one, &mut known[0], &["comes", "stays"]).await;
    until_known(&mut of_all, &mut known[1], &["comes", "stays"]).await;
    until(&registry, "greeter", &["comes", "stays"]).await;
}

#[tokio::test]
async fn a_service_is_back_when_its_consul_is_back_without_data() {
    let Some(mut consul) = Consul::start().await else {
        return;
    };
    let registry = consul.connect().await;
    let service = micro_core::Service::builder("greeter")
        .registry(Arc::new(registry.clone()))
        .address("127.0.0.1:0")
        .registration(RegistrationOptions {
            interval: Duration::from_millis(200),
            ..RegistrationOptions::default()
        })
        .build()
        .unwrap();
    let running = service.start().await.unwrap();
    let mut watcher = consul.connect().await.watch(Some("greeter")).await.unwrap();
    if registry.get_service("greeter").await.is_err() {
        assert_eq!(next(&mut watcher).await.action, Action::Create);
    }
    consul.start_empty().await;
    let seen = consul.connect().await;
    let mut watcher = seen.watch(Some("greeter")).await.unwrap();
    if seen.get_service("greeter").await.is_err() {
        assert_eq!(next(&mut watcher).await.action, Action::Create);
    }
    running.stop().await.unwrap();
    until(&seen, "greeter", &[]).await;
    let error = seen.get_service("greeter").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn an_agent_that_is_away_is_left_for_the_next() {
    let Some(consul) = Consul::start().await else {
        return;
    };
    let mut proxy = Proxy::open(consul.address()).await.unwrap();
    let mut config = consul.config();
    config.agents.insert(0, proxy.address().to_string());
    let registry = connect(config.clone()).await;
    let mut watcher = registry.watch(None).await.unwrap();
    registry.register(&greeter("a"), LONG).await.unwrap();
    assert_eq!(next(&mut watcher).await.service, greeter("a"));
    proxy.cut().await;
    registry.register(&greeter("a"), LONG).await.unwrap();
    registry.register(&greeter("b"), LONG).await.unwrap();
    assert_eq!(next(&mut watcher).await.service, greeter("b"));
    drop(connect(config).await);
    registry.deregister(&greeter("a")).await.unwrap();
    until(&registry, "greeter", &["b"]).await;
}
