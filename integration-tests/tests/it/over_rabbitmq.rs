//! Events between Rust and Go through RabbitMQ.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use integration_tests::HelloRequest;
use micro::broker::{Message, SubscribeOptions, Subscription};
use micro::registry::MemoryRegistry;
use micro::{Broker, prelude::*};
use tokio::process::Command;
use tokio::time::timeout;

use crate::go_peer::{self, PATIENCE, Process};

const ADDRESS: &str = "amqp://guest:guest@127.0.0.1:5672";

async fn broker() -> Arc<dyn Broker> {
    let flags = [
        "--broker=rabbitmq".to_owned(),
        format!("--broker_address={ADDRESS}"),
    ];
    let settings = Arguments::new("interop")
        .parse_from(flags, [("", ""); 0])
        .unwrap();
    let connected = settings.connect_broker(Arc::new(MemoryRegistry::new())).await;
    connected.unwrap_or_else(|error| panic!("`cargo xtask backends up rabbitmq`? {error}"))
}

fn unique(what: &str) -> String {
    format!("interop.{what}.{}", std::process::id())
}

fn of_go(program: &Path, verb: &str, topic: &str) -> Command {
    let mut command = Command::new(program);
    command.args([
        verb,
        "--registry",
        "memory",
        "--broker",
        "rabbitmq",
        "--broker-address",
        ADDRESS,
        "--topic",
        topic,
    ]);
    command
}

/// A Go service that has subscribed, as it says, and that has got a first event: it subscribes behind its own back.
async fn subscriber(program: &Path, broker: &Arc<dyn Broker>, topic: &str, queue: Option<&str>) -> Process {
    let mut command = of_go(program, "subscribe", topic);
    if let Some(queue) = queue {
        command.args(["--queue", queue]);
    }
    let mut subscriber = Process::start(&mut command);
    subscriber.line_after("registered").await;
    let probing = async {
        loop {
            let probe = event(
                "application/json",
                &HelloRequest {
                    name: "probe".into(),
                    times: 0,
                },
                topic,
            );
            broker.publish(topic, probe).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        _ = subscriber.line_after("event probe") => {}
        () = probing => {}
    }
    subscriber
}

fn event(codec: &str, request: &HelloRequest, topic: &str) -> Message {
    let body = match codec {
        "application/json" => serde_json::to_vec(request).unwrap(),
        _ => micro::codegen::prost::Message::encode_to_vec(request),
    };
    Message::new(body)
        .with_header("Content-Type", codec)
        .with_header("Micro-ID", "1")
        .with_header("Micro-Topic", topic)
}

async fn next(subscription: &mut Subscription) -> (String, String, String) {
    let mut event = timeout(PATIENCE, subscription.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let topic = event.topic().to_string();
    let message = event.take_message();
    event.acknowledge().await.unwrap();
    let codec = message.header.get("Content-Type").unwrap().to_owned();
    assert_eq!(message.header.get("Micro-Topic"), Some(topic.as_str()));
    let request: HelloRequest = match codec.as_str() {
        "application/json" => serde_json::from_slice(&message.body).unwrap(),
        _ => micro::codegen::prost::Message::decode(message.body).unwrap(),
    };
    (request.name, topic, codec)
}

#[tokio::test]
async fn go_publishes_and_rust_handles_in_both_codecs_through_rabbitmq() {
    let Some(go) = go_peer::program().await else {
        return;
    };
    let (broker, topic) = (broker().await, unique("to-rust"));
    let mut subscription = broker
        .subscribe(&topic, SubscribeOptions::default())
        .await
        .unwrap();
    for codec in ["json", "protobuf"] {
        let mut publishing = of_go(&go, "publish", &topic);
        publishing.args(["--codec", codec, "--name", codec, "--count", "3"]);
        let mut publishing = Process::start(&mut publishing);
        for number in 0..3 {
            let expected = (
                format!("{codec}-{number}"),
                topic.clone(),
                format!("application/{codec}"),
            );
            assert_eq!(next(&mut subscription).await, expected);
        }
        publishing.line_after("published 3").await;
    }
}

#[tokio::test]
async fn rust_publishes_and_go_handles_in_both_codecs_through_rabbitmq() {
    let Some(go) = go_peer::program().await else {
        return;
    };
    let (broker, topic) = (broker().await, unique("to-go"));
    let mut subscriber = subscriber(&go, &broker, &topic, None).await;
    for codec in ["application/json", "application/protobuf"] {
        let request = HelloRequest {
            name: "rust".into(),
            times: 1,
        };
        broker
            .publish(&topic, event(codec, &request, &topic))
            .await
            .unwrap();
        let rest = subscriber.line_after("event rust").await;
        assert_eq!(rest.trim(), format!("{topic} {codec}"));
    }
    subscriber.stop().await;
}

#[tokio::test]
async fn a_queue_of_both_languages_shares_its_events_through_rabbitmq() {
    let Some(go) = go_peer::program().await else {
        return;
    };
    let (broker, topic, queue) = (broker().await, unique("shared"), unique("workers"));
    let mut of_go = subscriber(&go, &broker, &topic, Some(&queue)).await;
    let options = SubscribeOptions {
        queue: Some(queue.as_str().into()),
        ..SubscribeOptions::default()
    };
    let mut of_rust = broker.subscribe(&topic, options).await.unwrap();
    for number in 0..40 {
        let request = HelloRequest {
            name: format!("event-{number}"),
            times: 1,
        };
        let published = broker.publish(&topic, event("application/json", &request, &topic));
        published.await.unwrap();
    }
    let (mut by_go, mut by_rust) = (BTreeSet::new(), BTreeSet::new());
    while by_go.len() + by_rust.len() < 40 {
        tokio::select! {
            line = of_go.line_after("event ") => {
                let name = line.split(' ').next().unwrap().to_owned();
                if name != "probe" {
                    by_go.insert(name);
                }
            }
            (name, ..) = next(&mut of_rust) => {
                if name != "probe" {
                    by_rust.insert(name);
                }
            }
        }
    }
    assert!(!by_go.is_empty() && !by_rust.is_empty(), "{by_go:?} {by_rust:?}");
    assert!(by_go.is_disjoint(&by_rust), "each event has one of them");
    of_go.stop().await;
}
