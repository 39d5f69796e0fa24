//! Who is where: the registry's contract and its records.

mod cache;
mod follow;
mod known;
mod memory;
mod multi;
mod record;

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures_core::Stream;

use crate::{Error, Result};

pub use self::cache::{CachedService, RegistryCache, RegistryCacheOptions, Snapshot};
pub use self::follow::{News, WatchSource};
pub use self::known::KnownNodes;
pub use self::memory::MemoryRegistry;
pub use self::multi::{LateRegistry, MultiRegistry, MultiRegistryOptions};
pub use self::record::{Endpoint, Node, ServiceRecord, Value};

/// Who is where. A registry translates records; keeping a service registered, caching and choosing live in core.
///
/// # Contract
///
/// - A name is arbitrary UTF-8. What a backend cannot store is refused with an error that names it.
/// - Versions of a service stay apart; nodes of one version are merged under one record.
/// - All methods may be cancelled by dropping their future; the registry then holds either the old or the new state.
#[async_trait]
pub trait Registry: Send + Sync + 'static {
    /// The name by which flags choose this registry, such as `mdns`.
    fn name(&self) -> &str;

    /// Whether what is registered here can be found by others. Default `true`; `false` for a registry that only reads,
    /// whose [`register`](Self::register) does nothing or fails with
    /// [`ErrorKind::MethodNotAllowed`](crate::ErrorKind::MethodNotAllowed).
    fn takes_registrations(&self) -> bool {
        true
    }

    /// Makes the record's nodes known. Registering a node again replaces its record and refreshes its time to live.
    ///
    /// # Errors
    ///
    /// When the registry cannot be reached or refuses the record.
    async fn register(&self, service: &ServiceRecord, options: RegisterOptions) -> Result<()>;

    /// Takes the record's nodes out. To take out what is not there succeeds.
    ///
    /// # Errors
    ///
    /// When the registry cannot be reached.
    async fn deregister(&self, service: &ServiceRecord) -> Result<()>;

    /// The service of that name: one record a version, each with at least one node.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when no node is known (never an empty list); another
    /// error when the registry cannot be reached.
    async fn get_service(&self, name: &str) -> Result<Vec<ServiceRecord>>;

    /// All services: one record a name and version, sorted. Nodes and endpoints may be left out.
    ///
    /// # Errors
    ///
    /// When the registry cannot be reached.
    async fn list_services(&self) -> Result<Vec<ServiceRecord>>;

    /// What changes from now on, in the service of that name or, with `None`, in all.
    ///
    /// The watch has begun when this returns. Dropping the watcher ends it and frees what it holds.
    ///
    /// # Errors
    ///
    /// When the registry cannot be reached at all.
    async fn watch(&self, service: Option<&str>) -> Result<Watcher>;
}

/// How to register.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RegisterOptions {
    /// How long the record lives without being registered again. `None`: as long as the registry stands.
    pub ttl: Option<Duration>,
}

/// What happened to the nodes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// The nodes are new.
    Create,
    /// The nodes were known; their record is another now.
    Update,
    /// The nodes are gone: deregistered, lapsed, or their process died.
    Delete,
}

impl Action {
    /// Go Micro's word for it: `create`, `update` or `delete`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// One thing that a watcher saw: the action, and a record with the nodes it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What happened.
    pub action: Action,
    /// The service, with just the nodes that it happened to.
    pub service: ServiceRecord,
}

/// A stream of changes.
///
/// It never misses that a node came or went: after a lost connection it resumes or lists again and reports the
/// difference. An `Err` item tells of such trouble and does not end the stream; the stream ends only after an
/// error that says it will not go on. Dropping it ends the watch.
pub struct Watcher(Pin<Box<dyn Stream<Item = Result<Change>> + Send>>);

impl Watcher {
    /// Wraps a stream that keeps the contract above.
    pub fn new(changes: impl Stream<Item = Result<Change>> + Send + 'static) -> Self {
        Self(Box::pin(changes))
    }

    /// Waits for the next change. May be cancelled; nothing is lost then.
    ///
    /// # Errors
    ///
    /// When the registry has trouble. Asking again is right unless it is the `watcher stopped` of a registry that
    /// was closed.
    pub async fn next(&mut self) -> Result<Change> {
        match std::future::poll_fn(|context| self.0.as_mut().poll_next(context)).await {
            Some(change) => change,
            None => Err(Error::unavailable(
                "go.micro.registry",
                "watcher stopped: the registry was closed",
            )),
        }
    }
}

impl Stream for Watcher {
    type Item = Result<Change>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Watcher")
    }
}

/// The error that every registry gives for a name without nodes.
pub fn service_not_found(name: &str) -> Error {
    Error::not_found(
        "go.micro.registry",
        format!("service {name}: not found; is it running and registered in this registry?"),
    )
}
