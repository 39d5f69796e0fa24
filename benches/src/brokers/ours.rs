//! The framework's side: a broker as services use it, through the trait.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Result, bail};
use bytes::Bytes;
use futures_util::StreamExt;
use micro::Broker;
use micro::broker::{Message, SubscribeOptions};
use micro_kafka::{KafkaBroker, KafkaConfig};
use micro_nats::{JetStream, NatsBroker, NatsConfig};
use micro_nsq::{NsqBroker, NsqConfig};
use micro_rabbitmq::{Durable, RabbitmqBroker, RabbitmqConfig};
use micro_redis::{RedisBroker, RedisConfig};
use tokio::task::JoinSet;

use super::side::{Handled, Publish, handle};
use super::{CONCURRENCY, Contest};

pub(super) struct Ours {
    broker: Arc<dyn Broker>,
    topic: String,
    _handling: JoinSet<()>,
}

impl Publish for Ours {
    async fn publish(&self, body: Bytes) -> Result<()> {
        Ok(self.broker.publish(&self.topic, Message::new(body)).await?)
    }
}

/// Connects and subscribes.
pub(super) async fn start(
    contest: Contest,
    server: SocketAddr,
    topic: &str,
    handled: Handled,
) -> Result<Ours> {
    let broker = connect(contest, &[server.to_string()]).await?;
    let options = SubscribeOptions {
        queue: Some(format!("{topic}-workers").into()),
        concurrency: CONCURRENCY,
    };
    let subscription = broker.subscribe(topic, options).await?;
    let mut handling = JoinSet::new();
    handling.spawn(subscription.for_each_concurrent(CONCURRENCY, move |event| {
        let handled = handled.clone();
        async move {
            let Ok(event) = event else { return };
            handle(&handled, &event.message().body);
            // One that could not be acknowledged comes again.
            let _ = event.acknowledge().await;
        }
    }));
    Ok(Ours {
        broker,
        topic: topic.to_owned(),
        _handling: handling,
    })
}

/// As safe as each is.
async fn connect(contest: Contest, addresses: &[String]) -> Result<Arc<dyn Broker>> {
    Ok(match contest.kind.name() {
        "nats" => {
            let config = NatsConfig {
                jetstream: (!contest.is_plain).then(JetStream::default),
                ..NatsConfig::from_addresses(addresses)?
            };
            Arc::new(NatsBroker::connect(config).await?)
        }
        "rabbitmq" => {
            let config = RabbitmqConfig {
                durable: Durable::ALL,
                ..RabbitmqConfig::from_addresses(addresses)?
            };
            Arc::new(RabbitmqBroker::connect(config).await?)
        }
        "kafka" => Arc::new(KafkaBroker::connect(KafkaConfig::from_addresses(addresses)?).await?),
        "redis" => Arc::new(RedisBroker::connect(RedisConfig::from_addresses(addresses)?).await?),
        "nsq" => Arc::new(NsqBroker::connect(NsqConfig::from_addresses(addresses)?).await?),
        other => bail!("there is no broker {other}"),
    })
}
