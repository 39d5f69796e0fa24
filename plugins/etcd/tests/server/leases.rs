//! One lease for each node, whatever is registered how often.

use std::time::Duration;

use micro_core::ErrorKind;
use micro_core::registry::{RegisterOptions, Registry};

use crate::etcd::{Etcd, LONG, connect_to, greeter, ids, in_base64, next};

async fn count(etcd: &Etcd) -> usize {
    etcd.post("/v3/lease/leases", "{}")
        .await
        .matches(r#""ID""#)
        .count()
}

#[tokio::test]
async fn registering_again_keeps_one_lease_and_deregistering_gives_it_back() {
    let Some(etcd) = Etcd::start().await else { return };
    let registry = connect_to(&etcd).await;
    let mut record = greeter("a");
    for _ in 0..5 {
        registry.register(&record, LONG).await.unwrap();
    }
    assert_eq!(count(&etcd).await, 1);
    record.nodes[0].address = "127.0.0.1:9102".into();
    registry.register(&record, LONG).await.unwrap();
    assert_eq!(count(&etcd).await, 1, "another record has the same lease");
    let shorter = RegisterOptions {
        ttl: Some(Duration::from_secs(300)),
    };
    registry.register(&record, shorter).await.unwrap();
    assert_eq!(
        count(&etcd).await,
        1,
        "another time to live has another lease, and the old one is given back"
    );
    let many = (0..16).map(|_| registry.register(&record, LONG));
    for registered in futures_util::future::join_all(many).await {
        registered.unwrap();
    }
    assert_eq!(count(&etcd).await, 1, "of several at once one stays");
    registry
        .register(&record, RegisterOptions::default())
        .await
        .unwrap();
    assert_eq!(count(&etcd).await, 0, "a record that stays for ever has none");
    assert_eq!(
        registry.get_service("greeter").await.unwrap()[0].nodes,
        record.nodes
    );
    registry.register(&record, LONG).await.unwrap();
    registry.deregister(&record).await.unwrap();
    assert_eq!(count(&etcd).await, 0);
}

#[tokio::test]
async fn what_others_deleted_is_back_with_the_next_registration() {
    let Some(etcd) = Etcd::start().await else { return };
    let registry = connect_to(&etcd).await;
    let mut watcher = registry.watch(Some("greeter")).await.unwrap();
    registry.register(&greeter("a"), LONG).await.unwrap();
    next(&mut watcher).await;
    let delete = format!(r#"{{"key":"{}"}}"#, in_base64("/micro/registry/greeter/a"));
    etcd.post("/v3/kv/deleterange", &delete).await;
    next(&mut watcher).await;
    registry.register(&greeter("a"), LONG).await.unwrap();
    assert_eq!(ids(&registry.get_service("greeter").await.unwrap()), ["a"]);
    assert_eq!(count(&etcd).await, 1);
}

#[tokio::test]
async fn a_record_that_is_refused_leaves_no_lease_behind() {
    let Some(etcd) = Etcd::start().await else { return };
    let registry = connect_to(&etcd).await;
    for size in [1_700_000, 4_000_000] {
        let mut record = greeter("a");
        record.nodes[0].metadata.insert("large".into(), "x".repeat(size));
        let error = registry.register(&record, LONG).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
        assert!(error.detail().contains("/micro/registry/greeter/a"), "{error}");
    }
    assert_eq!(count(&etcd).await, 0);
}
