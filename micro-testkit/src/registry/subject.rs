//! The registry that a case tests, and what cases ask of it.

use std::fmt::Display;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use micro_core::registry::{Node, RegisterOptions, ServiceRecord, Watcher};
use micro_core::{ErrorKind, Registry, Result};
use tokio::time::{Instant, sleep};

use super::RegistryTraits;
use super::watching::Watching;
use crate::suite::{Boxed, Ending, Failure, Outcome, Subject, soon};

/// How long a record lives that no case waits for to lapse. Whatever a case leaves behind is gone after this.
pub(super) const LONG: Duration = Duration::from_secs(120);
/// How long to wait before asking a registry again.
pub(super) const PAUSE: Duration = Duration::from_millis(20);

/// What makes registries for the cases.
pub(super) type Make = Arc<dyn Fn() -> Boxed<std::result::Result<Arc<dyn Registry>, Failure>> + Send + Sync>;

pub(super) fn maker<F, Fut, R, E>(factory: F) -> Make
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = std::result::Result<R, E>> + Send + 'static,
    R: Registry,
    E: Display,
{
    Arc::new(move || {
        let made = factory();
        Box::pin(async move {
            match made.await {
                Ok(registry) => Ok(Arc::new(registry) as Arc<dyn Registry>),
                Err(error) => Err(Failure::new(format!("the factory made no registry: {error}"))),
            }
        })
    })
}

/// The registry that a case tests. Its services have names of their own, so that cases may share a server.
#[derive(Clone)]
pub struct RegistrySubject(Arc<Inner>);

struct Inner {
    registry: Arc<dyn Registry>,
    make: Make,
    traits: Arc<RegistryTraits>,
    run: String,
    registered: Mutex<Vec<ServiceRecord>>,
}

impl RegistrySubject {
    pub(super) async fn new(make: Make, traits: Arc<RegistryTraits>) -> std::result::Result<Self, Failure> {
        let registry = make().await?;
        Ok(Self(Arc::new(Inner {
            registry,
            make,
            traits,
            run: format!("tk{:08x}", fastrand::u32(..)),
            registered: Mutex::default(),
        })))
    }

    pub(super) fn traits(&self) -> &RegistryTraits {
        &self.0.traits
    }

    pub(super) fn registry(&self) -> &Arc<dyn Registry> {
        &self.0.registry
    }

    /// Another instance, as another process would have it.
    pub(super) async fn another(&self) -> std::result::Result<Arc<dyn Registry>, Failure> {
        (self.0.make)().await
    }

    /// A name that no other run and case uses.
    pub(super) fn name(&self, tail: &str) -> String {
        format!("{}-{tail}", self.0.run)
    }

    /// What the names of this run begin with.
    pub(super) fn prefix(&self) -> &str {
        &self.0.run
    }

    /// A record of version 1 with nodes of these ids.
    pub(super) fn record(&self, name: &str, ids: &[&str]) -> ServiceRecord {
        let nodes = ids.iter().map(|id| self.node(id)).collect();
        ServiceRecord::new(self.name(name), "1").with_nodes(nodes)
    }

    pub(super) fn node(&self, id: &str) -> Node {
        Node::new(self.name(id), "127.0.0.1:9000")
    }

    pub(super) async fn register(&self, record: &ServiceRecord) -> Result<()> {
        self.register_for(record, Some(LONG)).await
    }

    pub(super) async fn register_for(&self, record: &ServiceRecord, ttl: Option<Duration>) -> Result<()> {
        self.note(record);
        self.0.registry.register(record, RegisterOptions { ttl }).await
    }

    fn note(&self, record: &ServiceRecord) {
        let mut registered = self.0.registered.lock().unwrap_or_else(PoisonError::into_inner);
        registered.push(record.clone());
    }

    pub(super) async fn deregister(&self, record: &ServiceRecord) -> Result<()> {
        self.0.registry.deregister(record).await
    }

    pub(super) async fn watch(&self, service: Option<&str>) -> std::result::Result<Watching, Ending> {
        let watcher: Watcher =
            soon(self.traits().seen_within, "watch", self.0.registry.watch(service)).await??;
        Ok(Watching::new(watcher, self.traits().seen_within, self.prefix()))
    }

    /// Looks up until the records of a service are as wanted, and returns them.
    #[track_caller]
    pub(super) fn until<'a>(
        &'a self,
        name: &'a str,
        what: &'a str,
        wanted: impl Fn(&[ServiceRecord]) -> bool + Send + 'a,
    ) -> impl Future<Output = std::result::Result<Vec<ServiceRecord>, Ending>> + 'a {
        let late = Failure::new(format!("look-ups of {name} never showed {what}"));
        self.look_up_until(self.registry(), name, late, wanted, self.traits().seen_within)
    }

    /// The same, through another instance and with another patience.
    pub(super) async fn look_up_until(
        &self,
        registry: &Arc<dyn Registry>,
        name: &str,
        late: Failure,
        wanted: impl Fn(&[ServiceRecord]) -> bool,
        within: Duration,
    ) -> std::result::Result<Vec<ServiceRecord>, Ending> {
        let until = Instant::now() + within;
        loop {
            let found = found(registry, name).await?;
            if wanted(&found) {
                return Ok(found);
            }
            if Instant::now() >= until {
                return Err(late.but(&format!("the last one showed {}", shown(&found))).into());
            }
            sleep(PAUSE).await;
        }
    }

    /// Waits until the ids of a service's nodes, of all versions, are these.
    #[track_caller]
    pub(super) fn until_nodes<'a>(
        &'a self,
        name: &'a str,
        ids: &'a [&'a str],
    ) -> impl Future<Output = Outcome> + 'a {
        let mut wanted: Vec<String> = ids.iter().map(|id| self.name(id)).collect();
        wanted.sort();
        let late = Failure::new(format!("look-ups of {name} never showed just the nodes {ids:?}"));
        async move {
            let is_wanted = |found: &[ServiceRecord]| ids_of(found) == wanted;
            self.look_up_until(self.registry(), name, late, is_wanted, self.traits().seen_within)
                .await?;
            Ok(())
        }
    }

    /// What this registry can carry of a record, in an order that does not depend on the registry.
    pub(super) fn carried(&self, record: &ServiceRecord) -> ServiceRecord {
        let mut record = record.clone();
        if !self.traits().carries_service_metadata {
            record.metadata.clear();
        }
        if !self.traits().carries_endpoints {
            record.endpoints.clear();
        }
        record.nodes.sort_by(|one, two| one.id.cmp(&two.id));
        record.endpoints.sort_by(|one, two| one.name.cmp(&two.name));
        record
    }
}

impl Subject for RegistrySubject {
    fn clean(self) -> Boxed<()> {
        Box::pin(async move {
            let registered =
                std::mem::take(&mut *self.0.registered.lock().unwrap_or_else(PoisonError::into_inner));
            let done = registered.iter().map(|record| self.0.registry.deregister(record));
            // What cannot be taken back lapses.
            let _ =
                tokio::time::timeout(self.traits().seen_within, futures_util::future::join_all(done)).await;
        })
    }
}

/// What a look-up finds; a service that is not found has no records, and one that is has some, with nodes.
pub(super) async fn found(
    registry: &Arc<dyn Registry>,
    name: &str,
) -> std::result::Result<Vec<ServiceRecord>, Ending> {
    match registry.get_service(name).await {
        Ok(records) if records.is_empty() => Err(Ending::failed(format!(
            "get_service({name:?}) gave an empty list where it must say NotFound"
        ))),
        Ok(records) => match records.iter().find(|record| record.nodes.is_empty()) {
            Some(record) => Err(Ending::failed(format!(
                "get_service({name:?}) gave version {:?} without nodes",
                record.version
            ))),
            None => Ok(records),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// The ids of all nodes of all versions, sorted, duplicates included.
pub(super) fn ids_of(records: &[ServiceRecord]) -> Vec<String> {
    let nodes = records.iter().flat_map(|record| &record.nodes);
    let mut ids: Vec<String> = nodes.map(|node| node.id.clone()).collect();
    ids.sort();
    ids
}

fn shown(records: &[ServiceRecord]) -> String {
    let mut text = format!("{records:?}");
    if let Some((at, _)) = text.char_indices().nth(600) {
        text.truncate(at);
        text.push('…');
    }
    text
}
