//! What a source lives through when a Consul goes and comes.

use std::time::Duration;

use micro_config::{Config, ErrorKind};
use micro_consul_config::{ConsulAgents, ConsulSource};
use micro_testkit::proxy::Proxy;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::consul::{Consul, config, follow, until, until_well};

#[tokio::test]
async fn a_change_during_an_outage_is_seen_after_it_and_the_last_good_stays_meanwhile() {
    let Some(consul) = Consul::start().await else {
        return;
    };
    let mut proxy = Proxy::open(consul.server.address()).await.unwrap();
    consul.put("shop/a", "1").await;
    let source = ConsulSource::new(config(&proxy.address().to_string(), "shop/")).unwrap();
    let config = follow(source).await;
    for value in 2..5 {
        proxy.cut().await;
        consul.put("shop/a", &value.to_string()).await;
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
async fn a_connection_that_falls_silent_is_given_up() {
    let Some(consul) = Consul::start().await else {
        return;
    };
    let proxy = Proxy::open(consul.server.address()).await.unwrap();
    consul.put("shop/a", "1").await;
    let mut config = config(&proxy.address().to_string(), "shop/");
    config.agents = ConsulAgents {
        watch_wait: Duration::from_secs(1),
        request_timeout: Duration::from_millis(500),
        ..config.agents
    };
    let config = follow(ConsulSource::new(config).unwrap()).await;
    // Whoever forgot the connection says nothing at all.
    proxy.forget();
    consul.put("shop/a", "2").await;
    until(&config, "a", json!(2)).await;
}

#[tokio::test]
async fn a_consul_that_comes_back_without_its_data_keeps_the_last_good_until_there_is_something() {
    let Some(mut consul) = Consul::start().await else {
        return;
    };
    consul.put("shop/a", "1").await;
    let config = follow(consul.source("shop/")).await;
    consul.server.kill().await.unwrap();
    until_well(&config, false).await;
    consul.server.start_empty().await.unwrap();
    let deadline = Instant::now() + crate::consul::PATIENCE;
    while config.sources()[0].state.error().map(micro_config::Error::kind) != Some(ErrorKind::Missing) {
        assert!(Instant::now() < deadline, "{:?}", config.sources());
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(config.get::<u8>("a").unwrap(), 1, "the last good stays");
    consul.put("shop/a", "2").await;
    until(&config, "a", json!(2)).await;
}

#[tokio::test]
async fn a_restart_that_nobody_noticed_is_no_reason_to_miss_what_is_there_now() {
    let Some(mut consul) = Consul::start().await else {
        return;
    };
    consul.put("shop/a", "1").await;
    let config = follow(consul.source("shop/")).await;
    for value in 2..4 {
        consul.server.start_empty().await.unwrap();
        // So that the index is beyond, at or before the one that was seen.
        consul.put("shop/b", "0").await;
        consul.put("shop/a", &value.to_string()).await;
        until(&config, "a", json!(value)).await;
    }
}

#[tokio::test]
async fn an_agent_that_is_away_is_left_for_the_next() {
    let Some(consul) = Consul::start().await else {
        return;
    };
    let mut proxy = Proxy::open(consul.server.address()).await.unwrap();
    consul.put("shop/a", "1").await;
    let mut of_two = consul.config("shop/");
    of_two.agents.addresses.insert(0, proxy.address().to_string());
    let config = follow(ConsulSource::new(of_two.clone()).unwrap()).await;
    proxy.cut().await;
    consul.put("shop/a", "2").await;
    until(&config, "a", json!(2)).await;
    follow(ConsulSource::new(of_two).unwrap()).await;
}

#[tokio::test]
async fn a_consul_that_is_not_there_yet_is_waited_for_by_who_does_not_need_it() {
    let Some(mut consul) = Consul::start().await else {
        return;
    };
    consul.server.kill().await.unwrap();
    let config = Config::builder()
        .optional(consul.source("shop/"))
        .build()
        .await
        .unwrap();
    let error = config.sources()[0].state.error().unwrap().clone();
    assert!(error.to_string().contains("is it running"), "{error}");
    consul.server.start_again().await.unwrap();
    consul.put("shop/a", "1").await;
    until(&config, "a", json!(1)).await;
}
