//! The registry itself.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use micro_core::Result;
use micro_core::registry::{RegisterOptions, Registry, ServiceRecord, Watcher, service_not_found};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::config::GossipConfig;
use crate::keeper;
use crate::record::{ROOT, entry, key, names, prefix, read};
use crate::shared::Shared;
use crate::view;
use crate::watch::Watching;

/// A registry without a server: the processes tell each other by gossip who is where.
///
/// Clones, and watchers, share the membership. When the last of them is dropped, it ends as that of a process that is
/// killed; [`close`](Self::close) says goodbye.
#[derive(Clone)]
pub struct GossipRegistry(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    address: SocketAddr,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl GossipRegistry {
    /// Listens, becomes a member, and waits until it knows the others.
    ///
    /// Where no seed answers within the join timeout, it begins alone, which the log tells, and meets the others when
    /// one does. Dropping the future ends the membership.
    ///
    /// # Errors
    ///
    /// When the configuration makes no sense, or its address cannot be listened at.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O and time enabled.
    pub async fn connect(config: GossipConfig) -> Result<Self> {
        let shared = Arc::new(Shared::new(config.checked()?));
        let member = keeper::begin(&shared, None).await?;
        let (address, has_seeds) = (member.address, member.has_seeds());
        let task = tokio::spawn(keeper::run(shared.clone(), member));
        let this = Self(Arc::new(Handle {
            shared,
            address,
            task: Mutex::new(Some(task)),
        }));
        if has_seeds {
            keeper::join(&this.0.shared).await?;
        }
        Ok(this)
    }

    /// The address that this member listens at, with the port that it was given: a seed for others.
    pub fn local_address(&self) -> SocketAddr {
        self.0.address
    }

    /// Takes out what this process registered, tells others, and ends the membership. After that every method fails. To
    /// close again does nothing.
    pub async fn close(&self) {
        let shared = &self.0.shared;
        // Who does not hear it will notice that this member is silent.
        let _ = shared.take_out(shared.own_keys()).await;
        shared.close();
        if let Some(task) = self.0.take_task() {
            let _ = task.await;
        }
    }

    /// How many messages this member sent and received so far. For tests and measurements.
    #[doc(hidden)]
    pub fn messages(&self) -> u64 {
        *self.0.shared.traffic.messages.borrow()
    }

    /// Lets nothing through any more, or again, as if the network were cut. For tests.
    #[doc(hidden)]
    pub fn cut_off(&self, is_cut_off: bool) {
        self.0
            .shared
            .traffic
            .is_cut_off
            .store(is_cut_off, Ordering::Relaxed);
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0.shared
    }
}

impl Handle {
    fn take_task(&self) -> Option<JoinHandle<()>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(task) = self.take_task() {
            task.abort();
        }
    }
}

impl fmt::Debug for GossipRegistry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("GossipRegistry")
            .field("address", &self.0.address)
            .field("config", &self.0.shared.config)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Registry for GossipRegistry {
    fn name(&self) -> &str {
        "gossip"
    }

    async fn register(&self, service: &ServiceRecord, options: RegisterOptions) -> Result<()> {
        let entries = service.nodes.iter().map(|node| entry(service, node));
        let entries = entries.collect::<Result<Vec<(String, String)>>>()?;
        // A time to live that the clock cannot count ends never.
        let lapses = options.ttl.and_then(|ttl| Instant::now().checked_add(ttl));
        self.0.shared.put(entries, lapses).await
    }

    async fn deregister(&self, service: &ServiceRecord) -> Result<()> {
        let keys = service.nodes.iter().map(|node| key(service, node)).collect();
        self.0.shared.take_out(keys).await
    }

    async fn get_service(&self, name: &str) -> Result<Vec<ServiceRecord>> {
        let prefix = prefix(name);
        let entries: Vec<(String, String)> = {
            let chitchat = self.0.shared.lock().await?;
            let entries = view::entries(&chitchat, &prefix).into_iter();
            entries
                .map(|(key, held)| (key.to_owned(), held.value.to_owned()))
                .collect()
        };
        let records: Vec<ServiceRecord> = entries
            .iter()
            .filter_map(|(key, value)| read(key, value))
            .collect();
        match records.is_empty() {
            true => Err(service_not_found(name)),
            false => Ok(ServiceRecord::merge_versions(records)),
        }
    }

    async fn list_services(&self) -> Result<Vec<ServiceRecord>> {
        let chitchat = self.0.shared.lock().await?;
        let entries = view::entries(&chitchat, ROOT);
        let services: BTreeSet<(String, String)> = entries
            .keys()
            .filter_map(|key| names(key))
            .map(|[service, version, _]| (service, version))
            .collect();
        Ok(services
            .into_iter()
            .map(|(service, version)| ServiceRecord::new(service, version))
            .collect())
    }

    async fn watch(&self, service: Option<&str>) -> Result<Watcher> {
        let what = format!("the watch of {} by gossip", service.unwrap_or("all services"));
        Watcher::follow(what, Watching::new(self.clone(), service)).await
    }
}
