//! What is on the wire, seen by a subscriber and a publisher that know nothing of this crate.

use futures_util::StreamExt;
use micro_core::Broker;
use micro_core::broker::{Message, SubscribeOptions};
use servers::Kind;

use crate::nats::{config, connect, durable, next};

/// As Go Micro 5.30 publishes it.
const CAPTURED: &str = r#"{"Header":{"Content-Type":"application/json","Micro-ID":"dcc7494c-a6d6-4401-909d-7987dbd10dc2","Micro-Topic":"t.one"},"Body":"eyJpZCI6Im4wIn0K"}"#;

#[tokio::test]
async fn a_message_is_go_micros_to_the_byte_and_has_no_headers_of_nats() {
    let Some(server) = servers::start_or_skip(Kind::Nats).await else {
        return;
    };
    let broker = connect(config(&server)).await;
    let client = async_nats::connect(server.address().to_string()).await.unwrap();
    let mut raw = client.subscribe("t.one").await.unwrap();
    client.flush().await.unwrap();
    let message = Message::new("{\"id\":\"n0\"}\n")
        .with_header("Micro-Topic", "t.one")
        .with_header("Micro-ID", "dcc7494c-a6d6-4401-909d-7987dbd10dc2")
        .with_header("Content-Type", "application/json");
    // Until the raw subscription is surely there.
    let seen = loop {
        broker.publish("t.one", message.clone()).await.unwrap();
        let seen = tokio::time::timeout(std::time::Duration::from_millis(100), raw.next());
        if let Ok(Some(seen)) = seen.await {
            break seen;
        }
    };
    assert_eq!(seen.payload, CAPTURED);
    assert!(seen.headers.is_none() && seen.reply.is_none());
}

#[tokio::test]
async fn what_go_micro_publishes_is_heard_and_what_is_none_is_left_out() {
    let Some(server) = servers::start_or_skip(Kind::Nats).await else {
        return;
    };
    let client = async_nats::connect(server.address().to_string()).await.unwrap();
    for config in [config(&server), durable(&server)] {
        let broker = connect(config).await;
        let options = SubscribeOptions::default();
        let mut subscription = broker.subscribe("t.one", options).await.unwrap();
        client.publish("t.one", "no message".into()).await.unwrap();
        client.publish("t.one", CAPTURED.into()).await.unwrap();
        client.flush().await.unwrap();
        let mut event = next(&mut subscription).await;
        assert_eq!(event.topic(), "t.one");
        let message = event.take_message();
        assert_eq!(message.header.get("Micro-Topic"), Some("t.one"));
        assert_eq!(message.body, "{\"id\":\"n0\"}\n");
        event.acknowledge().await.unwrap();
    }
}
