//! What is kept when the server is killed and comes back.

use std::time::Duration;

use micro_core::broker::SubscribeOptions;
use micro_core::{Broker, Error};
use servers::Kind;
use tokio::time::Instant;

use crate::nats::{PATIENCE, body, config, connect, durable, next, publish, queue};

#[tokio::test]
async fn events_in_jetstream_outlive_the_server_and_their_publisher() {
    let Some(mut server) = servers::start_or_skip(Kind::Nats).await else {
        return;
    };
    let workers = connect(durable(&server)).await;
    let mut member = workers
        .subscribe("orders.new", queue("workers", 1))
        .await
        .unwrap();
    let mut alone = workers
        .subscribe("orders.new", SubscribeOptions::default())
        .await
        .unwrap();
    let publisher = connect(durable(&server)).await;
    publish(&publisher, "orders.new", "1").await.unwrap();
    assert_eq!(body(&mut member).await, "1");
    drop(member);
    publish(&publisher, "orders.new", "2").await.unwrap();
    drop(publisher);
    server.start_again().await.unwrap();
    // Kept for the queue, which had no member, and for the subscription, which was away with the server.
    let mut member = workers
        .subscribe("orders.new", queue("workers", 1))
        .await
        .unwrap();
    assert_eq!(body(&mut member).await, "2");
    let (first, second) = (body(&mut alone).await, body(&mut alone).await);
    // An acknowledgement may have been lost with the server.
    assert!(first == "1" || second == "2", "{first:?} {second:?}");
}

#[tokio::test]
async fn it_works_again_within_a_second_of_the_servers_return() {
    let Some(mut server) = servers::start_or_skip(Kind::Nats).await else {
        return;
    };
    let broker = connect(config(&server)).await;
    let mut subscription = broker
        .subscribe("orders", SubscribeOptions::default())
        .await
        .unwrap();
    server.kill().await.unwrap();
    // Published while nobody is there, it waits until somebody is.
    let waiting = tokio::spawn({
        let broker = broker.clone();
        async move { publish(&broker, "orders", "waited").await }
    });
    tokio::time::sleep(Duration::from_millis(1500)).await;
    server.start_again().await.unwrap();
    let back = Instant::now();
    waiting.await.unwrap().unwrap();
    let took = back.elapsed();
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    // The subscription may have come back later than the publisher, which keeps nothing for it.
    let heard = tokio::time::timeout(PATIENCE, async {
        loop {
            publish(&broker, "orders", "again").await.unwrap();
            if let Ok(Some(Ok(_))) =
                tokio::time::timeout(Duration::from_millis(100), subscription.next()).await
            {
                return;
            }
        }
    });
    heard.await.unwrap();
}

#[tokio::test]
async fn a_server_that_comes_back_empty_gets_its_streams_anew() {
    let Some(mut server) = servers::start_or_skip(Kind::Nats).await else {
        return;
    };
    let broker = connect(durable(&server)).await;
    let mut member = broker.subscribe("orders", queue("workers", 4)).await.unwrap();
    publish(&broker, "orders", "1").await.unwrap();
    assert_eq!(body(&mut member).await, "1");
    server.start_empty().await.unwrap();
    let heard = tokio::time::timeout(PATIENCE, async {
        loop {
            publish(&broker, "orders", "2").await.unwrap();
            let heard = tokio::time::timeout(Duration::from_millis(200), body(&mut member)).await;
            if heard.is_ok_and(|body| body == "2") {
                return;
            }
        }
    });
    heard.await.unwrap();
}

#[tokio::test]
async fn how_often_an_event_was_given_out_is_counted() {
    let Some(server) = servers::start_or_skip(Kind::Nats).await else {
        return;
    };
    let broker = connect(durable(&server)).await;
    let mut member = broker.subscribe("orders", queue("workers", 1)).await.unwrap();
    publish(&broker, "orders", "x").await.unwrap();
    let event = next(&mut member).await;
    assert_eq!(event.deliveries(), Some(1));
    event.reject(&Error::internal("test", "not today")).await.unwrap();
    let event = next(&mut member).await;
    assert_eq!(event.deliveries(), Some(2));
    drop(event);
    let event = next(&mut member).await;
    assert_eq!(event.deliveries(), Some(3));
    // Longer than the server waits: it is told that the work goes on.
    tokio::time::sleep(Duration::from_secs(5)).await;
    event.acknowledge().await.unwrap();
    publish(&broker, "orders", "y").await.unwrap();
    let mut event = next(&mut member).await;
    assert_eq!(
        (event.deliveries(), event.take_message().body),
        (Some(1), "y".into())
    );
}
