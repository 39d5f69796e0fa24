//! The RabbitMQ that is there for all tests, and what all tests do with brokers.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use micro_core::Broker;
use micro_core::broker::{Message, SubscribeOptions, Subscription};
use micro_rabbitmq::{Durable, RabbitmqBroker, RabbitmqConfig, RabbitmqServer};
pub(crate) use micro_testkit::broker::by_hand::{PATIENCE, body, next};

/// The RabbitMQ that `MICRO_RABBITMQ` names as `host:port`, or else that of this machine.
pub(crate) fn shared() -> SocketAddr {
    let named = std::env::var("MICRO_RABBITMQ").unwrap_or_else(|_| "127.0.0.1:5672".into());
    named.to_socket_addrs().unwrap().next().unwrap()
}

pub(crate) fn at(address: SocketAddr) -> RabbitmqConfig {
    RabbitmqConfig {
        server: RabbitmqServer {
            addresses: vec![address.to_string()],
            heartbeat: Duration::from_secs(2),
            ..RabbitmqServer::default()
        },
        ..RabbitmqConfig::default()
    }
}

pub(crate) fn durable(address: SocketAddr) -> RabbitmqConfig {
    RabbitmqConfig {
        durable: Durable::ALL,
        publish_timeout: PATIENCE,
        ..at(address)
    }
}

pub(crate) async fn connect(config: RabbitmqConfig) -> RabbitmqBroker {
    RabbitmqBroker::connect(config).await.unwrap()
}

/// A name that no other test and run has.
pub(crate) fn name(tail: &str) -> String {
    format!("test-{}.{tail}", uuid::Uuid::new_v4())
}

pub(crate) async fn publish(broker: &RabbitmqBroker, topic: &str, body: impl Into<bytes::Bytes>) {
    broker.publish(topic, Message::new(body)).await.unwrap();
}

pub(crate) async fn subscribe(broker: &RabbitmqBroker, topic: &str, queue: Option<&str>) -> Subscription {
    let options = SubscribeOptions {
        queue: queue.map(Into::into),
        ..SubscribeOptions::default()
    };
    broker.subscribe(topic, options).await.unwrap()
}
