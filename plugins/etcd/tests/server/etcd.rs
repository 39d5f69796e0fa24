//! Registries at an etcd process on ports of its own.

use std::time::Duration;

use micro_etcd::{EtcdConfig, EtcdRegistry};
pub(crate) use micro_testkit::registry::by_hand::{LONG, PATIENCE, greeter, ids, next, register};
pub(crate) use servers::etcd::{Etcd, in_base64};
use tokio::time::{Instant, sleep};

pub(crate) fn config(etcd: &Etcd) -> EtcdConfig {
    EtcdConfig {
        endpoints: vec![etcd.address()],
        ..EtcdConfig::default()
    }
}

pub(crate) async fn connect_to(etcd: &Etcd) -> EtcdRegistry {
    connect(config(etcd)).await
}

/// Connects as soon as the server is up.
pub(crate) async fn connect(config: EtcdConfig) -> EtcdRegistry {
    let until = Instant::now() + PATIENCE;
    loop {
        match EtcdRegistry::connect(config.clone()).await {
            Ok(registry) => return registry,
            Err(error) if Instant::now() > until => panic!("etcd did not come up: {error}"),
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}
