//! A registry with a pod of its own, which goes when the registry does.

use async_trait::async_trait;
use micro_core::Result;
use micro_core::registry::{RegisterOptions, Registry, ServiceRecord, Watcher};
use micro_kubernetes::{KubernetesConfig, KubernetesRegistry};

use crate::cluster::{Pod, connect};

pub(crate) struct OwnPod {
    registry: KubernetesRegistry,
    _pod: Pod,
}

impl OwnPod {
    /// What is connected to as the configuration says that is made of the pod's.
    pub(crate) async fn connect(configure: impl FnOnce(&mut KubernetesConfig)) -> Result<Self> {
        let pod = Pod::start().await;
        let mut config = pod.config();
        configure(&mut config);
        Ok(Self {
            registry: connect(config).await?,
            _pod: pod,
        })
    }
}

#[async_trait]
impl Registry for OwnPod {
    fn name(&self) -> &str {
        self.registry.name()
    }

    async fn register(&self, service: &ServiceRecord, options: RegisterOptions) -> Result<()> {
        self.registry.register(service, options).await
    }

    async fn deregister(&self, service: &ServiceRecord) -> Result<()> {
        self.registry.deregister(service).await
    }

    async fn get_service(&self, name: &str) -> Result<Vec<ServiceRecord>> {
        self.registry.get_service(name).await
    }

    async fn list_services(&self) -> Result<Vec<ServiceRecord>> {
        self.registry.list_services().await
    }

    async fn watch(&self, service: Option<&str>) -> Result<Watcher> {
        self.registry.watch(service).await
    }
}
