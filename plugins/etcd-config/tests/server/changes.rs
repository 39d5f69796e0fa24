//! Changes, as whoever watches sees them.

use std::time::Duration;

use micro_config::{Config, Source};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::etcd::{Etcd, PATIENCE, follow, next, until, until_well};

#[tokio::test]
async fn a_change_is_seen_within_a_second() {
    const CHANGES: u32 = 10;
    let Some(etcd) = Etcd::start().await else { return };
    etcd.put("/shop/database/size", "0").await;
    let config = follow(etcd.source("/shop/")).await;
    let mut watch = config.watch::<Value>("database.size");
    let mut longest = Duration::ZERO;
    for size in 1..=CHANGES {
        let put = Instant::now();
        etcd.put("/shop/database/size", &size.to_string()).await;
        assert_eq!(next(&mut watch).await, json!(size));
        longest = longest.max(put.elapsed());
    }
    println!("from a put to the watch's value: at most {longest:?} of {CHANGES}, 100 ms of it debouncing");
    assert!(longest < Duration::from_secs(1), "{longest:?}");
}

#[tokio::test]
async fn keys_come_and_go() {
    let Some(etcd) = Etcd::start().await else { return };
    etcd.put("/shop/a", "1").await;
    let config = follow(etcd.source("/shop")).await;
    let mut watch = config.watch::<Value>("");
    etcd.put("/shop/b/c", r#"{"d": 2}"#).await;
    assert_eq!(next(&mut watch).await, json!({"a": 1, "b": {"c": {"d": 2}}}));
    etcd.delete("/shop/a").await;
    assert_eq!(next(&mut watch).await, json!({"b": {"c": {"d": 2}}}));
    etcd.put("/shop", r#"{"e": 4}"#).await;
    assert_eq!(next(&mut watch).await, json!({"b": {"c": {"d": 2}}, "e": 4}));
    etcd.put("/shop/b/c", "{").await;
    until_well(&config, false).await;
    assert!(config.refused().unwrap().error.to_string().contains("/shop/b/c"));
    assert_eq!(config.get::<u8>("b.c.d").unwrap(), 2, "the last good stays");
    etcd.put("/shop/b/c", r#"{"d": 3}"#).await;
    assert_eq!(next(&mut watch).await, json!({"b": {"c": {"d": 3}}, "e": 4}));
}

#[tokio::test]
async fn a_prefix_that_has_no_key_yet_may_get_one_and_lose_it() {
    let Some(etcd) = Etcd::start().await else { return };
    let config = Config::builder()
        .optional(etcd.source("/shop/"))
        .build()
        .await
        .unwrap();
    let put = Instant::now();
    etcd.put("/shop/a", "1").await;
    until(&config, "a", json!(1)).await;
    println!("from the first put of all to its value: {:?}", put.elapsed());
    etcd.delete("/shop/a").await;
    until_well(&config, false).await;
    assert_eq!(config.get::<u8>("a").unwrap(), 1, "the last good stays");
    etcd.put("/shop/a", "2").await;
    until(&config, "a", json!(2)).await;
}

#[tokio::test]
async fn a_change_while_nobody_waits_is_not_missed() {
    let Some(etcd) = Etcd::start().await else { return };
    etcd.put("/shop/a", "1").await;
    let mut source = etcd.source("/shop/");
    source.read().await.unwrap();
    etcd.put("/shop/a", "2").await;
    timeout(PATIENCE, source.changed()).await.unwrap().unwrap();
    source.read().await.unwrap();
    // A wait that is dropped goes on.
    let waited = timeout(Duration::from_millis(200), source.changed()).await;
    assert!(waited.is_err(), "nothing changed");
    etcd.put("/shop/a", "3").await;
    timeout(PATIENCE, source.changed()).await.unwrap().unwrap();
}

#[tokio::test]
async fn others_keys_wake_nobody() {
    let Some(etcd) = Etcd::start().await else { return };
    etcd.put("/shop/a", "1").await;
    let mut source = etcd.source("/shop");
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
    let config = follow(etcd.source("/shop/")).await;
    for value in 2..5 {
        etcd.put("/shop/a", &value.to_string()).await;
        etcd.put("/shop/b", &value.to_string()).await;
        let body = format!(r#"{{"revision":"{}","physical":true}}"#, etcd.revision().await);
        etcd.post("/v3/kv/compaction", &body).await;
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
    let config = follow(etcd.source("/shop/")).await;
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
