//! What the registry lives through while its ZooKeeper is away.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::SocketAddr;

use micro_core::Result;
use micro_zookeeper::{ZookeeperConfig, ZookeeperRegistry};

/// The ZooKeeper that `MICRO_ZOOKEEPER` names, or else that of this machine.
fn server() -> SocketAddr {
    let named = std::env::var("MICRO_ZOOKEEPER").unwrap_or_else(|_| "127.0.0.1:2181".into());
    named.split(',').next().unwrap().parse().unwrap()
}

async fn connect(address: SocketAddr) -> Result<ZookeeperRegistry> {
    ZookeeperRegistry::connect(ZookeeperConfig::from_addresses(&[address.to_string()])?).await
}

micro_testkit::registry_outages!(server, connect);
