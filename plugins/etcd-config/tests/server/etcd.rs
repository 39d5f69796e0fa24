//! Sources at an etcd process on ports of its own.

use std::net::SocketAddr;

use micro_config::{Source, async_trait};
use micro_etcd_config::{EtcdServers, EtcdSource, EtcdSourceConfig, KeyFolder};
pub(crate) use micro_testkit::config::by_hand::{PATIENCE, follow, next, said, until, until_well};
use micro_testkit::config::folder::Folder;
pub(crate) use servers::etcd::{Etcd, in_base64};

pub(crate) fn source(etcd: &Etcd, prefix: &str) -> EtcdSource {
    EtcdSource::new(config(etcd, prefix)).unwrap()
}

pub(crate) fn config(etcd: &Etcd, prefix: &str) -> EtcdSourceConfig {
    config_at(vec![etcd.address()], prefix)
}

fn config_at(endpoints: Vec<String>, prefix: &str) -> EtcdSourceConfig {
    EtcdSourceConfig {
        servers: EtcdServers {
            endpoints,
            ..EtcdServers::default()
        },
        keys: KeyFolder {
            prefix: prefix.to_owned(),
            ..KeyFolder::default()
        },
    }
}

/// The folder `/shop/`.
struct Shop(Etcd);

async fn shop() -> Option<Shop> {
    Etcd::start().await.map(Shop)
}

#[async_trait]
impl Folder for Shop {
    fn address(&self) -> SocketAddr {
        self.0.server.address()
    }

    fn source(&self, addresses: &[SocketAddr]) -> Box<dyn Source> {
        let endpoints = addresses.iter().map(ToString::to_string).collect();
        Box::new(EtcdSource::new(config_at(endpoints, "/shop/")).unwrap())
    }

    async fn put(&self, key: &str, value: &str) {
        self.0.put(&format!("/shop/{key}"), value).await;
    }

    async fn delete(&self, key: &str) {
        self.0.delete(&format!("/shop/{key}")).await;
    }

    async fn forget_history(&self) {
        self.0.forget_history().await;
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
