//! The requests are those of Go Micro, and what Go Micro registered is read.

use std::time::Duration;

use micro_core::registry::{Endpoint, Node, RegisterOptions, Registry, ServiceRecord};

use crate::consul::{Consul, config, connect, connect_to, until};
use crate::recorder::Recorder;

fn record() -> ServiceRecord {
    let node = Node::new("interop.greeter-node-1", "127.0.0.1:9101").with_metadata("protocol", "mucp");
    ServiceRecord::new("interop.greeter", "1.0.0").with_nodes(vec![node])
}

#[tokio::test]
async fn the_requests_are_those_of_go_micro() {
    let Some(consul) = Consul::start().await else {
        return;
    };
    let recorder = Recorder::open(consul.server.address()).await;
    let registry = connect(config(recorder.address)).await;
    recorder.take();

    let ttl = Some(Duration::from_secs(30));
    registry
        .register(&record(), RegisterOptions { ttl })
        .await
        .unwrap();
    let requests = recorder.take();
    let lines: Vec<&str> = requests.iter().map(|request| request.0.as_str()).collect();
    assert_eq!(
        lines,
        [
            "GET /v1/agent/service/interop.greeter-node-1",
            "PUT /v1/agent/service/register",
            "PUT /v1/agent/check/pass/service:interop.greeter-node-1?note=",
        ]
    );
    let body = &requests[1].1;
    let (before, rest) = body.split_once(r#""Tags":["#).unwrap();
    let (tags, after) = rest.split_once(']').unwrap();
    assert_eq!(
        before,
        r#"{"ID":"interop.greeter-node-1","Name":"interop.greeter","#
    );
    assert_eq!(
        after,
        concat!(
            r#","Port":9101,"Address":"127.0.0.1","Meta":{"protocol":"mucp"},"#,
            r#""Check":{"TTL":"30s","DeregisterCriticalServiceAfter":"1m5s"},"Checks":null}"#
        )
    );
    let kinds: Vec<&str> = tags.split(',').map(|tag| &tag[1..7]).collect();
    assert_eq!(kinds, ["t-789c", "v-789c"]);
    assert_eq!(requests[2].1, "");

    until(&registry, "interop.greeter", &["interop.greeter-node-1"]).await;
    recorder.take();
    registry.get_service("interop.greeter").await.unwrap();
    registry.list_services().await.unwrap();
    registry.deregister(&record()).await.unwrap();
    let lines = recorder.lines();
    assert_eq!(lines[0], "GET /v1/health/service/interop.greeter?stale=");
    assert_eq!(lines[1], "GET /v1/catalog/services");
    let deregister = "PUT /v1/agent/service/deregister/interop.greeter-node-1";
    assert!(lines.contains(&deregister.to_owned()), "{lines:?}");
}

#[tokio::test]
async fn what_go_micro_registered_is_read() {
    let Some(consul) = Consul::start().await else {
        return;
    };
    let registry = connect_to(&consul).await;
    // Captured of Go Micro.
    let body = concat!(
        r#"{"ID":"interop.greeter-node-1","Name":"interop.greeter","Tags":["#,
        r#""t-789caa562a28ca2fc94fcecf51b252ca2d4d2e50aa05040000ffff46a906e2","#,
        r#""v-789c32d433d03300040000ffff02ce00ee"],"Port":9101,"Address":"127.0.0.1","#,
        r#""Meta":{"protocol":"mucp"},"#,
        r#""Check":{"TTL":"30s","DeregisterCriticalServiceAfter":"1m5s"},"Checks":null}"#
    );
    consul.tell("/v1/agent/service/register", body).await;
    consul
        .tell("/v1/agent/check/pass/service:interop.greeter-node-1?note=", "")
        .await;
    until(&registry, "interop.greeter", &["interop.greeter-node-1"]).await;
    assert_eq!(registry.get_service("interop.greeter").await.unwrap(), [record()]);
    let listed = registry.list_services().await.unwrap();
    assert!(
        listed.contains(&ServiceRecord::new("interop.greeter", "1.0.0")),
        "{listed:?}"
    );
    registry.deregister(&record()).await.unwrap();
    until(&registry, "interop.greeter", &[]).await;
}

#[tokio::test]
async fn the_plain_tags_of_old_and_services_of_others_are_read() {
    let Some(consul) = Consul::start().await else {
        return;
    };
    let registry = connect_to(&consul).await;
    let old = r#"{"ID":"old-1","Name":"old","Port":1,"Address":"127.0.0.1",
        "Tags":["t={\"protocol\":\"mucp\"}","e={\"name\":\"Old.Call\"}","v=0.9"]}"#;
    consul.tell("/v1/agent/service/register", old).await;
    let others = r#"{"ID":"redis-1","Name":"redis","Port":6379,"Tags":["primary","v7","eu-west"]}"#;
    consul.tell("/v1/agent/service/register", others).await;
    until(&registry, "old", &["old-1"]).await;
    until(&registry, "redis", &["redis-1"]).await;

    let found = registry.get_service("old").await.unwrap();
    let mut expected = ServiceRecord::new("old", "0.9").with_nodes(vec![
        Node::new("old-1", "127.0.0.1:1").with_metadata("protocol", "mucp"),
    ]);
    expected.endpoints.push(Endpoint {
        name: "Old.Call".into(),
        ..Endpoint::default()
    });
    assert_eq!(found, [expected]);
    // Of a service without an address of its own, it is the agent's.
    let found = registry.get_service("redis").await.unwrap();
    assert_eq!(found[0].nodes, [Node::new("redis-1", "127.0.0.1:6379")]);
}
