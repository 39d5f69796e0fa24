//! Changes, as whoever watches sees them.

use std::time::Duration;

use micro_config::Source;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::etcd::{Etcd, PATIENCE, follow, next, source, until};

#[tokio::test]
async fn the_key_that_is_called_as_the_folder_counts_too() {
    let Some(etcd) = Etcd::start().await else { return };
    etcd.put("/shop/a", "1").await;
    let config = follow(source(&etcd, "/shop")).await;
    let mut watch = config.watch::<Value>("");
    etcd.put("/shop", r#"{"b": 2}"#).await;
    assert_eq!(next(&mut watch).await, json!({"a": 1, "b": 2}));
}

#[tokio::test]
async fn others_keys_wake_nobody() {
    let Some(etcd) = Etcd::start().await else { return };
    etcd.put("/shop/a", "1").await;
    let mut source = source(&etcd, "/shop");
    source.read().await.unwrap();
    let waiting = timeout(Duration::from_millis(500), source.changed());
    let others = async {
        for number in 0..10 {
            etcd.put("/shopping", &number.to_string()).await;
            etcd.put("/shop-2", &number.to_string()).await;
        }
    };
    let (waited, ()) = tokio::join!(waiting, others);
    assert!(waited.is_err());
}

#[tokio::test]
async fn what_happened_is_seen_though_etcd_forgot_it() {
    let Some(etcd) = Etcd::start().await else { return };
    etcd.put("/shop/a", "1").await;
    let config = follow(source(&etcd, "/shop/")).await;
    for value in 2..5 {
        etcd.put("/shop/a", &value.to_string()).await;
        etcd.put("/shop/b", &value.to_string()).await;
        etcd.forget_history().await;
        until(&config, "a", json!(value)).await;
        until(&config, "b", json!(value)).await;
    }
}

#[tokio::test]
async fn a_closed_configuration_watches_no_more() {
    const WATCHERS: &str = "etcd_debugging_mvcc_watcher_total";
    let Some(etcd) = Etcd::start().await else { return };
    let before = etcd.metric(WATCHERS).await;
    etcd.put("/shop/a", "1").await;
    let config = follow(source(&etcd, "/shop/")).await;
    for value in 2..5 {
        etcd.put("/shop/a", &value.to_string()).await;
        until(&config, "a", json!(value)).await;
    }
    let until = Instant::now() + PATIENCE;
    let one: u32 = before.parse::<u32>().unwrap() + 1;
    while etcd.metric(WATCHERS).await != one.to_string() {
        assert!(Instant::now() < until, "never one watcher");
        sleep(Duration::from_millis(20)).await;
    }
    config.close().await;
    while etcd.metric(WATCHERS).await != before {
        assert!(Instant::now() < until, "a watcher stays");
        sleep(Duration::from_millis(20)).await;
    }
}
