//! Wires the rooms together; starts, stays registered, and stops well.

mod address;
mod builder;
mod handling;
mod registration;
mod running;
mod signals;
mod subscriptions;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Extensions;

use crate::debug::Diagnostics;
use crate::registry::{Node, ServiceRecord};
use crate::server::Server;
use crate::{Broker, Client, Registry, Result, Transport};

use self::builder::Hooks;

pub(crate) use self::address::advertised;
pub(crate) use self::registration::Registration;

pub use self::builder::ServiceBuilder;
pub use self::running::RunningService;

/// A service that is ready to start: connected to its registry, its endpoints in place.
///
/// Its [client](Self::client) can be used before, and without, starting it.
pub struct Service {
    options: ServiceOptions,
    registry: Arc<dyn Registry>,
    transport: Arc<dyn Transport>,
    broker: Arc<dyn Broker>,
    server: Server,
    client: Client,
    diagnostics: Diagnostics,
    hooks: Hooks,
}

/// Who a service is and how it lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceOptions {
    /// The name that callers use.
    pub name: String,
    /// Default: `latest`, as in Go Micro.
    pub version: String,
    /// Tells this process's node from others. Default: a random UUID.
    pub id: String,
    /// Where to listen. Default: `:0`, a free port on all interfaces.
    pub address: String,
    /// What to register instead of the listening address: `host` or `host:port`. Default: the address; where it
    /// means all interfaces, this machine's own.
    pub advertise: Option<String>,
    /// Labels of the node, for selection.
    pub metadata: Vec<(String, String)>,
    /// How the service is registered.
    pub registration: RegistrationOptions,
    /// How long the service goes on after it is taken out of the registry, so that callers can notice. Default:
    /// 500 ms.
    pub notice: Duration,
    /// How long running calls may take to end after that; then they are cut off. Default: 10 s.
    pub grace: Duration,
}

/// How a service is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistrationOptions {
    /// How long the record lives when it is not refreshed, because the process died. Longer than the interval.
    /// Default: 60 s.
    pub ttl: Duration,
    /// How often it is refreshed. More than zero. Default: 30 s.
    pub interval: Duration,
    /// Whether to start while the registry is away, and register when it is back. Default: no, starting fails.
    pub start_without_registry: bool,
}

impl Default for RegistrationOptions {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(60),
            interval: Duration::from_secs(30),
            start_without_registry: false,
        }
    }
}

impl ServiceOptions {
    /// The defaults for a service of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: "latest".into(),
            id: uuid::Uuid::new_v4().to_string(),
            address: ":0".into(),
            advertise: None,
            metadata: Vec::new(),
            registration: RegistrationOptions::default(),
            notice: Duration::from_millis(500),
            grace: Duration::from_secs(10),
        }
    }
}

impl Service {
    /// Begins to put a service together, with an in-memory registry and the HTTP transport.
    ///
    /// Nothing is read from arguments or the environment; the crate `micro` does that.
    pub fn builder(name: impl Into<String>) -> ServiceBuilder {
        ServiceBuilder::new(name)
    }

    /// The service's client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Who the service is and how it lives.
    pub fn options(&self) -> &ServiceOptions {
        &self.options
    }

    /// What [`ServiceBuilder::extension`] was given.
    pub fn extensions(&self) -> &Extensions {
        self.client.extensions()
    }

    /// What the service knows about itself.
    pub fn diagnostics(&self) -> &Diagnostics {
        &self.diagnostics
    }

    /// Listens, subscribes, registers, and serves until it is stopped.
    ///
    /// Dropping the future before it is done leaves nothing behind but perhaps a record, which lapses.
    ///
    /// # Errors
    ///
    /// When a hook fails, the address cannot be listened at, a topic cannot be subscribed to, or the registry is away and
    /// [`start_without_registry`](RegistrationOptions::start_without_registry) is not set.
    pub async fn start(self) -> Result<RunningService> {
        RunningService::start(self).await
    }

    /// Starts, serves until SIGINT, SIGTERM or SIGQUIT, and stops well. A second signal cuts off what still runs.
    ///
    /// A signal that comes before the service has started ends the start; hooks for its end do not run then.
    ///
    /// # Errors
    ///
    /// Those of [`start`](Self::start), and of the hooks at the end.
    pub async fn run(self) -> Result<()> {
        let mut signals = signals::Signals::new()?;
        let running = tokio::select! {
            started = self.start() => started?,
            () = signals.next() => return Ok(()),
        };
        signals.next().await;
        tokio::select! {
            stopped = running.stop() => stopped,
            () = signals.next() => {
                tracing::warn!("a second signal: cutting off what still runs");
                Ok(())
            }
        }
    }

    /// What the registry is told when the service listens at an address.
    fn record(&self, address: &str) -> Result<ServiceRecord> {
        let ServiceOptions {
            name,
            version,
            id,
            advertise,
            metadata,
            ..
        } = &self.options;
        let mut node = Node::new(
            format!("{name}-{id}"),
            address::advertised(address, advertise.as_deref())?,
        );
        node.metadata = metadata.iter().cloned().collect();
        let facts = [
            ("protocol", self.transport.protocol()),
            ("server", self.transport.protocol()),
            ("transport", self.transport.name()),
            ("broker", self.broker.name()),
            ("registry", self.registry.name()),
        ];
        node.metadata
            .extend(facts.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let mut record = ServiceRecord::new(name, version).with_nodes(vec![node]);
        record.endpoints = self.server.endpoints().to_vec();
        Ok(record)
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Service")
            .field("options", &self.options)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}
