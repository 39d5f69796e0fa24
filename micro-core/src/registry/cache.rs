//! A registry's records kept at hand: watched, and still there when the registry is not.

mod follower;
mod nodes;
mod service;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::task::AbortOnDropHandle;

use self::follower::Follower;
use super::{RegisterOptions, Registry, ServiceRecord, Watcher};
use crate::{Error, Result, Text};

pub use self::service::{CachedService, Snapshot};

/// How a [`RegistryCache`] keeps its records. Times below 10 ms count as 10 ms, those above a year as a year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistryCacheOptions {
    /// How often a service is listed again although its watch is well, give or take a tenth. Default 1 min.
    pub refresh_interval: Duration,
    /// How long nodes that are missing after an outage of the registry are kept, so that they have the time to
    /// register again. Default 90 s.
    pub doubt: Duration,
    /// How long the answer that a service is not there, or that the registry cannot be asked, is given without
    /// asking again. Default 1 s.
    pub negative_ttl: Duration,
    /// After this time without being asked for, a service is no longer followed. Default 10 min.
    pub idle: Duration,
    /// How many services are followed at most; the one that was not asked for the longest makes room for a new
    /// one. Default 1024; 0 counts as 1.
    pub max_services: usize,
    /// How long the registry may take for one answer. Default 10 s.
    pub timeout: Duration,
}

impl Default for RegistryCacheOptions {
    fn default() -> Self {
        Self {
            refresh_interval: Duration::from_secs(60),
            doubt: Duration::from_secs(90),
            negative_ttl: Duration::from_secs(1),
            idle: Duration::from_secs(600),
            max_services: 1024,
            timeout: Duration::from_secs(10),
        }
    }
}

impl RegistryCacheOptions {
    /// No time so short that a task would spin, none so long that the clock cannot hold it.
    fn bounded(self) -> Self {
        let bounded = |time: Duration| time.clamp(Duration::from_millis(10), Duration::from_secs(31_536_000));
        Self {
            refresh_interval: bounded(self.refresh_interval),
            doubt: bounded(self.doubt),
            negative_ttl: bounded(self.negative_ttl),
            idle: bounded(self.idle),
            max_services: self.max_services.max(1),
            timeout: bounded(self.timeout),
        }
    }
}

/// A registry's records kept at hand.
///
/// Each service that is asked for is followed by one task: it watches, lists, and keeps what is known. However
/// many ask at the same time, the registry is asked once. While the registry is away, what was known last stays;
/// when it comes back with nodes missing, as one that was restarted empty does, these are kept for a while
/// ([`doubt`](RegistryCacheOptions::doubt)) to register again. Otherwise a deletion is obeyed at once.
///
/// It is a [`Registry`] itself: everything but [`get_service`](Registry::get_service) passes through. Dropping it
/// stops all following.
pub struct RegistryCache {
    registry: Arc<dyn Registry>,
    options: RegistryCacheOptions,
    services: Arc<Services>,
}

type Services = Mutex<HashMap<Text, Followed>>;

struct Followed {
    service: Arc<CachedService>,
    _task: AbortOnDropHandle<()>,
}

/// How often a lookup begins anew because its follower ended: idle just then, or the table was full.
const FOLLOWED_ANEW: usize = 3;

/// No two snapshots in a process have the same number, even of a service that is followed anew.
static GENERATIONS: AtomicU64 = AtomicU64::new(1);

impl RegistryCache {
    /// A cache over a registry. Nothing is followed before it is asked for.
    pub fn new(registry: Arc<dyn Registry>, options: RegistryCacheOptions) -> Self {
        Self {
            registry,
            options: options.bounded(),
            services: Arc::default(),
        }
    }

    /// The registry behind it.
    pub fn registry(&self) -> &Arc<dyn Registry> {
        &self.registry
    }

    /// The records of a service, one a version, from the cache if it is followed already.
    ///
    /// Must be called inside a tokio runtime. May be cancelled; the lookup then goes on for others.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when no node is known. When the registry cannot be
    /// asked and nothing is known from before, the registry's error. `Unavailable` when more services than
    /// [`max_services`](RegistryCacheOptions::max_services) are looked up at the same time.
    pub async fn records(&self, name: &str) -> Result<Arc<Vec<ServiceRecord>>> {
        Ok(self.snapshot(name).await?.records())
    }

    /// The same as a snapshot, which shares its nodes and knows its generation.
    ///
    /// # Errors
    ///
    /// As [`records`](Self::records).
    pub async fn snapshot(&self, name: &str) -> Result<Snapshot> {
        for _ in 0..FOLLOWED_ANEW {
            if let Some(answer) = self.follow(name).snapshot().await {
                return answer;
            }
        }
        Err(Error::unavailable(
            "go.micro.registry",
            format!(
                "service {name}: gave way to other services again and again while it was looked up; at most {} are \
                 followed: raise max_services, unless the runtime is shutting down",
                self.options.max_services
            ),
        ))
    }

    /// The handle of a service: what is known of it now and later. Begins to follow the service if nobody did.
    ///
    /// Must be called inside a tokio runtime.
    pub fn follow(&self, name: &str) -> Arc<CachedService> {
        let mut services = lock(&self.services);
        if let Some(followed) = services.get(name)
            && !followed.service.is_ended()
        {
            followed.service.touch();
            return followed.service.clone();
        }
        let made_room = (services.len() >= self.options.max_services)
            .then(|| longest_unasked(&services))
            .flatten()
            .and_then(|name| services.remove(&name));
        let service = Arc::new(CachedService::new(name));
        let follower = Follower::new(
            self.registry.clone(),
            self.options,
            service.clone(),
            Arc::downgrade(&self.services),
        );
        let followed = Followed {
            service: service.clone(),
            _task: AbortOnDropHandle::new(tokio::spawn(follower.run())),
        };
        let replaced = services.insert(service.name().clone(), followed);
        drop(services);
        drop((made_room, replaced));
        service
    }

    /// How many services are followed now.
    pub fn followed(&self) -> usize {
        lock(&self.services).len()
    }
}

impl fmt::Debug for RegistryCache {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RegistryCache")
            .field("registry", &self.registry.name())
            .field("options", &self.options)
            .field("followed", &self.followed())
            .finish()
    }
}

/// Services without nodes go first: names that were asked for in vain must not drive out what is in use.
fn longest_unasked(services: &HashMap<Text, Followed>) -> Option<Text> {
    let unasked = services
        .iter()
        .min_by_key(|(_, followed)| (followed.service.is_known(), followed.service.last_asked()));
    unasked.map(|(name, _)| name.clone())
}

fn lock(services: &Services) -> MutexGuard<'_, HashMap<Text, Followed>> {
    services.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Registry for RegistryCache {
    fn name(&self) -> &str {
        self.registry.name()
    }

    fn takes_registrations(&self) -> bool {
        self.registry.takes_registrations()
    }

    async fn register(&self, service: &ServiceRecord, options: RegisterOptions) -> Result<()> {
        self.registry.register(service, options).await
    }

    async fn deregister(&self, service: &ServiceRecord) -> Result<()> {
        self.registry.deregister(service).await
    }

    async fn get_service(&self, name: &str) -> Result<Vec<ServiceRecord>> {
        let records = self.records(name).await?;
        Ok(records.to_vec())
    }

    async fn list_services(&self) -> Result<Vec<ServiceRecord>> {
        self.registry.list_services().await
    }

    async fn watch(&self, service: Option<&str>) -> Result<Watcher> {
        self.registry.watch(service).await
    }
}
