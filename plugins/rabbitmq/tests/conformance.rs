//! The broker's contract, held to by a real RabbitMQ.
#![allow(clippy::unwrap_used, reason = "tests")]

use micro_core::{Error, Result};
use micro_rabbitmq::{RabbitmqBroker, RabbitmqConfig};

/// The RabbitMQ that `MICRO_RABBITMQ` names, or else that of this machine.
fn config() -> Result<RabbitmqConfig> {
    let named = std::env::var("MICRO_RABBITMQ").ok();
    RabbitmqConfig::from_addresses(named.as_slice())
}

async fn connect(config: RabbitmqConfig) -> Result<RabbitmqBroker> {
    let connected = RabbitmqBroker::connect(config).await;
    connected.map_err(|error: Error| {
        error.context(
            "these tests need a RabbitMQ: `cargo xtask backends up rabbitmq` starts one, MICRO_RABBITMQ names another, \
             and `--exclude micro-rabbitmq` leaves them out",
        )
    })
}

/// As Go Micro uses it.
mod as_go_micro {
    use super::*;

    micro_testkit::broker_conformance!(|| async { connect(config()?).await });
}

/// All that outlives a restart.
mod durable {
    use std::time::Duration;

    use micro_rabbitmq::{Durable, QueueNames, Queues};

    use super::*;

    fn durable() -> Result<RabbitmqConfig> {
        Ok(RabbitmqConfig {
            exchange: Some("micro.durable".into()),
            durable: Durable::ALL,
            queues: Queues {
                names: QueueNames::PerTopic,
                unused_for: Some(Duration::from_secs(60)),
                abandoned_after: Duration::from_secs(60),
                ..Queues::default()
            },
            ..config()?
        })
    }

    micro_testkit::broker_conformance!(|| async { connect(durable()?).await });
}
