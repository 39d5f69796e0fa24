//! What every source of configuration must do, at a real API server of Kubernetes, also where it cannot be reached for a
//! while.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "the other tests use more of what they share")]

use micro_config::{Error, ErrorKind, Result, Source, async_trait};
use micro_kubernetes_config::{KubernetesSource, ObjectKind};
use micro_testkit::config::Place;
use micro_testkit::proxy::Proxy;
use tokio::sync::Mutex;

use crate::cluster::{Cluster, Object};

#[path = "server/cluster.rs"]
mod cluster;

/// An object with one document in JSON, behind a proxy.
struct Behind {
    object: Object,
    proxy: Mutex<Proxy>,
}

impl Behind {
    async fn proxy(kind: ObjectKind) -> Result<Self> {
        let cluster = Cluster::usual();
        let proxy = Proxy::open(cluster.address).await;
        Ok(Self {
            proxy: Mutex::new(proxy.map_err(|problem| Error::new(ErrorKind::Unavailable, problem))?),
            object: cluster.object(kind),
        })
    }
}

#[async_trait]
impl Place for Behind {
    async fn source(&self) -> Result<Box<dyn Source>> {
        let address = self.proxy.lock().await.address();
        Ok(Box::new(KubernetesSource::new(self.object.config(address))?))
    }

    async fn put(&self, text: &str) -> Result<()> {
        self.object.put(&[("app.json", text)]).await
    }

    async fn remove(&self) -> Result<()> {
        self.object.remove().await
    }

    fn proxy(&self) -> Option<&Mutex<Proxy>> {
        Some(&self.proxy)
    }

    async fn clean(&self) {
        // It may be gone already.
        let _ = self.object.remove().await;
    }
}

micro_testkit::source_conformance!(|| Behind::proxy(ObjectKind::ConfigMap));

mod of_a_secret {
    use super::*;

    micro_testkit::source_conformance!(|| Behind::proxy(ObjectKind::Secret));
}
