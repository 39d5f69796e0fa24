//! The registry.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use micro_core::Result;
use micro_core::registry::{RegisterOptions, Registry, ServiceRecord, Watcher, service_not_found};

use crate::config::{DnsConfig, Registrations};
use crate::error;
use crate::lookup::Resolver;
use crate::watch::WatchOne;

/// A registry that finds services by their SRV records. Clones share the connections to the name servers.
///
/// It only reads: who runs the DNS keeps the records.
#[derive(Clone, Debug)]
pub struct DnsRegistry {
    resolver: Arc<Resolver>,
    told: Arc<AtomicBool>,
}

impl DnsRegistry {
    /// Reads the system's configuration where it is wanted, and sees whether a name server answers, whatever it says.
    ///
    /// Dropping the future gives up.
    ///
    /// # Errors
    ///
    /// When the configuration makes no sense, or no name server answers within the request's timeout.
    pub async fn connect(config: DnsConfig) -> Result<Self> {
        Ok(Self {
            resolver: Arc::new(Resolver::connect(config).await?),
            told: Arc::default(),
        })
    }

    fn refuses(&self) -> bool {
        self.resolver.config().registrations == Registrations::Refuse
    }
}

#[async_trait]
impl Registry for DnsRegistry {
    fn name(&self) -> &str {
        "dns"
    }

    /// Never: it only reads.
    fn takes_registrations(&self) -> bool {
        false
    }

    async fn register(&self, service: &ServiceRecord, _: RegisterOptions) -> Result<()> {
        if self.refuses() {
            return Err(error::read_only("register", &service.name));
        }
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::info!(
                service = %service.name,
                "dns: this registry only reads, so nothing was registered: others find this service when whoever runs \
                 the DNS keeps records of it"
            );
        }
        Ok(())
    }

    async fn deregister(&self, service: &ServiceRecord) -> Result<()> {
        match self.refuses() {
            true => Err(error::read_only("deregister", &service.name)),
            false => Ok(()),
        }
    }

    async fn get_service(&self, name: &str) -> Result<Vec<ServiceRecord>> {
        let answer = self.resolver.look_up(name).await?;
        if answer.nodes.is_empty() {
            return Err(service_not_found(name));
        }
        let version = self.resolver.config().version.clone();
        Ok(vec![ServiceRecord::new(name, version).with_nodes(answer.nodes)])
    }

    async fn list_services(&self) -> Result<Vec<ServiceRecord>> {
        Err(error::no_list("list"))
    }

    async fn watch(&self, service: Option<&str>) -> Result<Watcher> {
        let service = service.ok_or_else(|| error::no_list("watch"))?;
        let source = WatchOne::new(self.resolver.clone(), service);
        Watcher::follow(format!("the watch of {service} in DNS"), source).await
    }
}
