//! The broker's contract, held to by a real nsqd.

#![allow(clippy::unwrap_used, reason = "tests")]

use micro_core::{Error, Result};
use micro_nsq::{NsqBroker, NsqConfig};
use micro_testkit::broker::BrokerTraits;

/// The nsqds that `MICRO_NSQ` names, or else that of this machine.
async fn connect() -> Result<NsqBroker> {
    let named = std::env::var("MICRO_NSQ").unwrap_or_default();
    let named: Vec<String> = named
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    let connected = NsqBroker::connect(NsqConfig::from_addresses(&named)?).await;
    connected.map_err(|error: Error| {
        error.context(
            "these tests need an nsqd: `cargo xtask backends up nsq` starts one, MICRO_NSQ names another, and \
             `--exclude micro-nsq` leaves them out",
        )
    })
}

micro_testkit::broker_conformance!(
    connect,
    BrokerTraits {
        redelivers_rejected: true,
        ..BrokerTraits::default()
    },
);
