//! What publishing and subscriptions live through.

use std::collections::BTreeMap;
use std::time::Duration;

use micro_core::{Broker, ErrorKind};
use micro_nsq::{NsqBroker, NsqConfig};
use micro_testkit::proxy::Proxy;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};

use crate::nsq::{Nsqd, PATIENCE, body, config, connect, loses_nothing, publish, queue, until_all};

#[tokio::test]
async fn nothing_confirmed_is_lost_over_restarts() {
    let Some(mut nsqd) = Nsqd::start().await else {
        return;
    };
    let broker = nsqd.connect().await;
    let mut member = broker.subscribe("orders", queue("workers", 4)).await.unwrap();
    loses_nothing(&broker, "orders", &mut member, 3, async || {
        nsqd.0.stop().await.unwrap();
        nsqd.0.start_again().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_waits_on_disk_survives_a_kill() {
    let Some(mut nsqd) = Nsqd::start().await else {
        return;
    };
    let broker = nsqd.connect().await;
    drop(broker.subscribe("orders", queue("workers", 1)).await.unwrap());
    nsqd.until_says("orders", r#""clients":[]"#).await;
    for number in 0..100 {
        publish(&broker, "orders", &number.to_string()).await.unwrap();
    }
    nsqd.until_says("orders", r#""channel_name":"workers","depth":100"#)
        .await;
    nsqd.0.kill().await.unwrap();
    nsqd.0.start_again().await.unwrap();
    let mut member = broker.subscribe("orders", queue("workers", 4)).await.unwrap();
    let numbers: Vec<usize> = (0..100).collect();
    until_all(&mut member, &numbers, &mut BTreeMap::new()).await;
}

#[tokio::test]
async fn nothing_confirmed_is_lost_over_cut_connections() {
    let Some(nsqd) = Nsqd::start().await else { return };
    let mut proxy = Proxy::open(nsqd.0.address()).await.unwrap();
    let broker = connect(config(&[proxy.address()])).await;
    let mut member = broker.subscribe("orders", queue("workers", 4)).await.unwrap();
    loses_nothing(&broker, "orders", &mut member, 5, async || {
        proxy.cut().await;
        sleep(Duration::from_millis(50)).await;
        proxy.mend().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn one_nsqd_that_is_away_is_left_for_the_next_and_used_again() {
    let (Some(one), Some(other)) = (Nsqd::start().await, Nsqd::start().await) else {
        return;
    };
    let mut proxy = Proxy::open(one.0.address()).await.unwrap();
    let broker = connect(config(&[proxy.address(), other.0.address()])).await;
    let mut member = broker.subscribe("orders", queue("workers", 4)).await.unwrap();
    let mut seen = BTreeMap::new();
    for number in 0..10 {
        publish(&broker, "orders", &number.to_string()).await.unwrap();
    }
    until_all(&mut member, &(0..10).collect::<Vec<_>>(), &mut seen).await;
    one.until_says("orders", r#""message_count":5"#).await;
    proxy.cut().await;
    let begun = Instant::now();
    for number in 10..20 {
        publish(&broker, "orders", &number.to_string()).await.unwrap();
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    until_all(&mut member, &(0..20).collect::<Vec<_>>(), &mut seen).await;
    proxy.mend().await.unwrap();
    // What is published to the one directly arrives when the subscription is there again.
    let direct = one.connect().await;
    publish(&direct, "orders", "20").await.unwrap();
    until_all(&mut member, &[20], &mut seen).await;
}

#[tokio::test]
async fn it_works_again_as_soon_as_nsqd_does() {
    let Some(nsqd) = Nsqd::start().await else { return };
    let mut proxy = Proxy::open(nsqd.0.address()).await.unwrap();
    let broker = connect(config(&[proxy.address()])).await;
    let mut member = broker.subscribe("orders", queue("workers", 1)).await.unwrap();
    proxy.cut().await;
    let publishing = tokio::spawn({
        let broker = broker.clone();
        async move { publish(&broker, "orders", "kept").await }
    });
    sleep(Duration::from_millis(300)).await;
    proxy.mend().await.unwrap();
    let mended = Instant::now();
    publishing.await.unwrap().unwrap();
    assert!(
        mended.elapsed() < Duration::from_secs(1),
        "{:?}",
        mended.elapsed()
    );
    assert_eq!(body(&mut member).await, "kept");
}

#[tokio::test]
async fn a_connection_that_fell_silent_is_replaced() {
    let Some(nsqd) = Nsqd::start().await else { return };
    let proxy = Proxy::open(nsqd.0.address()).await.unwrap();
    let broker = connect(NsqConfig {
        heartbeat: Duration::from_secs(1),
        response_timeout: Duration::from_millis(500),
        ..config(&[proxy.address()])
    })
    .await;
    let mut member = broker.subscribe("orders", queue("workers", 1)).await.unwrap();
    proxy.forget();
    publish(&broker, "orders", "a").await.unwrap();
    assert_eq!(body(&mut member).await, "a");
}

#[tokio::test]
async fn trouble_is_told_with_the_address_and_what_to_do() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = NsqBroker::connect(config(&[address])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        error.detail().contains(&address.to_string()) && error.detail().contains("is it running"),
        "{error}"
    );
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = NsqConfig {
        connect_timeout: Duration::from_millis(300),
        ..config(&[silent.local_addr().unwrap()])
    };
    let error = timeout(PATIENCE, NsqBroker::connect(config)).await.unwrap();
    let error = error.unwrap_err();
    assert!(error.detail().contains("connect_timeout"), "{error}");
}

#[tokio::test]
async fn publishing_waits_as_long_as_it_may_and_says_so() {
    let Some(mut nsqd) = Nsqd::start().await else {
        return;
    };
    let broker = connect(NsqConfig {
        publish_timeout: Duration::from_millis(500),
        max_pending: 2,
        ..nsqd.config()
    })
    .await;
    nsqd.0.kill().await.unwrap();
    let begun = Instant::now();
    let publishing = (0..5).map(|number| {
        let broker = broker.clone();
        async move { publish(&broker, "orders", &number.to_string()).await }
    });
    for result in futures_util::future::join_all(publishing).await {
        let error = result.unwrap_err();
        for part in ["orders was not published", "publish_timeout", "127.0.0.1"] {
            assert!(error.detail().contains(part), "{error}");
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}
