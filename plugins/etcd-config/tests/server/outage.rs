//! What a source lives through when an etcd goes and comes.

use micro_config::{Config, ErrorKind};
use micro_etcd_config::EtcdSource;
use micro_testkit::proxy::Proxy;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::etcd::{Etcd, PATIENCE, config, follow, until, until_well};

#[tokio::test]
async fn a_change_during_an_outage_is_seen_after_it_and_the_last_good_stays_meanwhile() {
    let Some(etcd) = Etcd::start().await else { return };
    let mut proxy = Proxy::open(etcd.server.address()).await.unwrap();
    etcd.put("/shop/a", "1").await;
    let source = EtcdSource::new(config(&proxy.address().to_string(), "/shop/")).unwrap();
    let config = follow(source).await;
    for value in 2..5 {
        proxy.cut().await;
        etcd.put("/shop/a", &value.to_string()).await;
        let body = format!(r#"{{"revision":"{}"}}"#, etcd.revision().await);
        etcd.post("/v3/kv/compaction", &body).await;
        until_well(&config, false).await;
        assert_eq!(config.get::<u32>("a").unwrap(), value - 1, "the last good stays");
        let error = config.sources()[0].state.error().unwrap().clone();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(
            error.to_string().contains(&proxy.address().to_string()),
            "{error}"
        );
        proxy.mend().await.unwrap();
        let mended = Instant::now();
        until(&config, "a", json!(value)).await;
        println!("back after an outage: {:?}", mended.elapsed());
        until_well(&config, true).await;
    }
}

#[tokio::test]
async fn after_a_restart_with_data_nothing_is_lost() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    etcd.put("/shop/a", "1").await;
    let config = follow(etcd.source("/shop/")).await;
    etcd.server.start_again().await.unwrap();
    until_well(&config, true).await;
    assert_eq!(config.get::<u8>("a").unwrap(), 1);
    etcd.put("/shop/b", "2").await;
    until(&config, "b", json!(2)).await;
    assert_eq!(config.get::<u8>("a").unwrap(), 1);
}

#[tokio::test]
async fn an_etcd_that_comes_back_without_its_data_keeps_the_last_good_until_there_is_something() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    etcd.put("/shop/a", "1").await;
    let config = follow(etcd.source("/shop/")).await;
    etcd.server.kill().await.unwrap();
    until_well(&config, false).await;
    etcd.server.start_empty().await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while config.sources()[0].state.error().map(micro_config::Error::kind) != Some(ErrorKind::Missing) {
        assert!(Instant::now() < deadline, "{:?}", config.sources());
        sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(config.get::<u8>("a").unwrap(), 1, "the last good stays");
    etcd.put("/shop/a", "2").await;
    until(&config, "a", json!(2)).await;
}

#[tokio::test]
async fn an_etcd_that_comes_back_beyond_what_was_seen_is_no_reason_to_miss_what_is_there_now() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    etcd.put("/shop/a", "1").await;
    let config = follow(etcd.source("/shop/")).await;
    for value in 2..4 {
        etcd.server.start_empty().await.unwrap();
        etcd.put("/shop/a", &value.to_string()).await;
        for other in 0..20 {
            etcd.put("/else", &other.to_string()).await;
        }
        until(&config, "a", json!(value)).await;
    }
}

#[tokio::test]
async fn an_endpoint_that_is_away_is_left_for_the_next() {
    let Some(etcd) = Etcd::start().await else { return };
    let mut proxy = Proxy::open(etcd.server.address()).await.unwrap();
    etcd.put("/shop/a", "1").await;
    let mut of_two = etcd.config("/shop/");
    of_two.servers.endpoints.insert(0, proxy.address().to_string());
    let config = follow(EtcdSource::new(of_two.clone()).unwrap()).await;
    proxy.cut().await;
    etcd.put("/shop/a", "2").await;
    until(&config, "a", json!(2)).await;
    follow(EtcdSource::new(of_two).unwrap()).await;
}

#[tokio::test]
async fn an_etcd_that_is_not_there_yet_is_waited_for_by_who_does_not_need_it() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    etcd.server.kill().await.unwrap();
    let config = Config::builder()
        .optional(etcd.source("/shop/"))
        .build()
        .await
        .unwrap();
    let error = config.sources()[0].state.error().unwrap().clone();
    assert!(error.to_string().contains("is it running"), "{error}");
    etcd.server.start_again().await.unwrap();
    etcd.put("/shop/a", "1").await;
    until(&config, "a", json!(1)).await;
}
