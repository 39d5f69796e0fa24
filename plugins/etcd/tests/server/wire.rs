//! The keys and the bytes are those of Go Micro.

use std::time::Duration;

use micro_core::registry::{Action, Node, RegisterOptions, Registry, ServiceRecord};

use crate::etcd::{Etcd, LONG, connect_to, greeter, ids, in_base64, next};

const CAPTURED: &str = include_str!("../captured/greeter.json");
const KEY: &str = "/micro/registry/interop.greeter/interop.greeter-node-1";

#[tokio::test]
async fn what_go_micro_put_is_read_and_what_is_put_has_the_same_bytes() {
    let Some(etcd) = Etcd::start().await else { return };
    let registry = connect_to(&etcd).await;
    let mut watcher = registry.watch(Some("interop.greeter")).await.unwrap();
    etcd.put(KEY, CAPTURED).await;
    let told = next(&mut watcher).await;
    assert_eq!(told.action, Action::Create);
    let found = registry.get_service("interop.greeter").await.unwrap();
    assert_eq!(found, [told.service]);
    assert_eq!(found[0].endpoints.len(), 4);

    registry.deregister(&found[0]).await.unwrap();
    let options = RegisterOptions {
        ttl: Some(Duration::from_secs(30)),
    };
    registry.register(&found[0], options).await.unwrap();
    let range = format!(r#"{{"key":"{}"}}"#, in_base64(KEY));
    let kept = etcd.post("/v3/kv/range", &range).await;
    assert!(
        kept.contains(&format!(r#""value":"{}""#, in_base64(CAPTURED))),
        "{kept}"
    );
    assert!(kept.contains(r#""lease":"#), "{kept}");
    let leases = etcd.post("/v3/lease/leases", "{}").await;
    let id = leases
        .split(r#""ID":""#)
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let lease = etcd
        .post("/v3/lease/timetolive", &format!(r#"{{"ID":"{id}"}}"#))
        .await;
    assert!(lease.contains(r#""grantedTTL":"30""#), "{lease}");
}

#[tokio::test]
async fn slashes_become_dashes_and_nobody_loses_a_key_by_it() {
    let Some(etcd) = Etcd::start().await else { return };
    let registry = connect_to(&etcd).await;
    let slash = ServiceRecord::new("a/b", "1").with_nodes(vec![Node::new("n/1", "127.0.0.1:1")]);
    let dash = ServiceRecord::new("a-b", "1").with_nodes(vec![Node::new("n-1", "127.0.0.1:2")]);
    registry.register(&slash, LONG).await.unwrap();
    let error = registry.register(&dash, LONG).await.unwrap_err();
    assert!(
        error.detail().contains("/micro/registry/a-b/n-1") && error.detail().contains("a/b"),
        "{error}"
    );
    registry.deregister(&dash).await.unwrap();
    assert_eq!(ids(&registry.get_service("a/b").await.unwrap()), ["n/1"]);
    assert!(registry.get_service("a-b").await.is_err());
    registry.register(&slash, LONG).await.unwrap();
    registry.deregister(&slash).await.unwrap();
    registry.register(&dash, LONG).await.unwrap();
}

#[tokio::test]
async fn what_is_no_record_harms_nobody() {
    let Some(etcd) = Etcd::start().await else { return };
    let registry = connect_to(&etcd).await;
    let mut watcher = registry.watch(None).await.unwrap();
    for (key, value) in [
        ("greeter/x", "garbage"),
        ("greeter/y", ""),
        ("z", "[[[["),
        ("greeter/a", "{}"),
    ] {
        etcd.put(&format!("/micro/registry/{key}"), value).await;
    }
    registry.register(&greeter("a"), LONG).await.unwrap();
    assert_eq!(next(&mut watcher).await.service, greeter("a"));
    assert_eq!(registry.list_services().await.unwrap(), [greeter("a")]);
    assert_eq!(registry.get_service("greeter").await.unwrap(), [greeter("a")]);
}
