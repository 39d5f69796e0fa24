//! The registry's contract, held to by a real NATS, also where it cannot be reached for a while.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::OnceLock;

use micro_core::Result;
use micro_nats_registry::{NatsRegistry, NatsRegistryConfig, NatsServers};

/// The NATS that `MICRO_NATS` or `MICRO_NATS_ADDRESS` names, or else that of this machine.
fn address() -> String {
    let named = ["MICRO_NATS", "MICRO_NATS_ADDRESS"];
    let named = named.into_iter().find_map(|name| std::env::var(name).ok());
    let named = named.filter(|named| !named.is_empty());
    named.unwrap_or_else(|| "127.0.0.1:4222".to_owned())
}

/// Subjects of this run's own: who else is at the server does not meet these tests.
fn config(address: String) -> NatsRegistryConfig {
    static RUN: OnceLock<String> = OnceLock::new();
    let run = RUN.get_or_init(|| format!("test{}", std::process::id()));
    NatsRegistryConfig {
        servers: NatsServers {
            addresses: vec![address],
            ..NatsServers::default()
        },
        query_subject: format!("{run}.query"),
        watch_subject: format!("{run}.watch"),
        ..NatsRegistryConfig::default()
    }
}

async fn connect(address: String) -> Result<NatsRegistry> {
    let connected = NatsRegistry::connect(config(address)).await;
    connected.map_err(|error| {
        error.context(
            "these tests need a NATS at 127.0.0.1:4222, or where MICRO_NATS says; `cargo xtask backends up nats` \
             starts one",
        )
    })
}

micro_testkit::registry_conformance!(|| connect(address()));

mod outages {
    use super::*;

    fn server() -> SocketAddr {
        address().to_socket_addrs().unwrap().next().unwrap()
    }

    micro_testkit::registry_outages!(server, |address| connect(address.to_string()));
}
