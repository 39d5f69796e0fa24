//! The selector over a watched cache of the registry.

mod view;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use arc_swap::{ArcSwap, Guard};
use async_trait::async_trait;

use self::view::View;
use super::{Blacklist, Candidate, Candidates, Criteria, Outcome, Selector, Strategy};
use crate::registry::{CachedService, RegistryCache, Snapshot};
use crate::{Error, ErrorKind, Result, Text};

/// How a [`CachedSelector`] keeps and leaves out nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SelectorOptions {
    /// When a failing node is left out, and for how long.
    pub blacklist: Blacklist,
    /// How many different lists of filters are kept ready for a service; the oldest makes room for a new one.
    /// Default 16; 0 counts as 1.
    pub max_views: usize,
}

impl Default for SelectorOptions {
    fn default() -> Self {
        Self {
            blacklist: Blacklist::default(),
            max_views: 16,
        }
    }
}

/// Chooses by a [`Strategy`] among the nodes that a [`RegistryCache`] knows, and leaves failing ones out.
///
/// For a service that was asked for before, a choice costs one hash look-up, takes no lock, and does not depend on
/// the number of nodes.
pub struct CachedSelector {
    cache: Arc<RegistryCache>,
    strategy: Arc<dyn Strategy>,
    options: SelectorOptions,
    services: ArcSwap<HashMap<Text, Arc<Service>>>,
}

struct Service {
    cached: Arc<CachedService>,
    view: ArcSwap<View>,
    renewing: Mutex<()>,
}

impl CachedSelector {
    /// A selector over a cache, which it may share with others.
    pub fn new(cache: Arc<RegistryCache>, strategy: Arc<dyn Strategy>, options: SelectorOptions) -> Self {
        Self {
            cache,
            strategy,
            options,
            services: ArcSwap::default(),
        }
    }

    /// The cache behind it.
    pub fn cache(&self) -> &Arc<RegistryCache> {
        &self.cache
    }

    /// The newest view of a service that can be had without waiting.
    fn ready(&self, service: &str) -> Option<Guard<Arc<View>>> {
        let services = self.services.load();
        let service = services.get(service)?;
        let view = service.view.load();
        if view.is_usable() && view.generation() == service.cached.generation() {
            return Some(view);
        }
        Some(Guard::from_inner(self.renew(service, &service.cached.known()?)))
    }

    async fn found(&self, service: &str) -> Result<Arc<View>> {
        let snapshot = self
            .cache
            .snapshot(service)
            .await
            .map_err(|error| match error.kind() {
                ErrorKind::NotFound => self.not_found(service),
                _ => error,
            })?;
        Ok(self.renew(&self.entry(service), &snapshot))
    }

    /// The service's entry, with the handle that the cache holds now.
    fn entry(&self, name: &str) -> Arc<Service> {
        let cached = self.cache.follow(name);
        let is_current = |known: &&Arc<Service>| Arc::ptr_eq(&known.cached, &cached);
        if let Some(known) = self.services.load().get(name).filter(is_current) {
            return known.clone();
        }
        let service = Arc::new(Service {
            cached: cached.clone(),
            view: ArcSwap::from_pointee(View::empty(&*self.strategy)),
            renewing: Mutex::new(()),
        });
        self.services.rcu(|services| {
            // Who was first to add it stays.
            if services.get(name).is_some_and(|known| is_current(&known)) {
                return services.clone();
            }
            let followed = services.iter().filter(|(_, service)| !service.cached.is_ended());
            let kept = followed.map(|(name, service)| (name.clone(), service.clone()));
            Arc::new(kept.chain([(cached.name().clone(), service.clone())]).collect())
        });
        // If another task found the follower ended just now, ours serves this one call.
        let known = self.services.load().get(name).filter(is_current).cloned();
        let known = known.unwrap_or_else(|| service.clone());
        if Arc::ptr_eq(&known, &service) {
            self.keep_up(&service);
        }
        known
    }

    /// Lets the view change with the registry, and not with the next call, which may be far away: what was dialled
    /// at a node that left is dropped at once, so that the node need not wait for its idle connections to go.
    fn keep_up(&self, service: &Arc<Service>) {
        let (changed, strategy, options) = (Arc::downgrade(service), self.strategy.clone(), self.options);
        service.cached.on_change(move || {
            let Some(service) = changed.upgrade() else {
                return false;
            };
            service.catch_up(&*strategy, &options);
            true
        });
    }

    /// Makes the view of a snapshot, once for all who ask; meanwhile the others work with the one before.
    fn renew(&self, service: &Service, snapshot: &Snapshot) -> Arc<View> {
        let before = service.view.load_full();
        let Some(_renewing) = lock(&service.renewing, before.is_usable()) else {
            return before;
        };
        let before = service.view.load_full();
        // Numbers grow: another may have made a newer one meanwhile.
        if before.generation() >= snapshot.generation() {
            return before;
        }
        let view = Arc::new(View::new(snapshot, &before, &*self.strategy, &self.options));
        service.view.store(view.clone());
        view
    }

    fn candidates(&self, service: &str, view: &View, criteria: &Criteria) -> Result<Candidates> {
        let pool = view.pool(&criteria.filters, &*self.strategy, &self.options);
        if pool.nodes().is_empty() {
            return Err(none_available(service, view, criteria));
        }
        Ok(Candidates::new(pool, criteria.key.clone()))
    }

    fn not_found(&self, service: &str) -> Error {
        let registry = crate::registry::Registry::name(&*self.cache);
        Error::client(
            404,
            format!("service {service}: not found; is it running and registered in the registry {registry}?"),
        )
    }
}

impl Service {
    fn catch_up(&self, strategy: &dyn Strategy, options: &SelectorOptions) {
        let _renewing = lock(&self.renewing, false);
        let before = self.view.load_full();
        match self.cached.known() {
            Some(snapshot) if before.generation() >= snapshot.generation() => {}
            Some(snapshot) => {
                let view = View::new(&snapshot, &before, strategy, options);
                self.view.store(Arc::new(view));
            }
            None => self.view.store(Arc::new(View::empty(strategy))),
        }
    }
}

fn none_available(service: &str, view: &View, criteria: &Criteria) -> Error {
    let (filters, nodes) = (&criteria.filters, view.all().nodes().len());
    Error::client(
        503,
        format!("service {service}: none available; none of its {nodes} nodes passes the filters: {filters}"),
    )
}

/// The lock, or nothing where another has it and that is no harm.
fn lock(mutex: &Mutex<()>, may_fail: bool) -> Option<MutexGuard<'_, ()>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(guard)) => Some(guard.into_inner()),
        Err(TryLockError::WouldBlock) if may_fail => None,
        Err(TryLockError::WouldBlock) => Some(mutex.lock().unwrap_or_else(PoisonError::into_inner)),
    }
}

#[async_trait]
impl Selector for CachedSelector {
    fn name(&self) -> &str {
        self.strategy.name()
    }

    async fn select(&self, service: &str, criteria: &Criteria) -> Result<Candidates> {
        if let Some(view) = self.ready(service) {
            return self.candidates(service, &view, criteria);
        }
        let view = self.found(service).await?;
        self.candidates(service, &view, criteria)
    }

    fn select_now(&self, service: &str, criteria: &Criteria) -> Option<Candidates> {
        let view = self.ready(service)?;
        self.candidates(service, &view, criteria).ok()
    }

    fn mark(&self, _: &str, candidate: &Candidate, outcome: Outcome) {
        candidate.mark(outcome, &self.options.blacklist);
    }

    fn reset(&self, service: &str) {
        if let Some(service) = self.services.load().get(service) {
            let view = service.view.load();
            view.all().nodes().iter().for_each(|node| node.reset());
        }
    }
}

impl fmt::Debug for CachedSelector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CachedSelector")
            .field("strategy", &self.strategy.name())
            .field("options", &self.options)
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}
