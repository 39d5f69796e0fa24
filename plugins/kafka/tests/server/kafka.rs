//! A Kafka process on ports of its own, and what the tests ask of brokers.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use micro_core::broker::{Event, Message, SubscribeOptions, Subscription};
use micro_core::{Broker, Result};
use micro_kafka::{KafkaBroker, KafkaConfig};
use micro_testkit::proxy::Proxy;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Headers;
use servers::{Kind, Server};
use tokio::time::timeout;

/// Longer than anything should take, on the busiest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The Kafka of this machine, or the one that `MICRO_KAFKA` names.
pub(crate) fn config() -> KafkaConfig {
    let named = std::env::var("MICRO_KAFKA").unwrap_or_else(|_| "127.0.0.1:9092".to_owned());
    let addresses: Vec<String> = named.split(',').map(str::to_owned).collect();
    KafkaConfig::from_addresses(&addresses).unwrap()
}

pub(crate) async fn connect(config: KafkaConfig) -> KafkaBroker {
    KafkaBroker::connect(config).await.unwrap()
}

/// A name that no other test and no other run has.
pub(crate) fn name(tail: &str) -> String {
    format!("kt{:08x}.{tail}", fastrand::u32(..))
}

pub(crate) fn queue(name: &str) -> SubscribeOptions {
    SubscribeOptions {
        queue: Some(name.into()),
        ..SubscribeOptions::default()
    }
}

pub(crate) async fn subscribe(broker: &KafkaBroker, topic: &str, options: SubscribeOptions) -> Subscription {
    timeout(PATIENCE, broker.subscribe(topic, options))
        .await
        .unwrap()
        .unwrap()
}

/// The next event; trouble that is told in between is no matter.
pub(crate) async fn next(subscription: &mut Subscription) -> Event {
    let event = async {
        loop {
            if let Ok(event) = subscription.next().await.unwrap() {
                return event;
            }
        }
    };
    timeout(PATIENCE, event).await.unwrap()
}

/// The body of the next event, which is acknowledged.
pub(crate) async fn body(subscription: &mut Subscription) -> String {
    let event = next(subscription).await;
    let body = String::from_utf8(event.message().body.to_vec()).unwrap();
    event.acknowledge().await.unwrap();
    body
}

pub(crate) async fn publish(broker: &KafkaBroker, topic: &str, body: &str) -> Result<()> {
    broker.publish(topic, Message::new(body.to_owned())).await
}

/// A record as it lies in the topic.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Raw {
    pub(crate) partition: i32,
    pub(crate) key: Option<String>,
    pub(crate) value: Option<String>,
    pub(crate) headers: BTreeMap<String, String>,
}

/// The first records of a topic, read with librdkafka itself.
pub(crate) async fn records(config: &KafkaConfig, topic: &str, count: usize) -> Vec<Raw> {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", config.servers.join(","))
        .set("group.id", name("raw"))
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest");
    let topic = topic.to_owned();
    let reading = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = client.create().unwrap();
        consumer.subscribe(&[&topic]).unwrap();
        let until = std::time::Instant::now() + PATIENCE;
        let mut records = Vec::new();
        while records.len() < count && std::time::Instant::now() < until {
            if let Some(Ok(record)) = consumer.poll(Duration::from_millis(100)) {
                records.push(raw(&record));
            }
        }
        records
    });
    reading.await.unwrap()
}

fn raw(record: &impl rdkafka::Message) -> Raw {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let headers = record.headers().map(|headers| {
        let pairs = headers
            .iter()
            .map(|header| (header.key.to_owned(), text(header.value.unwrap())));
        pairs.collect()
    });
    Raw {
        partition: record.partition(),
        key: record.key().map(text),
        value: record.payload().map(text),
        headers: headers.unwrap_or_default(),
    }
}

/// A Kafka of a test's own that is reached through a proxy.
pub(crate) struct Proxied {
    pub(crate) server: Server,
    pub(crate) proxy: Proxy,
}

impl Proxied {
    /// Starts one and waits until it serves. None: the machine has none, and the test is left out.
    pub(crate) async fn start() -> Option<Self> {
        let [port] = servers::free_ports().unwrap();
        let behind = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let proxy = Proxy::open(behind).await.unwrap();
        let arguments = [
            format!("listeners=PROXIED://{behind}"),
            format!("advertised.listeners=PROXIED://{}", proxy.address()),
            "listener.security.protocol.map=PROXIED:PLAINTEXT".to_owned(),
        ];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let server = servers::start_with_or_skip(Kind::Kafka, &arguments).await?;
        Some(Self { server, proxy })
    }

    pub(crate) fn config(&self) -> KafkaConfig {
        KafkaConfig {
            servers: vec![self.proxy.address().to_string()],
            ..KafkaConfig::default()
        }
    }
}
