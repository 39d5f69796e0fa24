//! What the server does not take, or does not have.

use micro_core::broker::{Message, SubscribeOptions};
use micro_core::{Broker, ErrorKind};
use micro_nats::{JetStream, NatsBroker, NatsConfig};
use servers::Kind;
use tempfile::TempDir;

use crate::nats::{body, config, connect, durable, publish, queue};

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_by_name() {
    let files = TempDir::new().unwrap();
    let file = files.path().join("nats.conf");
    std::fs::write(&file, "max_payload: 4096\n").unwrap();
    let arguments = ["-c", file.to_str().unwrap()];
    let Some(server) = servers::start_with_or_skip(Kind::Nats, &arguments).await else {
        return;
    };
    for config in [config(&server), durable(&server)] {
        let broker = connect(config).await;
        let large = Message::new(vec![7; 4096]);
        let error = broker.publish("orders", large).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
        assert!(
            error.detail().contains("orders") && error.detail().contains("max_payload"),
            "{error}"
        );
        publish(&broker, "orders", "small").await.unwrap();
    }
}

#[tokio::test]
async fn any_number_may_be_pending() {
    let Some(server) = servers::start_or_skip(Kind::Nats).await else {
        return;
    };
    for config in [config(&server), durable(&server)] {
        let broker = connect(NatsConfig {
            max_pending: usize::MAX,
            ..config
        })
        .await;
        publish(&broker, "orders", "x").await.unwrap();
    }
}

#[tokio::test]
async fn a_subscription_of_its_own_gives_what_has_arrived_before_it_ends() {
    let Some(server) = servers::start_or_skip(Kind::Nats).await else {
        return;
    };
    let broker = connect(durable(&server)).await;
    let alone = SubscribeOptions {
        queue: None,
        concurrency: 8,
    };
    let mut subscription = broker.subscribe("orders", alone).await.unwrap();
    for body in ["1", "2", "3", "4", "5"] {
        publish(&broker, "orders", body).await.unwrap();
    }
    assert_eq!(body(&mut subscription).await, "1");
    // It goes the same way as the events, behind them.
    publish(&broker, "bills", "x").await.unwrap();
    subscription.drain();
    for expected in ["2", "3", "4", "5"] {
        assert_eq!(body(&mut subscription).await, expected);
    }
    assert!(subscription.next().await.is_none());
}

#[tokio::test]
async fn a_topic_outside_the_configured_stream_is_refused_by_name() {
    let Some(server) = servers::start_or_skip(Kind::Nats).await else {
        return;
    };
    let broker = connect(NatsConfig {
        jetstream: Some(JetStream {
            stream: "shop".to_owned(),
            subjects: vec!["orders.>".to_owned()],
            ..JetStream::default()
        }),
        ..config(&server)
    })
    .await;
    publish(&broker, "orders.new", "x").await.unwrap();
    broker.subscribe("orders.new", queue("workers", 1)).await.unwrap();
    let error = publish(&broker, "bills", "x").await.unwrap_err();
    assert!(
        error.detail().contains("bills") && error.detail().contains("shop"),
        "{error}"
    );
    assert!(broker.subscribe("bills", queue("workers", 1)).await.is_err());
}

#[tokio::test]
async fn a_server_without_jetstream_is_told_of_when_connecting() {
    let files = TempDir::new().unwrap();
    let file = files.path().join("nats.conf");
    let refused = "accounts { A { users: [{user: me, password: secret}] } }\nno_auth_user: me\n";
    std::fs::write(&file, refused).unwrap();
    let arguments = ["-c", file.to_str().unwrap()];
    let Some(server) = servers::start_with_or_skip(Kind::Nats, &arguments).await else {
        return;
    };
    connect(config(&server)).await;
    let error = NatsBroker::connect(durable(&server)).await.unwrap_err();
    assert!(error.detail().contains("JetStream"), "{error}");
}
