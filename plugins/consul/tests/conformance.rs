//! The registry's contract, held to by a real Consul.

use std::time::Duration;

use micro_consul::{ConsulConfig, ConsulRegistry};
use micro_core::{Error, Result};
use micro_testkit::registry::RegistryTraits;

/// Connects to the agents that `MICRO_CONSUL` or `CONSUL_HTTP_ADDR` names, or else to that of this machine.
async fn connect() -> Result<ConsulRegistry> {
    let named = ["MICRO_CONSUL", "CONSUL_HTTP_ADDR"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok());
    let addresses: Vec<String> = named
        .iter()
        .flat_map(|named| named.split(','))
        .map(str::to_owned)
        .collect();
    let connected = ConsulRegistry::connect(ConsulConfig::from_addresses(&addresses)?).await;
    connected.map_err(|error: Error| {
        error.context(
            "these tests need a Consul: `cargo xtask backends up consul` starts one, MICRO_CONSUL names another, and \
             `--exclude micro-consul` leaves them out",
        )
    })
}

micro_testkit::registry_conformance!(
    connect,
    RegistryTraits {
        // Consul's timer begins when the check is passed, and what it finds is known a moment later.
        lapse_delay: Duration::from_secs(1),
        // Tags carry the metadata of nodes alone, as in Go Micro.
        carries_service_metadata: false,
        max_record: 1_000_000,
        ..RegistryTraits::default()
    },
);
