//! The registry's contract, held to by members of one cluster on loopback.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::SocketAddr;
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use micro_core::Result;
use micro_gossip::{GossipConfig, GossipKey, GossipRegistry};
use micro_testkit::registry::RegistryTraits;

fn config(seed: Option<SocketAddr>) -> GossipConfig {
    GossipConfig {
        seeds: seed.iter().map(ToString::to_string).collect(),
        listen: Some(([127, 0, 0, 1], 0).into()),
        interval: Duration::from_millis(100),
        failure_timeout: Duration::from_secs(3),
        ..GossipConfig::default()
    }
}

fn sealed(seed: Option<SocketAddr>) -> GossipConfig {
    GossipConfig {
        key: Some(GossipKey::new("a secret of thirty-two bytes ....").unwrap()),
        ..config(seed)
    }
}

/// Runs the member that all others meet, as long as the tests do.
fn seed(config: GossipConfig) -> SocketAddr {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let registry = GossipRegistry::connect(config).await.unwrap();
            tell.send(registry.local_address()).unwrap();
            std::future::pending::<()>().await;
        });
    });
    told.recv().unwrap()
}

fn traits() -> RegistryTraits {
    RegistryTraits {
        max_record: 31 * 1024,
        ..RegistryTraits::default()
    }
}

mod plain {
    use super::*;

    async fn connect() -> Result<GossipRegistry> {
        static SEED: OnceLock<SocketAddr> = OnceLock::new();
        let seed = *SEED.get_or_init(|| seed(config(None)));
        GossipRegistry::connect(config(Some(seed))).await
    }

    micro_testkit::registry_conformance!(connect, traits());
}

mod encrypted {
    use super::*;

    async fn connect() -> Result<GossipRegistry> {
        static SEED: OnceLock<SocketAddr> = OnceLock::new();
        let seed = *SEED.get_or_init(|| seed(sealed(None)));
        GossipRegistry::connect(sealed(Some(seed))).await
    }

    micro_testkit::registry_conformance!(connect, traits());
}
