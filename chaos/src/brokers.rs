//! The brokers with a server, each made so that it keeps what it has accepted.

use std::sync::Arc;

use micro::{Broker, Plugins, Result};
use micro_kafka::{KafkaBroker, KafkaConfig};
use micro_nats::{JetStream, NatsBroker, NatsConfig};
use micro_rabbitmq::{Durable, RabbitmqBroker, RabbitmqConfig};
use servers::Kind;

/// The built-in plugins, in which these brokers are durable: NATS with JetStream, RabbitMQ with everything durable. The
/// others are by default.
pub(crate) fn plugins() -> Plugins {
    Plugins::builtin()
        .broker("nats", |arguments| nats(arguments.addresses))
        .broker("rabbitmq", |arguments| rabbitmq(arguments.addresses))
        .broker("kafka", |arguments| kafka(arguments.addresses))
}

async fn nats(addresses: Vec<String>) -> Result<Arc<dyn Broker>> {
    let config = NatsConfig {
        jetstream: Some(JetStream::default()),
        ..NatsConfig::from_addresses(&addresses)?
    };
    Ok(Arc::new(NatsBroker::connect(config).await?))
}

async fn rabbitmq(addresses: Vec<String>) -> Result<Arc<dyn Broker>> {
    let config = RabbitmqConfig {
        durable: Durable::ALL,
        ..RabbitmqConfig::from_addresses(&addresses)?
    };
    Ok(Arc::new(RabbitmqBroker::connect(config).await?))
}

async fn kafka(addresses: Vec<String>) -> Result<Arc<dyn Broker>> {
    let config = KafkaConfig::from_addresses(&addresses)?;
    Ok(Arc::new(KafkaBroker::connect(config).await?))
}

/// The servers of brokers that this program has.
pub(crate) fn with_server() -> Vec<Kind> {
    let plugins = plugins();
    let linked: Vec<_> = plugins.brokers().collect();
    let all = Kind::ALL.iter().copied();
    all.filter(|kind| linked.contains(&kind.name())).collect()
}

/// Whether a server keeps everything that it has confirmed when it is killed. NSQ's forgets what it has just given out.
pub(crate) fn survives_a_kill(kind: Kind) -> bool {
    kind != Kind::Nsq
}
