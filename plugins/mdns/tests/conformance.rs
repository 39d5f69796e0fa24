//! The registry's contract, held to by mDNS over loopback.

use std::sync::OnceLock;

use micro_mdns::{Interfaces, MdnsConfig, MdnsRegistry};
use micro_testkit::registry::RegistryTraits;

/// A port of this run's own: who else is on the machine does not meet these tests. Held while they run.
fn port() -> u16 {
    static RESERVED: OnceLock<(std::net::UdpSocket, u16)> = OnceLock::new();
    RESERVED
        .get_or_init(|| {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
            let port = socket.local_addr().expect("the socket is bound").port();
            (socket, port)
        })
        .1
}

micro_testkit::registry_conformance!(
    || MdnsRegistry::connect(MdnsConfig {
        interfaces: Interfaces::Only(vec!["127.0.0.1".into()]),
        port: port(),
        ..MdnsConfig::default()
    }),
    RegistryTraits {
        // Go Micro's record has no place for it.
        carries_service_metadata: false,
        // Each node is a datagram to each listener: what a host network is for, not a data centre's registry.
        many_nodes: 100,
        ..RegistryTraits::default()
    },
);
