//! Checks: what keeps nodes alive, and takes them away.

use std::time::Duration;

use micro_consul::ConsulRegistry;
use micro_core::ErrorKind;
use micro_core::registry::{Action, RegisterOptions, Registry};
use tokio::net::TcpListener;

use crate::consul::{Consul, LONG, SHORT, config, connect, connect_to, greeter, ids, next, until};
use crate::recorder::Recorder;

#[tokio::test]
async fn a_node_that_is_killed_is_gone_from_look_ups_lists_and_watches() {
    let Some(consul) = Consul::start().await else {
        return;
    };
    let registry = connect_to(&consul).await;
    let mut of_one = registry.watch(Some("greeter")).await.unwrap();
    let mut of_all = registry.watch(None).await.unwrap();
    registry.register(&greeter("a"), SHORT).await.unwrap();
    // Both are read at once, because a watcher that is read late may leave out what came and went.
    for action in [Action::Create, Action::Delete] {
        let (one, all) = tokio::join!(next(&mut of_one), next(&mut of_all));
        for told in [one, all] {
            assert_eq!((told.action, told.service), (action, greeter("a")));
        }
    }
    let error = registry.get_service("greeter").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let listed = registry.list_services().await.unwrap();
    assert!(listed.iter().all(|record| record.name != "greeter"), "{listed:?}");
    // Consul itself still has it for a minute, and it is alive again as soon as it says so.
    assert!(consul.get("/v1/catalog/services").await.contains("greeter"));
    registry.register(&greeter("a"), LONG).await.unwrap();
    for watcher in [&mut of_one, &mut of_all] {
        assert_eq!(next(watcher).await.action, Action::Create);
    }
}

#[tokio::test]
async fn a_refresh_is_two_requests_and_changes_nothing() {
    let Some(consul) = Consul::start().await else {
        return;
    };
    let recorder = Recorder::open(consul.server.address()).await;
    let registry = ConsulRegistry::connect(crate::consul::config(recorder.address))
        .await
        .unwrap();
    registry.register(&greeter("a"), LONG).await.unwrap();
    until(&registry, "greeter", &["a"]).await;
    let before = consul.get("/v1/health/service/greeter").await;
    recorder.take();
    for _ in 0..3 {
        registry.register(&greeter("a"), LONG).await.unwrap();
    }
    let (asked, passed) = (
        "GET /v1/agent/service/a",
        "PUT /v1/agent/check/pass/service:a?note=",
    );
    assert_eq!(recorder.lines(), [asked, passed, asked, passed, asked, passed]);
    registry.register(&greeter("marker"), LONG).await.unwrap();
    until(&registry, "greeter", &["a", "marker"]).await;
    let after = consul.get("/v1/health/service/greeter").await;
    let indexes = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.contains("ModifyIndex"));
        lines.take(4).map(str::to_owned).collect()
    };
    assert_eq!(indexes(&before), indexes(&after));
}

#[tokio::test]
async fn what_somebody_took_away_or_overwrote_is_put_again() {
    let Some(consul) = Consul::start().await else {
        return;
    };
    let registry = connect_to(&consul).await;
    registry.register(&greeter("a"), LONG).await.unwrap();
    until(&registry, "greeter", &["a"]).await;

    consul.tell("/v1/agent/service/deregister/a", "").await;
    until(&registry, "greeter", &[]).await;
    registry.register(&greeter("a"), LONG).await.unwrap();
    until(&registry, "greeter", &["a"]).await;

    consul.tell("/v1/agent/check/deregister/service:a", "").await;
    registry.register(&greeter("a"), LONG).await.unwrap();
    let checks = consul.get("/v1/agent/checks").await;
    assert!(
        checks.contains("service:a") && checks.contains("passing"),
        "{checks}"
    );

    let other = r#"{"ID":"a","Name":"greeter","Port":7,"Address":"192.0.2.9"}"#;
    consul.tell("/v1/agent/service/register", other).await;
    registry.register(&greeter("a"), LONG).await.unwrap();
    let has = consul.get("/v1/agent/service/a").await;
    assert!(has.contains("9101") && !has.contains("192.0.2.9"), "{has}");
}

#[tokio::test]
async fn a_time_to_live_that_changes_is_another_check_and_none_is_none() {
    let Some(consul) = Consul::start().await else {
        return;
    };
    let registry = connect_to(&consul).await;
    registry.register(&greeter("a"), SHORT).await.unwrap();
    registry.register(&greeter("a"), LONG).await.unwrap();
    let mut watcher = registry.watch(Some("greeter")).await.unwrap();
    registry.register(&greeter("b"), SHORT).await.unwrap();
    assert_eq!(next(&mut watcher).await.action, Action::Create);
    let told = next(&mut watcher).await;
    assert_eq!((told.action, told.service), (Action::Delete, greeter("b")));
    until(&registry, "greeter", &["a"]).await;

    registry
        .register(&greeter("a"), RegisterOptions { ttl: None })
        .await
        .unwrap();
    let checks = consul.get("/v1/agent/checks").await;
    assert!(!checks.contains("service:a"), "{checks}");
    until(&registry, "greeter", &["a"]).await;
}

#[tokio::test]
async fn an_id_that_another_service_of_the_agent_has_is_no_obstacle() {
    let Some(consul) = Consul::start().await else {
        return;
    };
    let (registry, another) = (connect_to(&consul).await, connect_to(&consul).await);
    let mut other = greeter("a");
    other.name = "waver".into();
    registry.register(&greeter("a"), LONG).await.unwrap();
    another.register(&other, LONG).await.unwrap();
    until(&registry, "greeter", &["a"]).await;
    until(&registry, "waver", &["a"]).await;
    // The id is free now, and the node stays where it is.
    registry.deregister(&greeter("a")).await.unwrap();
    until(&registry, "greeter", &[]).await;
    another.register(&other, LONG).await.unwrap();
    assert_eq!(ids(&registry.get_service("waver").await.unwrap()), ["a"]);
    // Whoever did not register it finds it, too.
    registry.deregister(&other).await.unwrap();
    until(&registry, "waver", &[]).await;
}

#[tokio::test]
async fn an_agent_may_try_the_nodes_address_itself() {
    let Some(consul) = Consul::start().await else {
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut record = greeter("a");
    record.nodes[0].address = listener.local_addr().unwrap().to_string();
    let mut config = config(consul.server.address());
    config.tcp_check = Some(Duration::from_secs(1));
    let registry = connect(config).await;
    registry.register(&record, SHORT).await.unwrap();
    until(&registry, "greeter", &["a"]).await;
    drop(listener);
    until(&registry, "greeter", &[]).await;
}
