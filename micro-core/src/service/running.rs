//! A service while it serves, and how it stops.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Extensions;
use tokio::time::Instant;

use super::builder::{Hooks, run_hooks};
use super::registration::Registration;
use super::subscriptions::Subscriptions;
use super::{Service, ServiceOptions};
use crate::debug::{Diagnostics, Readiness};
use crate::registry::ServiceRecord;
use crate::transport::Listener;
use crate::{Broker, Client, Registry, Result, Transport};

/// How long at least what was published may take to go out when a service stops.
const LEAST_FLUSH: Duration = Duration::from_millis(100);

/// A service that serves. Dropping it cuts everything off at once; [`stop`](Self::stop) ends it well.
pub struct RunningService {
    options: ServiceOptions,
    record: ServiceRecord,
    // Declared before the listener, so that dropping ends the registering before the serving.
    registration: Registration,
    subscriptions: Subscriptions,
    listener: Box<dyn Listener>,
    client: Client,
    registry: Arc<dyn Registry>,
    transport: Arc<dyn Transport>,
    broker: Arc<dyn Broker>,
    diagnostics: Diagnostics,
    hooks: Hooks,
}

impl RunningService {
    pub(super) async fn start(mut service: Service) -> Result<Self> {
        run_hooks(std::mem::take(&mut service.hooks.before_start)).await?;
        let handler = service.server.handler().clone();
        let listener = service
            .transport
            .listen(&service.options.address, handler)
            .await?;
        tracing::info!(service = %service.options.name, transport = service.transport.name(),
            "listening on {}", listener.address());
        let record = service.record(listener.address())?;
        let subscriptions = Subscriptions::start(&service.broker, service.server.subscribers()).await?;
        for node in &record.nodes {
            tracing::info!(service = %record.name, registry = service.registry.name(), address = %node.address,
                "registering node {}", node.id);
        }
        let registry = service.registry.clone();
        let registration =
            match Registration::start(registry, record.clone(), service.options.registration).await {
                Ok(registration) => registration,
                Err(error) => {
                    // Waited for, so that no subscription of a service that never was stays registered.
                    subscriptions.drain();
                    subscriptions
                        .finish(service.options.notice.saturating_add(LEAST_FLUSH))
                        .await;
                    return Err(error);
                }
            };
        service.diagnostics.advance(Readiness::Serving);
        let after_start = std::mem::take(&mut service.hooks.after_start);
        let running = Self {
            options: service.options,
            record,
            registration,
            subscriptions,
            listener,
            client: service.client,
            registry: service.registry,
            transport: service.transport,
            broker: service.broker,
            diagnostics: service.diagnostics,
            hooks: service.hooks,
        };
        match run_hooks(after_start).await {
            Ok(()) => Ok(running),
            Err(error) => {
                if let Err(also) = running.stop().await {
                    tracing::warn!(error = %also, "a hook failed while stopping after a failed start");
                }
                Err(error)
            }
        }
    }

    /// Where the service listens.
    pub fn address(&self) -> &str {
        self.listener.address()
    }

    /// What the registry was told.
    pub fn record(&self) -> &ServiceRecord {
        &self.record
    }

    /// The service's client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What [`ServiceBuilder::extension`](crate::ServiceBuilder::extension) was given.
    pub fn extensions(&self) -> &Extensions {
        self.client.extensions()
    }

    /// Where the service is registered.
    pub fn registry(&self) -> &Arc<dyn Registry> {
        &self.registry
    }

    /// What the service is reached over.
    pub fn transport(&self) -> &Arc<dyn Transport> {
        &self.transport
    }

    /// What the service publishes to and is subscribed to.
    pub fn broker(&self) -> &Arc<dyn Broker> {
        &self.broker
    }

    /// What the service knows about itself.
    pub fn diagnostics(&self) -> &Diagnostics {
        &self.diagnostics
    }

    /// Whether the service serves, as `Debug.Health` and `/health` say: it does from its registration to its stop.
    pub fn readiness(&self) -> Readiness {
        self.diagnostics.readiness()
    }

    /// Stops well: leaves the registry and its topics, serves on until callers can have noticed, accepts no more,
    /// lets running calls and events end, sees off what was published, and closes.
    ///
    /// Takes [`notice`](ServiceOptions::notice) and at most [`grace`](ServiceOptions::grace) more; and up to 5 s before,
    /// where the registry does not answer. Dropping the future cuts off what still runs.
    ///
    /// # Errors
    ///
    /// The first error of a hook; the service has stopped all the same.
    pub async fn stop(self) -> Result<()> {
        self.diagnostics.advance(Readiness::Draining);
        let before = run_hooks(self.hooks.before_stop).await;
        let ServiceOptions { notice, grace, .. } = self.options;
        self.subscriptions.drain();
        self.registration.stop().await;
        let (since, all) = (Instant::now(), notice.saturating_add(grace));
        let calls = async {
            tokio::time::sleep(notice).await;
            self.diagnostics.close();
            self.listener.close(grace).await;
        };
        tokio::join!(calls, self.subscriptions.finish(all));
        flush(
            &*self.broker,
            all.saturating_sub(since.elapsed()).max(LEAST_FLUSH),
        )
        .await;
        tracing::info!(service = %self.options.name, "stopped");
        let after = run_hooks(self.hooks.after_stop).await;
        before.and(after)
    }
}

/// Lets out what handlers published last.
async fn flush(broker: &dyn Broker, grace: Duration) {
    match tokio::time::timeout(grace, broker.flush()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(broker = broker.name(), %error, "not all that was published went out")
        }
        Err(_) => tracing::warn!(
            broker = broker.name(),
            ?grace,
            "what was published did not go out within the grace of a stopping service"
        ),
    }
}

impl fmt::Debug for RunningService {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RunningService")
            .field("options", &self.options)
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}
