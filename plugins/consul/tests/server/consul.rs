//! Registries at a Consul process on ports of its own.

use std::net::SocketAddr;
use std::time::Duration;

use micro_consul::{ConsulConfig, ConsulRegistry};
use micro_core::registry::RegisterOptions;
pub(crate) use micro_testkit::registry::by_hand::{LONG, PATIENCE, greeter, ids, next, register, until};
pub(crate) use servers::consul::Consul;
use tokio::time::{Instant, sleep};

/// The shortest that is tried.
pub(crate) const SHORT: RegisterOptions = RegisterOptions {
    ttl: Some(Duration::from_secs(1)),
};

pub(crate) fn config(agent: SocketAddr) -> ConsulConfig {
    ConsulConfig::from_addresses(&[agent.to_string()]).unwrap()
}

pub(crate) async fn connect_to(consul: &Consul) -> ConsulRegistry {
    connect(config(consul.server.address())).await
}

/// Connects as soon as the server is up.
pub(crate) async fn connect(config: ConsulConfig) -> ConsulRegistry {
    let until = Instant::now() + PATIENCE;
    loop {
        match ConsulRegistry::connect(config.clone()).await {
            Ok(registry) => return registry,
            Err(error) if Instant::now() > until => panic!("consul did not come up: {error}"),
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}
