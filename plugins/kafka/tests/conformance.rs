//! The broker's contract, held to by a real Kafka.

#![allow(clippy::unwrap_used, reason = "tests")]

use micro_core::{Error, Result};
use micro_kafka::{KafkaBroker, KafkaConfig};

/// The Kafka that `MICRO_KAFKA` names, or else that of this machine.
fn addresses() -> Vec<String> {
    let named = std::env::var("MICRO_KAFKA").unwrap_or_default();
    let addresses = named.split(',').filter(|address| !address.is_empty());
    addresses.map(str::to_owned).collect()
}

async fn connect(addresses: Vec<String>) -> Result<KafkaBroker> {
    let connected = KafkaBroker::connect(KafkaConfig::from_addresses(&addresses)?).await;
    connected.map_err(|error: Error| {
        error.context(
            "these tests need a Kafka: `cargo xtask backends up kafka` starts one, MICRO_KAFKA names another, and \
             `--exclude micro-kafka` leaves them out",
        )
    })
}

mod contract {
    use std::time::Duration;

    use micro_testkit::broker::BrokerTraits;

    use super::*;

    micro_testkit::broker_conformance!(
        || connect(addresses()),
        BrokerTraits {
            // A topic has one partition unless more are asked for, and a partition has one member of a queue.
            spreads: false,
            hands_on_dropped: false,
            redelivers_rejected: true,
            // Members of a queue learn of each other with their signs of life.
            arrives_within: Duration::from_secs(30),
            ..BrokerTraits::default()
        },
    );
}
