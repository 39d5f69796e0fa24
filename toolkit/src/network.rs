//! The network as a verb meets it: a registry and a client, connected when they are first needed.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use micro::broker::Broker;
use micro::registry::ServiceRecord;
use micro::{Client, ErrorKind, Registry, Settings, Transport};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::advice;
use crate::failure::{Code, Failure, Outcome};

/// How many services are looked up at once.
const AT_ONCE: usize = 16;

/// The registry and the client that the settings name.
pub(crate) struct Network {
    settings: Settings,
    registry: OnceCell<Arc<dyn Registry>>,
    client: OnceCell<Client>,
    broker: OnceCell<Arc<dyn Broker>>,
}

impl Network {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            registry: OnceCell::new(),
            client: OnceCell::new(),
            broker: OnceCell::new(),
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How long a call, or a question to the registry, may take.
    pub(crate) fn patience(&self) -> Duration {
        self.settings.client.request_timeout
    }

    /// The registry, connected.
    pub(crate) async fn registry(&self) -> Outcome<&Arc<dyn Registry>> {
        let connect = || async {
            let connected = self.limited(self.settings.connect_registry()).await?;
            connected.map_err(|error| Failure::connecting(&error).try_this(self.registry_advice()))
        };
        self.registry.get_or_try_init(connect).await
    }

    /// The client over that registry.
    pub(crate) async fn client(&self) -> Outcome<&Client> {
        let connect = || async {
            let registry = self.registry().await?.clone();
            let builder = Client::builder(registry, self.transport().await?)
                .strategy(self.settings.strategy.clone())
                .options(self.settings.client);
            Ok(builder.build())
        };
        self.client.get_or_try_init(connect).await
    }

    /// A transport of its own.
    pub(crate) async fn transport(&self) -> Outcome<Arc<dyn Transport>> {
        let transport = self.settings.connect_transport().await;
        transport.map_err(|error| Failure::connecting(&error))
    }

    /// The broker that events go through.
    pub(crate) async fn broker(&self) -> Outcome<&Arc<dyn Broker>> {
        let connect = || async {
            let registry = self.registry().await?.clone();
            let connected = self.limited(self.settings.connect_broker(registry)).await?;
            connected.map_err(|error| {
                Failure::connecting(&error)
                    .try_this("--broker and --broker_address say how events travel; `micro doctor` tests it")
            })
        };
        self.broker.get_or_try_init(connect).await
    }

    /// All services, sorted by name and version; perhaps without nodes and endpoints.
    pub(crate) async fn services(&self) -> Outcome<Vec<ServiceRecord>> {
        let listed = self.limited(self.registry().await?.list_services()).await?;
        listed.map_err(|error| Failure::of(&error).try_this(self.registry_advice()))
    }

    /// The versions of one service, with nodes and endpoints.
    pub(crate) async fn service(&self, name: &str) -> Outcome<Vec<ServiceRecord>> {
        match self.limited(self.registry().await?.get_service(name)).await? {
            Ok(records) => Ok(records),
            Err(error) => {
                let failure = Failure::of(&error);
                Err(match error.kind() {
                    ErrorKind::NotFound => advice::unknown_service(failure, self, name).await,
                    _ => failure.try_this(self.registry_advice()),
                })
            }
        }
    }

    /// One service or all of them, with nodes and endpoints. A service that has gone meanwhile is left out.
    pub(crate) async fn records(&self, name: Option<&str>) -> Outcome<Vec<ServiceRecord>> {
        if let Some(name) = name {
            return self.service(name).await;
        }
        let names: BTreeSet<String> = self
            .services()
            .await?
            .into_iter()
            .map(|record| record.name)
            .collect();
        let registry = self.registry().await?;
        let lookups = names.iter().map(|name| self.limited(registry.get_service(name)));
        let found: Vec<_> = stream::iter(lookups).buffered(AT_ONCE).collect().await;
        let mut records = Vec::new();
        for service in found {
            match service? {
                Ok(versions) => records.extend(versions),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(Failure::of(&error).try_this(self.registry_advice())),
            }
        }
        Ok(records)
    }

    /// Waits for the registry no longer than for a call.
    pub(crate) async fn limited<T>(&self, question: impl Future<Output = T>) -> Outcome<T> {
        let patience = self.patience();
        timeout(patience, question).await.map_err(|_| {
            let name = &self.settings.registry.name;
            let what = format!("the registry {name} did not answer within {patience:?}");
            Failure::new(Code::Unreachable, what).try_this(self.registry_advice())
        })
    }

    fn registry_advice(&self) -> String {
        let registry = &self.settings.registry;
        if registry.addresses.is_empty() {
            return format!(
                "--registry and --registry_address say where services are found (now {}); `micro doctor` tests it",
                registry.name
            );
        }
        format!(
            "check --registry_address (now {} at {}); `micro doctor` tests it",
            registry.name,
            registry.addresses.join(",")
        )
    }
}
