//! The broker's contract, held to by a real Redis.

#![allow(clippy::unwrap_used, reason = "tests")]

use micro_core::{Error, Result};
use micro_redis::{RedisBroker, RedisConfig};
use micro_testkit::broker::BrokerTraits;

/// The Redis that `MICRO_REDIS` names, or else that of this machine.
fn config() -> RedisConfig {
    let named: Vec<String> = std::env::var("MICRO_REDIS").into_iter().collect();
    RedisConfig::from_addresses(&named).unwrap()
}

async fn connect(config: RedisConfig) -> Result<RedisBroker> {
    RedisBroker::connect(config).await.map_err(|error: Error| {
        error.context(
            "these tests need a Redis: `cargo xtask backends up redis` starts one, MICRO_REDIS names another, and \
             `--exclude micro-redis` leaves them out",
        )
    })
}

mod streams {
    use super::*;

    micro_testkit::broker_conformance!(
        || connect(config()),
        BrokerTraits {
            redelivers_rejected: true,
            ..BrokerTraits::default()
        },
    );
}

mod streams_of_fields {
    use super::*;

    micro_testkit::broker_conformance!(
        || connect(RedisConfig {
            layout: micro_redis::Layout::Fields,
            ..config()
        }),
        BrokerTraits {
            redelivers_rejected: true,
            ..BrokerTraits::default()
        },
    );
}

mod channels {
    use super::*;

    micro_testkit::broker_conformance!(
        || connect(RedisConfig {
            pub_sub: true,
            ..config()
        }),
        BrokerTraits {
            queues: false,
            spreads: false,
            redelivers_dropped: false,
            drains_without_loss: false,
            ..BrokerTraits::default()
        },
    );
}
