//! The registry's contract, held to by a real ZooKeeper.

use std::time::Duration;

use micro_core::{Error, Result};
use micro_testkit::registry::RegistryTraits;
use micro_zookeeper::{ZookeeperConfig, ZookeeperRegistry};

/// Connects to the ZooKeeper that `MICRO_ZOOKEEPER` names, or else to that of this machine.
async fn connect() -> Result<ZookeeperRegistry> {
    let named = std::env::var("MICRO_ZOOKEEPER").ok();
    let addresses: Vec<String> = named
        .iter()
        .flat_map(|named| named.split(','))
        .map(str::to_owned)
        .collect();
    let connected = ZookeeperRegistry::connect(ZookeeperConfig::from_addresses(&addresses)?).await;
    connected.map_err(|error: Error| {
        error.context(
            "these tests need a ZooKeeper: `cargo xtask backends up zookeeper` starts one, MICRO_ZOOKEEPER names \
             another, and `--exclude micro-zookeeper` leaves them out",
        )
    })
}

micro_testkit::registry_conformance!(
    connect,
    RegistryTraits {
        min_ttl: Duration::from_secs(1),
        // The process that registered deletes what lapses, at its time.
        lapse_delay: Duration::from_secs(1),
        max_record: 1000 * 1000,
        ..RegistryTraits::default()
    },
);
