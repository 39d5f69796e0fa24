//! A registry that is connected to when it is there.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{BoxFuture, join_all};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{MultiRegistry, together};
use crate::registry::{RegisterOptions, Registry, ServiceRecord, Watcher};
use crate::{Error, ErrorKind, Result};

/// How long connecting may take before a registry counts as away.
const CONNECT: Duration = Duration::from_secs(10);

/// After what time an attempt to connect is given up, so that the next request may begin another one.
const ATTEMPT: Duration = Duration::from_secs(30);

type Connect = Box<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn Registry>>> + Send + Sync>;

/// How connecting came out, for all who wait for it. None: it is not known yet.
type Outcome = watch::Receiver<Option<std::result::Result<Arc<dyn Registry>, Arc<Error>>>>;

/// A registry that is connected to when it is first needed, and again with each request as long as that fails.
///
/// Connecting goes on when the request that began it is given up; all requests meanwhile wait for the same attempt. It
/// ends when the registry is dropped.
pub struct LateRegistry {
    name: String,
    connect: Connect,
    connected: OnceLock<Arc<dyn Registry>>,
    attempt: Mutex<Option<Attempt>>,
}

/// Connecting, in a task: a request that is cancelled, or a watcher that nobody reads, must hold nobody up.
struct Attempt {
    outcome: Outcome,
    _task: JoinSet<()>,
}

impl Attempt {
    fn begin(connecting: BoxFuture<'static, Result<Arc<dyn Registry>>>) -> Self {
        let (sender, outcome) = watch::channel(None);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let connected = timeout(ATTEMPT, connecting).await;
            let connected = connected.unwrap_or_else(|_| Err(too_slow(ATTEMPT)));
            sender.send_replace(Some(connected.map_err(Arc::new)));
        });
        Self { outcome, _task: task }
    }

    fn has_failed(&self) -> bool {
        let has_ended = self.outcome.has_changed().is_err();
        match &*self.outcome.borrow() {
            Some(outcome) => outcome.is_err(),
            None => has_ended,
        }
    }
}

impl LateRegistry {
    /// A registry of this name, and how to connect to it. Does nothing yet.
    pub fn new<F, Fut>(name: impl Into<String>, connect: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Arc<dyn Registry>>> + Send + 'static,
    {
        Self {
            name: name.into(),
            connect: Box::new(move || Box::pin(connect())),
            connected: OnceLock::new(),
            attempt: Mutex::default(),
        }
    }

    /// Connects, unless that was done. May be cancelled; connecting goes on then, for whoever asks next.
    ///
    /// # Errors
    ///
    /// What connecting failed with, or that it took 30 s. The next call begins anew.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn connect(&self) -> Result<&Arc<dyn Registry>> {
        if let Some(connected) = self.connected.get() {
            return Ok(connected);
        }
        let mut outcome = self.attempt();
        let known = outcome.wait_for(Option::is_some).await;
        match known.ok().and_then(|known| known.clone()) {
            Some(Ok(registry)) => Ok(self.connected.get_or_init(|| registry)),
            Some(Err(error)) => Err(Error::new(error.id(), error.code(), error.detail().to_owned())),
            None => Err(Error::unavailable(
                "go.micro.registry",
                format!(
                    "connecting to the registry {} was interrupted; try again",
                    self.name
                ),
            )),
        }
    }

    /// The outcome of the attempt that is under way, or else of a new one.
    fn attempt(&self) -> Outcome {
        let mut attempt = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
        if attempt.as_ref().is_some_and(Attempt::has_failed) {
            *attempt = None;
        }
        let attempt = attempt.get_or_insert_with(|| Attempt::begin((self.connect)()));
        attempt.outcome.clone()
    }
}

impl fmt::Debug for LateRegistry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LateRegistry")
            .field("name", &self.name)
            .field("is_connected", &self.connected.get().is_some())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Registry for LateRegistry {
    fn name(&self) -> &str {
        &self.name
    }

    /// Before it is connected to, `true`.
    fn takes_registrations(&self) -> bool {
        let connected = self.connected.get();
        connected.is_none_or(|connected| connected.takes_registrations())
    }

    async fn register(&self, service: &ServiceRecord, options: RegisterOptions) -> Result<()> {
        self.connect().await?.register(service, options).await
    }

    async fn deregister(&self, service: &ServiceRecord) -> Result<()> {
        self.connect().await?.deregister(service).await
    }

    async fn get_service(&self, name: &str) -> Result<Vec<ServiceRecord>> {
        self.connect().await?.get_service(name).await
    }

    async fn list_services(&self) -> Result<Vec<ServiceRecord>> {
        self.connect().await?.list_services().await
    }

    async fn watch(&self, service: Option<&str>) -> Result<Watcher> {
        self.connect().await?.watch(service).await
    }
}

impl MultiRegistry {
    /// Connects to all at the same time, within 10 s. Those that are away are connected to later: one that is there is
    /// enough to begin.
    ///
    /// # Errors
    ///
    /// When there is none, when all are away, or when one refuses for a reason that waiting does not mend: what it was
    /// given makes no sense, or is not allowed. The message names the registry.
    pub async fn connect(registries: impl IntoIterator<Item = LateRegistry>) -> Result<Self> {
        let registries: Vec<LateRegistry> = registries.into_iter().collect();
        let connected = join_all(registries.iter().map(connect)).await;
        let mut away = Vec::new();
        for error in connected.into_iter().filter_map(Result::err) {
            if is_lasting(&error) {
                return Err(error);
            }
            away.push(error);
        }
        if !away.is_empty() && away.len() == registries.len() {
            return Err(together(away));
        }
        for error in away {
            tracing::warn!(%error, "beginning without one of several registries; trying on");
        }
        Self::new(registries.into_iter().map(|registry| Arc::new(registry) as _))
    }
}

async fn connect(registry: &LateRegistry) -> Result<()> {
    let connected = timeout(CONNECT, registry.connect()).await;
    let connected = connected.unwrap_or_else(|_| Err(too_slow(CONNECT)));
    connected
        .map(drop)
        .map_err(|error| error.context(format_args!("cannot connect to the registry {}", registry.name)))
}

fn too_slow(limit: Duration) -> Error {
    let detail = format!("no answer within {limit:?}; is it running, and can it be reached?");
    Error::timeout("go.micro.registry", detail)
}

fn is_lasting(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BadRequest | ErrorKind::Unauthorized | ErrorKind::Forbidden | ErrorKind::NotFound
    )
}
