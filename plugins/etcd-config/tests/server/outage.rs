//! What a source lives through when an etcd goes and comes.

use serde_json::json;

use crate::etcd::{Etcd, follow, source, until, until_well};

#[tokio::test]
async fn after_a_restart_with_data_nothing_is_lost() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    etcd.put("/shop/a", "1").await;
    let config = follow(source(&etcd, "/shop/")).await;
    etcd.server.start_again().await.unwrap();
    until_well(&config, true).await;
    assert_eq!(config.get::<u8>("a").unwrap(), 1);
    etcd.put("/shop/b", "2").await;
    until(&config, "b", json!(2)).await;
    assert_eq!(config.get::<u8>("a").unwrap(), 1);
}

#[tokio::test]
async fn an_etcd_that_comes_back_beyond_what_was_seen_is_no_reason_to_miss_what_is_there_now() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    etcd.put("/shop/a", "1").await;
    let config = follow(source(&etcd, "/shop/")).await;
    for value in 2..4 {
        etcd.server.start_empty().await.unwrap();
        etcd.put("/shop/a", &value.to_string()).await;
        for other in 0..20 {
            etcd.put("/else", &other.to_string()).await;
        }
        until(&config, "a", json!(value)).await;
    }
}
