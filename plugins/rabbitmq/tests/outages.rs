//! What the broker lives through while its RabbitMQ is away.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use micro_core::Result;
use micro_rabbitmq::{Durable, QueueNames, Queues, RabbitmqBroker, RabbitmqConfig, RabbitmqServer};
use micro_testkit::proxy::Proxy;

/// The RabbitMQ that `MICRO_RABBITMQ` names as `host:port`, or else that of this machine.
fn server() -> SocketAddr {
    let named = std::env::var("MICRO_RABBITMQ").unwrap_or_else(|_| "127.0.0.1:5672".into());
    named.to_socket_addrs().unwrap().next().unwrap()
}

async fn stage() -> std::io::Result<(Proxy, ())> {
    Ok((Proxy::open(server()).await?, ()))
}

async fn connect(address: SocketAddr) -> Result<RabbitmqBroker> {
    let config = RabbitmqConfig {
        server: RabbitmqServer {
            addresses: vec![address.to_string()],
            heartbeat: Duration::from_secs(2),
            ..RabbitmqServer::default()
        },
        exchange: Some("micro.outages".into()),
        durable: Durable::ALL,
        queues: Queues {
            names: QueueNames::PerTopic,
            unused_for: Some(Duration::from_secs(120)),
            abandoned_after: Duration::from_secs(120),
            ..Queues::default()
        },
        ..RabbitmqConfig::default()
    };
    RabbitmqBroker::connect(config).await
}

micro_testkit::broker_outages!(stage, connect);
