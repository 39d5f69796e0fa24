//! The transport's contract, held to by a real RabbitMQ.
#![allow(clippy::unwrap_used, reason = "tests")]

use micro_core::{Error, Result};
use micro_rabbitmq_transport::{RabbitmqTransport, RabbitmqTransportConfig};
use micro_testkit::transport::TransportTraits;

/// Over the RabbitMQ that `MICRO_RABBITMQ` names, or else that of this machine.
async fn connect() -> Result<RabbitmqTransport> {
    let named = std::env::var("MICRO_RABBITMQ").ok();
    let config = RabbitmqTransportConfig::from_addresses(named.as_slice())?;
    let connected = RabbitmqTransport::connect(config).await;
    connected.map_err(|error: Error| {
        error.context(
            "these tests need a RabbitMQ: `cargo xtask backends up rabbitmq` starts one, MICRO_RABBITMQ names another, \
             and `--exclude micro-rabbitmq-transport` leaves them out",
        )
    })
}

micro_testkit::transport_conformance!(
    connect,
    TransportTraits {
        address: ":0".to_owned(),
        malformed: ["", "a b", "orders.*", "#", "amq.topic"]
            .map(str::to_owned)
            .to_vec(),
        ..TransportTraits::default()
    },
);
