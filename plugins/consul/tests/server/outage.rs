//! What registrations and watches live through when a Consul goes and comes.

use std::sync::Arc;

use micro_core::registry::{KnownNodes, Registry, Watcher};
use micro_testkit::proxy::Proxy;
use micro_testkit::registry::by_hand::finds_a_service_again;

use crate::consul::{Consul, LONG, config, connect, connect_to, greeter, ids, next, register, until};

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
    let registry = connect_to(&consul).await;
    let mut of_one = registry.watch(Some("greeter")).await.unwrap();
    let mut of_all = registry.watch(None).await.unwrap();
    let mut known = [KnownNodes::new(), KnownNodes::new()];
    register(&registry, &greeter("stays")).await;
    register(&registry, &greeter("goes")).await;
    until_known(&mut of_one, &mut known[0], &["goes", "stays"]).await;
    until_known(&mut of_all, &mut known[1], &["goes", "stays"]).await;

    consul.server.start_empty().await.unwrap();
    register(&registry, &greeter("stays")).await;
    register(&connect_to(&consul).await, &greeter("comes")).await;
    until_known(&mut of_one, &mut known[0], &["comes", "stays"]).await;
    until_known(&mut of_all, &mut known[1], &["comes", "stays"]).await;
    until(&registry, "greeter", &["comes", "stays"]).await;
}

#[tokio::test]
async fn a_service_is_back_when_its_registry_is_back_without_data() {
    let Some(mut consul) = Consul::start().await else {
        return;
    };
    let registry = Arc::new(connect_to(&consul).await);
    let restart = async {
        consul.server.start_empty().await.unwrap();
        Arc::new(connect_to(&consul).await) as Arc<dyn Registry>
    };
    finds_a_service_again(registry, restart).await;
}

#[tokio::test]
async fn an_agent_that_is_away_is_left_for_the_next() {
    let Some(consul) = Consul::start().await else {
        return;
    };
    let mut proxy = Proxy::open(consul.server.address()).await.unwrap();
    let mut config = config(consul.server.address());
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
