//! Subscriptions that find their nsqds in directories.

use std::collections::BTreeMap;
use std::time::Duration;

use micro_core::{Broker, ErrorKind};
use micro_nsq::NsqConfig;
use servers::{Kind, Server};
use tokio::time::sleep;

use crate::nsq::{Nsqd, connect, publish, queue, until_all};

fn found_by(directories: &[&Server]) -> NsqConfig {
    let addresses = directories
        .iter()
        .map(|directory| directory.http_address().to_string());
    NsqConfig {
        nsqds: Vec::new(),
        lookupds: addresses.collect(),
        lookup_every: Duration::from_millis(200),
        ..NsqConfig::default()
    }
}

async fn nsqd_of(directories: &[&Server]) -> Option<Nsqd> {
    let arguments = directories
        .iter()
        .map(|directory| format!("-lookupd-tcp-address={}", directory.address()));
    let arguments: Vec<String> = arguments.collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Nsqd::start_with(&arguments).await
}

#[tokio::test]
async fn all_nsqds_of_a_topic_are_found_also_those_that_come_later() {
    let Some(mut first) = servers::start_or_skip(Kind::Nsqlookupd).await else {
        return;
    };
    let Some(second) = servers::start_or_skip(Kind::Nsqlookupd).await else {
        return;
    };
    let Some(one) = nsqd_of(&[&first, &second]).await else {
        return;
    };
    let broker = connect(found_by(&[&first, &second])).await;
    let mut member = broker.subscribe("orders", queue("workers", 4)).await.unwrap();
    let mut seen = BTreeMap::new();
    publish(&one.connect().await, "orders", "0").await.unwrap();
    until_all(&mut member, &[0], &mut seen).await;
    // One directory is enough, and a subscription goes on without any.
    first.kill().await.unwrap();
    let Some(other) = nsqd_of(&[&second]).await else {
        return;
    };
    publish(&other.connect().await, "orders", "1").await.unwrap();
    until_all(&mut member, &[1], &mut seen).await;
    drop(second);
    sleep(Duration::from_millis(500)).await;
    for number in 2..10 {
        let nsqd = if number % 2 == 0 { &one } else { &other };
        publish(&nsqd.connect().await, "orders", &number.to_string())
            .await
            .unwrap();
    }
    until_all(&mut member, &(0..10).collect::<Vec<_>>(), &mut seen).await;
    assert!(seen.values().all(|count| *count == 1), "{seen:?}");
}

#[tokio::test]
async fn without_any_directory_nothing_is_subscribed_to() {
    let Some(mut directory) = servers::start_or_skip(Kind::Nsqlookupd).await else {
        return;
    };
    let broker = connect(found_by(&[&directory])).await;
    let error = publish(&broker, "orders", "x").await.unwrap_err();
    assert!(error.detail().contains("nsqds"), "{error}");
    directory.kill().await.unwrap();
    let error = broker.subscribe("orders", queue("workers", 1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(
        error.detail().contains(&directory.http_address().to_string()),
        "{error}"
    );
}
