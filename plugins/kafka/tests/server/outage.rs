//! A Kafka that is restarted, with its data and without.

use std::time::{Duration, Instant};

use micro_core::Broker;
use micro_core::broker::SubscribeOptions;
use micro_kafka::KafkaConfig;

use crate::kafka::{PATIENCE, Proxied, body, connect, name, next, publish, queue, subscribe};

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_within_a_second_of_the_servers_return() {
    let Some(mut kafka) = Proxied::start().await else {
        return;
    };
    let (broker, topic) = (connect(kafka.config()).await, name("return"));
    let mut subscription = subscribe(&broker, &topic, SubscribeOptions::default()).await;
    publish(&broker, &topic, "before").await.unwrap();
    assert_eq!(body(&mut subscription).await, "before");
    for away in [1, 3] {
        kafka.proxy.cut().await;
        tokio::time::sleep(Duration::from_secs(away)).await;
        kafka.proxy.mend().await.unwrap();
        let begun = Instant::now();
        publish(&broker, &topic, "after").await.unwrap();
        let published = begun.elapsed();
        assert_eq!(body(&mut subscription).await, "after");
        let arrived = begun.elapsed();
        println!("away {away} s: published after {published:?}, arrived after {arrived:?}");
        assert!(
            published < Duration::from_secs(1),
            "published after {published:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lost_its_data_is_begun_anew_with() {
    let Some(mut kafka) = Proxied::start().await else {
        return;
    };
    let (broker, topic) = (connect(kafka.config()).await, name("empty"));
    let mut alone = subscribe(&broker, &topic, SubscribeOptions::default()).await;
    let mut shared = subscribe(&broker, &topic, queue("workers")).await;
    for number in 0..50 {
        publish(&broker, &topic, &number.to_string()).await.unwrap();
    }
    for number in 0..50 {
        assert_eq!(body(&mut alone).await, number.to_string());
        assert_eq!(body(&mut shared).await, number.to_string());
    }
    kafka.server.start_empty().await.unwrap();
    let begun = Instant::now();
    while publish(&broker, &topic, "anew").await.is_err() {
        assert!(begun.elapsed() < PATIENCE, "publishing does not work again");
    }
    println!("published anew after {:?}", begun.elapsed());
    for subscription in [&mut alone, &mut shared] {
        let event = next(subscription).await;
        assert_eq!(event.message().body, "anew");
        event.acknowledge().await.unwrap();
        println!("arrived anew after {:?}", begun.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_without_a_server_is_not_waited_for_without_end() {
    let Some(mut kafka) = Proxied::start().await else {
        return;
    };
    let (broker, topic) = (connect(kafka.config()).await, name("stranded"));
    let mut subscription = subscribe(&broker, &topic, queue("workers")).await;
    publish(&broker, &topic, "a").await.unwrap();
    assert_eq!(body(&mut subscription).await, "a");
    kafka.server.kill().await.unwrap();
    drop(subscription);
    let begun = Instant::now();
    broker.flush().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
    kafka.server.start_again().await.unwrap();
    let begun = Instant::now();
    while kafka.proxy.connections() > 2 {
        assert!(
            begun.elapsed() < PATIENCE,
            "{} connections are left",
            kafka.proxy.connections()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn publishing_fails_in_time_without_a_server() {
    let Some(mut kafka) = Proxied::start().await else {
        return;
    };
    let broker = connect(KafkaConfig {
        publish_timeout: Duration::from_secs(3),
        ..kafka.config()
    })
    .await;
    let (known, unknown) = (name("known"), name("unknown"));
    publish(&broker, &known, "x").await.unwrap();
    kafka.server.kill().await.unwrap();
    for topic in [&known, &unknown] {
        let begun = Instant::now();
        let error = publish(&broker, topic, "x").await.unwrap_err();
        assert!(
            begun.elapsed() < Duration::from_millis(3500),
            "{:?}",
            begun.elapsed()
        );
        let address = kafka.proxy.address().to_string();
        for part in [topic.as_str(), &address, "is it running"] {
            assert!(error.detail().contains(part), "{part}: {error}");
        }
    }
}
