//! What lies in a topic, and what is read of it.

use std::time::Duration;

use micro_core::Broker;
use micro_core::broker::{Message, SubscribeOptions};
use micro_kafka::{Compression, Format, KafkaConfig, NewTopics};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::kafka::{PATIENCE, body, config, connect, name, next, publish, records, subscribe};

/// As Go Micro 5.30 publishes it.
const CAPTURED: &str = r#"{"Header":{"Content-Type":"application/json","Micro-ID":"d7638041-bc0b-4a6b-a2dc-3c3b7ad5ba42","Micro-Topic":"interop.notice"},"Body":"eyJpZCI6Im4wIn0K"}"#;

/// What another program publishes, byte by byte.
fn produce(topic: &str, values: &[&[u8]]) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", config().servers.join(","))
        .create()
        .unwrap();
    for &value in values {
        producer
            .send(BaseRecord::<(), [u8]>::to(topic).payload(value))
            .unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_written_as_go_micro_writes_it() {
    let (broker, topic) = (connect(config()).await, name("written"));
    let message = Message::new("{\"id\":\"n0\"}\n")
        .with_header("Micro-Topic", "interop.notice")
        .with_header("Content-Type", "application/json")
        .with_header("Micro-ID", "d7638041-bc0b-4a6b-a2dc-3c3b7ad5ba42");
    broker.publish(&topic, message).await.unwrap();
    let records = records(&config(), &topic, 1).await;
    assert_eq!(records[0].value.as_deref(), Some(CAPTURED));
    assert_eq!(records[0].key, None);
    assert!(records[0].headers.is_empty(), "{records:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_go_micro_writes_is_read_and_what_is_no_envelope_is_passed() {
    let (broker, topic) = (connect(config()).await, name("read"));
    let mut subscription = subscribe(&broker, &topic, SubscribeOptions::default()).await;
    produce(&topic, &[b"no envelope", CAPTURED.as_bytes()]);
    let event = next(&mut subscription).await;
    assert_eq!(event.message().header.get("Micro-Topic"), Some("interop.notice"));
    assert_eq!(event.message().body, "{\"id\":\"n0\"}\n");
    assert_eq!(event.deliveries(), Some(1));
    event.acknowledge().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_keys_are_the_records_where_they_are_to_be() {
    let config = KafkaConfig {
        format: Format::Headers,
        key_header: Some("Customer".into()),
        compression: Compression::Lz4,
        idempotent: false,
        create_topics: Some(NewTopics {
            partitions: Some(3),
            replication: Some(1),
        }),
        ..config()
    };
    let (broker, topic) = (connect(config.clone()).await, name("headers"));
    let mut subscription = subscribe(&broker, &topic, SubscribeOptions::default()).await;
    for number in 0..20 {
        let message = Message::new(number.to_string()).with_header("customer", "c-7");
        broker.publish(&topic, message).await.unwrap();
    }
    for number in 0..20 {
        let event = next(&mut subscription).await;
        assert_eq!(event.message().body, number.to_string(), "one key, one order");
        assert_eq!(event.message().header.get("Customer"), Some("c-7"));
        event.acknowledge().await.unwrap();
    }
    let records = records(&config, &topic, 1).await;
    assert_eq!(records[0].key.as_deref(), Some("c-7"));
    assert_eq!(records[0].headers["customer"], "c-7");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_does_not_exist_is_made_or_refused_by_name() {
    let broker = connect(KafkaConfig {
        create_topics: Some(NewTopics {
            replication: Some(7),
            partitions: None,
        }),
        ..config()
    })
    .await;
    let topic = name("seven-servers");
    let error = publish(&broker, &topic, "x").await.unwrap_err();
    assert!(
        error.detail().contains(&topic) && error.detail().contains("create_topics"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused_and_the_rest_goes_on() {
    let broker = connect(KafkaConfig {
        max_message_bytes: 10_000,
        ..config()
    })
    .await;
    let topic = name("large");
    let mut subscription = subscribe(&broker, &topic, SubscribeOptions::default()).await;
    let error = publish(&broker, &topic, &"x".repeat(20_000)).await.unwrap_err();
    assert_eq!(error.kind(), micro_core::ErrorKind::TooLarge, "{error}");
    assert!(
        error.detail().contains(&topic) && error.detail().contains("max_message_bytes"),
        "{error}"
    );
    publish(&broker, &topic, "small").await.unwrap();
    assert_eq!(body(&mut subscription).await, "small");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_makes_publishers_wait_and_loses_nothing() {
    let broker = connect(KafkaConfig {
        max_pending: 2,
        ..config()
    })
    .await;
    let topic = name("full");
    let mut subscription = subscribe(&broker, &topic, SubscribeOptions::default()).await;
    let publishing = (0..200).map(|number| {
        let (broker, topic) = (broker.clone(), topic.clone());
        async move { publish(&broker, &topic, &number.to_string()).await }
    });
    for published in futures_util::future::join_all(publishing).await {
        published.unwrap();
    }
    let mut bodies = std::collections::BTreeSet::new();
    while bodies.len() < 200 {
        bodies.insert(body(&mut subscription).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_holds_up_nobody_who_publishes_to_others() {
    let there = name("there");
    publish(&connect(config()).await, &there, "first").await.unwrap();
    let broker = connect(KafkaConfig {
        create_topics: None,
        publish_timeout: PATIENCE,
        properties: vec![("allow.auto.create.topics".into(), "false".into())],
        ..config()
    })
    .await;
    let missing = name("missing");
    let mut waiting = std::pin::pin!(publish(&broker, &missing, "never"));
    let while_it_waits = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        publish(&broker, &there, "second").await.unwrap();
    };
    tokio::select! {
        told = &mut waiting => panic!("it was to wait: {told:?}"),
        done = tokio::time::timeout(PATIENCE / 2, while_it_waits) => done.unwrap(),
    }
}
