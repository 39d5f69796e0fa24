//! What the registry lives through while its Consul is away, with a proxy before a real one.

use std::net::SocketAddr;

use micro_consul::{ConsulConfig, ConsulRegistry};
use micro_core::Result;

/// The Consul that `MICRO_CONSUL` names, or else that of this machine.
fn server() -> SocketAddr {
    let named = std::env::var("MICRO_CONSUL").unwrap_or_else(|_| "127.0.0.1:8500".to_owned());
    named.parse().unwrap_or_else(|_| {
        panic!("MICRO_CONSUL is {named:?}; these tests need one address and port, such as 127.0.0.1:8500")
    })
}

async fn connect(address: SocketAddr) -> Result<ConsulRegistry> {
    ConsulRegistry::connect(ConsulConfig::from_addresses(&[address.to_string()])?).await
}

micro_testkit::registry_outages!(server, connect);
