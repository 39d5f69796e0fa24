//! A NATS process of its own, and what the tests do with it.

use std::time::Duration;

use micro_nats::{JetStream, NatsBroker, NatsConfig, NatsServers};
pub(crate) use micro_testkit::broker::by_hand::{PATIENCE, body, next, publish, queue};
use servers::Server;

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
