//! Changes, as whoever watches sees them.

use std::time::Duration;

use micro_config::{Config, Source};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::consul::{Consul, PATIENCE, follow, next, until, until_well};

#[tokio::test]
async fn a_change_is_seen_within_a_second() {
    const CHANGES: u32 = 10;
    let Some(consul) = Consul::start().await else {
        return;
    };
    consul.put("shop/database/size", "0").await;
    let config = follow(consul.source("shop/")).await;
    let mut watch = config.watch::<Value>("database.size");
    let mut longest = Duration::ZERO;
    for size in 1..=CHANGES {
        let put = Instant::now();
        consul.put("shop/database/size", &size.to_string()).await;
        assert_eq!(next(&mut watch).await, json!(size));
        longest = longest.max(put.elapsed());
    }
    println!("from a put to the watch's value: at most {longest:?} of {CHANGES}, 100 ms of it debouncing");
    assert!(longest < Duration::from_secs(1), "{longest:?}");
}

#[tokio::test]
async fn keys_come_and_go() {
    let Some(consul) = Consul::start().await else {
        return;
    };
    consul.put("shop/a", "1").await;
    let config = follow(consul.source("shop/")).await;
    let mut watch = config.watch::<Value>("");
    consul.put("shop/b/c", r#"{"d": 2}"#).await;
    assert_eq!(next(&mut watch).await, json!({"a": 1, "b": {"c": {"d": 2}}}));
    consul.delete("shop/a").await;
    assert_eq!(next(&mut watch).await, json!({"b": {"c": {"d": 2}}}));
    consul.put("shop/b/c", "{").await;
    until_well(&config, false).await;
    assert!(config.refused().unwrap().error.to_string().contains("shop/b/c"));
    assert_eq!(config.get::<u8>("b.c.d").unwrap(), 2, "the last good stays");
    consul.put("shop/b/c", r#"{"d": 3}"#).await;
    assert_eq!(next(&mut watch).await, json!({"b": {"c": {"d": 3}}}));
}

#[tokio::test]
async fn a_prefix_that_has_no_key_yet_may_get_one_and_lose_it() {
    let Some(consul) = Consul::start().await else {
        return;
    };
    let config = Config::builder()
        .optional(consul.source("shop/"))
        .build()
        .await
        .unwrap();
    let put = Instant::now();
    consul.put("shop/a", "1").await;
    until(&config, "a", json!(1)).await;
    println!("from the first put of all to its value: {:?}", put.elapsed());
    consul.delete("shop/a").await;
    until_well(&config, false).await;
    assert_eq!(config.get::<u8>("a").unwrap(), 1, "the last good stays");
    consul.put("shop/a", "2").await;
    until(&config, "a", json!(2)).await;
}

#[tokio::test]
async fn a_change_while_nobody_waits_is_not_missed() {
    let Some(consul) = Consul::start().await else {
        return;
    };
    consul.put("shop/a", "1").await;
    let mut source = consul.source("shop/");
    source.read().await.unwrap();
    consul.put("shop/a", "2").await;
    timeout(PATIENCE, source.changed()).await.unwrap().unwrap();
    source.read().await.unwrap();
    // A wait that is dropped goes on.
    let waited = timeout(Duration::from_millis(200), source.changed()).await;
    assert!(waited.is_err(), "nothing changed");
    consul.put("shop/a", "3").await;
    timeout(PATIENCE, source.changed()).await.unwrap().unwrap();
    assert_eq!(source.read().await.unwrap()[0].origin, "consul key shop/a");
}

#[tokio::test]
async fn others_keys_wake_nobody() {
    let Some(consul) = Consul::start().await else {
        return;
    };
    consul.put("shop/a", "1").await;
    let mut source = consul.source("shop/");
    source.read().await.unwrap();
    let waiting = timeout(Duration::from_millis(500), source.changed());
    let others = async {
        for number in 0..20 {
            consul.put("elsewhere/a", &number.to_string()).await;
        }
    };
    let (waited, ()) = tokio::join!(waiting, others);
    assert!(waited.is_err());
}
