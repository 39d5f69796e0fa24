//! A NATS process of its own, and what the tests do with it.

use std::time::Duration;

use bytes::Bytes;
use micro_core::broker::{Event, Message, SubscribeOptions, Subscription};
use micro_core::{Broker, Result};
use micro_nats::{JetStream, NatsBroker, NatsConfig, NatsServers};
use servers::Server;
use tokio::time::timeout;

/// Generous, because it is met only by failing tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn servers_at(server: &Server) -> NatsServers {
    NatsServers {
        addresses: vec![server.address().to_string()],
        ..NatsServers::default()
    }
}

pub(crate) fn config(server: &Server) -> NatsConfig {
    NatsConfig {
        servers: servers_at(server),
        ..NatsConfig::default()
    }
}

pub(crate) fn durable(server: &Server) -> NatsConfig {
    NatsConfig {
        jetstream: Some(JetStream {
            ack_wait: Duration::from_secs(2),
            ..JetStream::default()
        }),
        ..config(server)
    }
}

pub(crate) async fn connect(config: NatsConfig) -> NatsBroker {
    NatsBroker::connect(config).await.unwrap()
}

pub(crate) async fn publish(broker: &NatsBroker, topic: &str, body: &'static str) -> Result<()> {
    broker.publish(topic, Message::new(body)).await
}

pub(crate) fn queue(name: &str, concurrency: usize) -> SubscribeOptions {
    SubscribeOptions {
        queue: Some(name.into()),
        concurrency,
    }
}

/// The next event, past what is said of trouble.
pub(crate) async fn next(subscription: &mut Subscription) -> Event {
    let event = timeout(PATIENCE, async {
        loop {
            if let Ok(event) = subscription.next().await.unwrap() {
                return event;
            }
        }
    });
    event.await.unwrap()
}

pub(crate) async fn body(subscription: &mut Subscription) -> Bytes {
    let mut event = next(subscription).await;
    let body = event.take_message().body;
    event.acknowledge().await.unwrap();
    body
}
