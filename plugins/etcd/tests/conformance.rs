//! The registry's contract, held to by a real etcd.

use std::time::Duration;

use micro_core::{Error, Result};
use micro_etcd::{EtcdConfig, EtcdRegistry};
use micro_testkit::registry::RegistryTraits;

/// Connects to the etcd that `MICRO_ETCD` or `ETCD_ENDPOINTS` names, or else to that of this machine.
async fn connect() -> Result<EtcdRegistry> {
    let named = ["MICRO_ETCD", "ETCD_ENDPOINTS"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok());
    let addresses: Vec<String> = named
        .iter()
        .flat_map(|named| named.split(','))
        .map(str::to_owned)
        .collect();
    let connected = EtcdRegistry::connect(EtcdConfig::from_addresses(&addresses)?).await;
    connected.map_err(|error: Error| {
        error.context(
            "these tests need an etcd: `cargo xtask backends up etcd` starts one, MICRO_ETCD names another, and \
             `--exclude micro-etcd` leaves them out",
        )
    })
}

micro_testkit::registry_conformance!(
    connect,
    RegistryTraits {
        // etcd grants no lease that is shorter than one and a half of its election timeout, which is 1 s.
        min_ttl: Duration::from_secs(2),
        // It looks for lapsed leases every half second, and counts in whole seconds.
        lapse_delay: Duration::from_secs(3),
        max_record: 1024 * 1024,
        ..RegistryTraits::default()
    },
);
