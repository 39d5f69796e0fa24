//! A registry inside this process: for tests, and for services that find each other without a network.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::stream;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Receiver, Sender};
use tokio::time::{Instant, sleep_until};

use super::{
    Action, Change, KnownNodes, RegisterOptions, Registry, ServiceRecord, Watcher, service_not_found,
};
use crate::Result;

/// How many changes a watcher may lag behind before it compares listings instead.
const BACKLOG: usize = 256;

/// A registry inside this process. Clones share what is registered.
#[derive(Clone, Debug)]
pub struct MemoryRegistry(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    nodes: Mutex<BTreeMap<Key, Lease>>,
    changes: Sender<Change>,
}

/// Service, version, node.
type Key = (String, String, String);

#[derive(Debug)]
struct Lease {
    record: ServiceRecord,
    lapses: Option<Instant>,
}

impl MemoryRegistry {
    /// An empty registry.
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            nodes: Mutex::default(),
            changes: broadcast::channel(BACKLOG).0,
        }))
    }
}

impl Default for MemoryRegistry {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Lease>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes out what has lapsed, tells the watchers, and returns what is left.
    fn current(&self) -> MutexGuard<'_, BTreeMap<Key, Lease>> {
        let now = Instant::now();
        let mut nodes = self.lock();
        nodes.retain(|_, lease| {
            let alive = lease.lapses.is_none_or(|lapses| now < lapses);
            if !alive {
                self.tell(Action::Delete, lease.record.clone());
            }
            alive
        });
        nodes
    }

    fn tell(&self, action: Action, service: ServiceRecord) {
        // Fails when nobody watches, which is fine.
        let _ = self.changes.send(Change { action, service });
    }

    fn next_lapse(&self) -> Option<Instant> {
        self.lock().values().filter_map(|lease| lease.lapses).min()
    }

    fn listing(&self, service: Option<&str>) -> Vec<ServiceRecord> {
        let nodes = self.current();
        let wanted = nodes
            .iter()
            .filter(|(key, _)| service.is_none_or(|service| key.0 == service));
        wanted.map(|(_, lease)| lease.record.clone()).collect()
    }
}

#[async_trait]
impl Registry for MemoryRegistry {
    fn name(&self) -> &str {
        "memory"
    }

    async fn register(&self, service: &ServiceRecord, options: RegisterOptions) -> Result<()> {
        // A time to live that the clock cannot count ends never.
        let lapses = options.ttl.and_then(|ttl| Instant::now().checked_add(ttl));
        let mut nodes = self.0.current();
        for node in &service.nodes {
            let key = (service.name.clone(), service.version.clone(), node.id.clone());
            let record = service.with_nodes(vec![node.clone()]);
            let known = nodes.insert(
                key,
                Lease {
                    record: record.clone(),
                    lapses,
                },
            );
            match known {
                None => self.0.tell(Action::Create, record),
                Some(known) if known.record != record => self.0.tell(Action::Update, record),
                Some(_) => {}
            }
        }
        drop(nodes);
        Ok(())
    }

    async fn deregister(&self, service: &ServiceRecord) -> Result<()> {
        let mut nodes = self.0.current();
        for node in &service.nodes {
            let key = (service.name.clone(), service.version.clone(), node.id.clone());
            if let Some(lease) = nodes.remove(&key) {
                self.0.tell(Action::Delete, lease.record);
            }
        }
        drop(nodes);
        Ok(())
    }

    async fn get_service(&self, name: &str) -> Result<Vec<ServiceRecord>> {
        let listing = self.0.listing(Some(name));
        if listing.is_empty() {
            return Err(service_not_found(name));
        }
        Ok(ServiceRecord::merge_versions(listing))
    }

    async fn list_services(&self) -> Result<Vec<ServiceRecord>> {
        let mut by_name: BTreeMap<String, Vec<ServiceRecord>> = BTreeMap::new();
        for record in self.0.listing(None) {
            by_name.entry(record.name.clone()).or_default().push(record);
        }
        Ok(by_name
            .into_values()
            .flat_map(ServiceRecord::merge_versions)
            .collect())
    }

    async fn watch(&self, service: Option<&str>) -> Result<Watcher> {
        let receiver = self.0.changes.subscribe();
        let mut known = KnownNodes::new();
        known.replace(self.0.listing(service));
        let watch = Watch {
            shared: self.0.clone(),
            receiver,
            known,
            service: service.map(str::to_owned),
            pending: VecDeque::new(),
        };
        Ok(Watcher::new(stream::unfold(watch, |mut watch| async {
            let change = watch.next().await?;
            Some((Ok(change), watch))
        })))
    }
}

struct Watch {
    shared: Arc<Shared>,
    receiver: Receiver<Change>,
    known: KnownNodes,
    service: Option<String>,
    pending: VecDeque<Change>,
}

impl Watch {
    async fn next(&mut self) -> Option<Change> {
        loop {
            if let Some(change) = self.pending.pop_front() {
                return Some(change);
            }
            let received = tokio::select! {
                received = self.receiver.recv() => received,
                () = lapse(self.shared.next_lapse()) => {
                    drop(self.shared.current());
                    continue;
                }
            };
            match received {
                Ok(change) if self.concerns(&change) => self.pending.extend(self.known.apply(change)),
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => {
                    // Subscribed anew before listing, so that nothing falls between the two.
                    self.receiver = self.shared.changes.subscribe();
                    let listing = self.shared.listing(self.service.as_deref());
                    self.pending.extend(self.known.replace(listing));
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }

    fn concerns(&self, change: &Change) -> bool {
        self.service
            .as_ref()
            .is_none_or(|service| *service == change.service.name)
    }
}

async fn lapse(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
