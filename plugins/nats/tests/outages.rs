//! What survives when NATS is away: the second suite, with a proxy before a real server, as it is and with JetStream.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use micro_core::Result;
use micro_nats::{JetStream, NatsBroker, NatsConfig, NatsServers, Storage};
use micro_testkit::broker::OutageTraits;
use micro_testkit::proxy::Proxy;

/// The NATS that `MICRO_NATS` or `MICRO_NATS_ADDRESS` names, or else that of this machine.
fn server() -> SocketAddr {
    let named = ["MICRO_NATS", "MICRO_NATS_ADDRESS"];
    let named = named.into_iter().find_map(|name| std::env::var(name).ok());
    let named = named.filter(|named| !named.is_empty());
    let named = named.unwrap_or_else(|| "127.0.0.1:4222".to_owned());
    named.to_socket_addrs().unwrap().next().unwrap()
}

async fn stage() -> std::io::Result<(Proxy, ())> {
    Ok((Proxy::open(server()).await?, ()))
}

async fn connect(address: SocketAddr, jetstream: Option<JetStream>) -> Result<NatsBroker> {
    NatsBroker::connect(NatsConfig {
        servers: NatsServers {
            addresses: vec![address.to_string()],
            ..NatsServers::default()
        },
        jetstream,
        ..NatsConfig::default()
    })
    .await
}

mod plain {
    use super::*;

    micro_testkit::broker_outages!(
        stage,
        |address| connect(address, None),
        OutageTraits {
            keeps: false,
            keeps_for_absent: false,
            ..OutageTraits::default()
        },
    );
}

mod jetstream {
    use super::*;

    micro_testkit::broker_outages!(stage, |address| connect(
        address,
        Some(JetStream {
            stream: "conformance".to_owned(),
            storage: Storage::Memory,
            ack_wait: Duration::from_secs(3),
            ..JetStream::default()
        })
    ));
}
