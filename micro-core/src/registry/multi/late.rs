//! A registry that is connected to when it is there.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{BoxFuture, join_all};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::{MultiRegistry, together};
use crate::registry::{RegisterOptions, Registry, ServiceRecord, Watcher};
use crate::{Error, ErrorKind, Result};

/// How long connecting may take before a registry counts as away.
const CONNECT: Duration = Duration::from_secs(10);

type Connect = Box<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn Registry>>> + Send + Sync>;

/// A registry that is connected to when it is first needed, and again with each request as long as that fails.
pub struct LateRegistry {
    name: String,
    connect: Connect,
    connected: OnceCell<Arc<dyn Registry>>,
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
            connected: OnceCell::new(),
        }
    }

    /// Connects, unless that was done. May be cancelled; the next one begins anew then.
    ///
    /// # Errors
    ///
    /// What connecting failed with.
    pub async fn connect(&self) -> Result<&Arc<dyn Registry>> {
        self.connected.get_or_try_init(|| (self.connect)()).await
    }
}

impl fmt::Debug for LateRegistry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LateRegistry")
            .field("name", &self.name)
            .field("is_connected", &self.connected.initialized())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Registry for LateRegistry {
    fn name(&self) -> &str {
        &self.name
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
    let connected = connected.unwrap_or_else(|_| {
        let detail = format!("no answer within {CONNECT:?}; is it running, and can it be reached?");
        Err(Error::timeout("go.micro.registry", detail))
    });
    connected
        .map(drop)
        .map_err(|error| error.context(format_args!("cannot connect to the registry {}", registry.name)))
}

fn is_lasting(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BadRequest | ErrorKind::Unauthorized | ErrorKind::Forbidden | ErrorKind::NotFound
    )
}
