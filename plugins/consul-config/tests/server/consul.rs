//! Sources at a Consul process on ports of its own.

use std::net::SocketAddr;

use micro_config::{Source, async_trait};
use micro_consul_config::{ConsulAgents, ConsulSource, ConsulSourceConfig, KeyFolder};
pub(crate) use micro_testkit::config::by_hand::{PATIENCE, follow, said, until};
use micro_testkit::config::folder::Folder;
pub(crate) use servers::consul::Consul;

pub(crate) fn source(consul: &Consul, prefix: &str) -> ConsulSource {
    ConsulSource::new(config(consul, prefix)).unwrap()
}

pub(crate) fn config(consul: &Consul, prefix: &str) -> ConsulSourceConfig {
    config_at(vec![consul.server.address().to_string()], prefix)
}

pub(crate) fn config_at(agents: Vec<String>, prefix: &str) -> ConsulSourceConfig {
    ConsulSourceConfig {
        agents: ConsulAgents {
            addresses: agents,
            ..ConsulAgents::default()
        },
        keys: KeyFolder {
            prefix: prefix.to_owned(),
            ..KeyFolder::default()
        },
    }
}

/// The folder `shop/`.
struct Shop(Consul);

async fn shop() -> Option<Shop> {
    Consul::start().await.map(Shop)
}

#[async_trait]
impl Folder for Shop {
    fn address(&self) -> SocketAddr {
        self.0.server.address()
    }

    fn source(&self, addresses: &[SocketAddr]) -> Box<dyn Source> {
        let agents = addresses.iter().map(ToString::to_string).collect();
        Box::new(ConsulSource::new(config_at(agents, "shop/")).unwrap())
    }

    async fn put(&self, key: &str, value: &str) {
        self.0.put(&format!("shop/{key}"), value).await;
    }

    async fn delete(&self, key: &str) {
        self.0.delete(&format!("shop/{key}")).await;
    }

    async fn kill(&mut self) {
        self.0.server.kill().await.unwrap();
    }

    async fn start_again(&mut self) {
        self.0.server.start_again().await.unwrap();
    }

    async fn start_empty(&mut self) {
        self.0.server.start_empty().await.unwrap();
    }
}

micro_testkit::folder_conformance!(shop);
