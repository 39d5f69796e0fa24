//! What survives a RabbitMQ that is killed and comes back, and connections that are cut.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use micro_core::Broker;
use micro_core::broker::Message;
use micro_testkit::proxy::Proxy;
use servers::{Kind, start_or_skip};
use tokio::time::{Instant, sleep, timeout};

use crate::shared::{PATIENCE, at, body, connect, durable, name, next, publish, shared, subscribe};

const MESSAGES: usize = 1_200;
const PUBLISHERS: usize = 6;

/// Publishes numbered events, several at once. Each returns when it was accepted.
async fn publish_all(broker: &micro_rabbitmq::RabbitmqBroker, topic: &str) {
    let publishers = (0..PUBLISHERS).map(|publisher| async move {
        for number in (publisher..MESSAGES).step_by(PUBLISHERS) {
            let message = Message::new(number.to_string());
            broker.publish(topic, message).await.unwrap();
        }
    });
    join_all(publishers).await;
}

/// Acknowledges events until all numbers have come.
async fn receive_all(mut subscription: micro_core::broker::Subscription) {
    let mut seen = BTreeSet::new();
    let receiving = async {
        while seen.len() < MESSAGES {
            let mut event = next(&mut subscription).await;
            let body = event.take_message().body;
            // One that cannot be told comes again.
            if event.acknowledge().await.is_ok() {
                seen.insert(String::from_utf8(body.to_vec()).unwrap());
            }
        }
    };
    let all = timeout(PATIENCE * 2, receiving).await;
    assert!(
        all.is_ok(),
        "of {MESSAGES} accepted events {} arrived",
        seen.len()
    );
}

#[tokio::test]
async fn nothing_durable_is_lost_when_rabbitmq_is_killed_and_comes_back() {
    let Some(mut server) = start_or_skip(Kind::Rabbitmq).await else {
        return;
    };
    let broker = connect(durable(server.address())).await;
    let subscription = subscribe(&broker, "orders", Some("workers")).await;
    let publishing = tokio::spawn({
        let broker = broker.clone();
        async move { publish_all(&broker, "orders").await }
    });
    let receiving = tokio::spawn(receive_all(subscription));
    sleep(Duration::from_millis(150)).await;
    server.start_again().await.unwrap();
    let back = Instant::now();
    publish(&broker, "elsewhere", "x").await;
    let took = back.elapsed();
    assert!(
        took < Duration::from_secs(1),
        "publishing worked after {took:?} only"
    );
    publishing.await.unwrap();
    receiving.await.unwrap();
}

#[tokio::test]
async fn events_wait_in_a_durable_queue_while_nobody_is_there_and_rabbitmq_restarts() {
    let Some(mut server) = start_or_skip(Kind::Rabbitmq).await else {
        return;
    };
    let broker = connect(durable(server.address())).await;
    drop(subscribe(&broker, "orders", Some("workers")).await);
    for number in 0..20 {
        publish(&broker, "orders", number.to_string()).await;
    }
    drop(broker);
    server.start_again().await.unwrap();
    let broker = connect(durable(server.address())).await;
    let mut subscription = subscribe(&broker, "orders", Some("workers")).await;
    for number in 0..20 {
        assert_eq!(body(&mut subscription).await, number.to_string());
    }
}

#[tokio::test]
async fn by_default_all_works_again_after_a_restart_though_queues_are_new() {
    let Some(mut server) = start_or_skip(Kind::Rabbitmq).await else {
        return;
    };
    let broker = connect(at(server.address())).await;
    let mut alone = subscribe(&broker, "orders", None).await;
    let mut shared = subscribe(&broker, "orders", Some("workers")).await;
    server.start_again().await.unwrap();
    for subscription in [&mut alone, &mut shared] {
        let arrives = async {
            loop {
                publish(&broker, "orders", "x").await;
                if timeout(Duration::from_millis(100), next(subscription))
                    .await
                    .is_ok()
                {
                    return;
                }
            }
        };
        timeout(Duration::from_secs(5), arrives)
            .await
            .expect("events again");
    }
}

#[tokio::test]
async fn nothing_durable_is_lost_over_connections_that_are_cut() {
    let mut proxy = Proxy::open(shared()).await.unwrap();
    let mut config = durable(proxy.address());
    config.exchange = Some("micro.cuts".into());
    config.queues.unused_for = Some(Duration::from_secs(120));
    let broker = Arc::new(connect(config).await);
    let (topic, queue) = (name("cut"), name("workers"));
    let subscription = subscribe(&broker, &topic, Some(&queue)).await;
    let publishing = tokio::spawn({
        let (broker, topic) = (broker.clone(), topic.clone());
        async move { publish_all(&broker, &topic).await }
    });
    let receiving = tokio::spawn(receive_all(subscription));
    for _ in 0..5 {
        sleep(Duration::from_millis(60)).await;
        proxy.cut().await;
        proxy.mend().await.unwrap();
    }
    publishing.await.unwrap();
    receiving.await.unwrap();
}

/// The threads that the client runs connections on.
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("lapin-io")).count()
}

/// Alone in its process, unlike the others of this file: see `cargo test -- --ignored`.
#[tokio::test]
#[ignore = "counts the threads of the whole process; run it alone"]
async fn a_dropped_broker_leaves_no_thread_also_at_a_silent_server() {
    let proxy = Proxy::open(shared()).await.unwrap();
    let broker = connect(at(proxy.address())).await;
    let subscription = subscribe(&broker, &name("threads"), None).await;
    assert_eq!(threads(), 2);
    proxy.silence();
    drop((broker, subscription));
    let gone = async {
        while threads() > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(5), gone)
        .await
        .expect("no thread is left");
}
