//! What a source lives through when a Consul goes and comes.

use std::time::Duration;

use micro_consul_config::{ConsulAgents, ConsulSource};
use micro_testkit::proxy::Proxy;
use serde_json::json;

use crate::consul::{Consul, config_at, follow, source, until};

#[tokio::test]
async fn a_connection_that_falls_silent_is_given_up() {
    let Some(consul) = Consul::start().await else {
        return;
    };
    let proxy = Proxy::open(consul.server.address()).await.unwrap();
    consul.put("shop/a", "1").await;
    let mut config = config_at(vec![proxy.address().to_string()], "shop/");
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
async fn a_restart_that_nobody_noticed_is_no_reason_to_miss_what_is_there_now() {
    let Some(mut consul) = Consul::start().await else {
        return;
    };
    consul.put("shop/a", "1").await;
    let config = follow(source(&consul, "shop/")).await;
    for value in 2..4 {
        consul.server.start_empty().await.unwrap();
        // So that the index is beyond, at or before the one that was seen.
        consul.put("shop/b", "0").await;
        consul.put("shop/a", &value.to_string()).await;
        until(&config, "a", json!(value)).await;
    }
}
