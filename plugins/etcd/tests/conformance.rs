//! The registry's contract, held to by a real etcd, also where it cannot be reached for a while.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::{SocketAddr, ToSocketAddrs};

use micro_core::{Error, Result};
use micro_etcd::{EtcdConfig, EtcdRegistry};

/// The etcd that `MICRO_ETCD` or `ETCD_ENDPOINTS` names, or else that of this machine.
fn addresses() -> Vec<String> {
    let named = ["MICRO_ETCD", "ETCD_ENDPOINTS"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok());
    named
        .iter()
        .flat_map(|named| named.split(','))
        .map(str::to_owned)
        .collect()
}

async fn connect(addresses: Vec<String>) -> Result<EtcdRegistry> {
    let connected = EtcdRegistry::connect(EtcdConfig::from_addresses(&addresses)?).await;
    connected.map_err(|error: Error| {
        error.context(
            "these tests need an etcd: `cargo xtask backends up etcd` starts one, MICRO_ETCD names another, and \
             `--exclude micro-etcd` leaves them out",
        )
    })
}

mod contract {
    use std::time::Duration;

    use micro_testkit::registry::RegistryTraits;

    use super::*;

    micro_testkit::registry_conformance!(
        || connect(addresses()),
        RegistryTraits {
            // etcd grants no lease that is shorter than one and a half of its election timeout, which is 1 s.
            min_ttl: Duration::from_secs(2),
            // It looks for lapsed leases every half second, and counts in whole seconds.
            lapse_delay: Duration::from_secs(3),
            max_record: 1024 * 1024,
            ..RegistryTraits::default()
        },
    );
}

mod outages {
    use super::*;

    fn server() -> SocketAddr {
        let addresses = addresses();
        let first = addresses.first().map_or("127.0.0.1:2379", String::as_str);
        let bare = first.trim_start_matches("http://");
        bare.to_socket_addrs().unwrap().next().unwrap()
    }

    micro_testkit::registry_outages!(server, |address| connect(vec![address.to_string()]));
}
