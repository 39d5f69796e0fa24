//! The transport's contract, held to over a real NATS.

#![allow(clippy::unwrap_used, reason = "tests")]

use micro_core::Result;
use micro_nats_transport::{NatsServers, NatsTransport, NatsTransportConfig};
use micro_testkit::transport::TransportTraits;

async fn connect() -> Result<NatsTransport> {
    let named = ["MICRO_NATS", "MICRO_NATS_ADDRESS"];
    let named = named.into_iter().find_map(|name| std::env::var(name).ok());
    let named = named.filter(|named| !named.is_empty());
    let connected = NatsTransport::connect(NatsTransportConfig {
        servers: NatsServers {
            addresses: vec![named.unwrap_or_else(|| "127.0.0.1:4222".to_owned())],
            ..NatsServers::default()
        },
        ..NatsTransportConfig::default()
    });
    connected.await.map_err(|error| {
        error.context(
            "these tests need a NATS at 127.0.0.1:4222, or where MICRO_NATS says; `cargo xtask backends up nats` \
             starts one",
        )
    })
}

micro_testkit::transport_conformance!(
    connect,
    TransportTraits {
        address: ":0".to_owned(),
        malformed: ["", "a b", "a..b", "a.*", "a.>", ".a"]
            .map(str::to_owned)
            .to_vec(),
        // In base64, a little less than the mebibyte that NATS takes by default.
        max_message: 780_000,
        soon: std::time::Duration::from_secs(30),
        ..TransportTraits::default()
    },
);
