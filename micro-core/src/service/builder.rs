//! Puts a service together. Every choice has a default; they are filled in here.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::Extensions;

use super::{RegistrationOptions, Service, ServiceOptions};
use crate::broker::HttpBroker;
use crate::client::{ClientOptions, LiveOptions};
use crate::codec::Codec;
use crate::debug::{Check, Diagnostics};
use crate::error::SERVER;
use crate::handler::IntoEndpoints;
use crate::registry::MemoryRegistry;
use crate::selector::{Random, Selector, Strategy};
use crate::server::{ServerBuilder, Subscriber};
use crate::transport::HttpTransport;
use crate::transport::http::HttpConfig;
use crate::{Broker, Client, Error, Registry, Result, Transport, Wrapper};

type Hook = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = Result<()>> + Send>> + Send + Sync>;

/// What runs at the turns of a service's life, in the order in which it was given.
#[derive(Default)]
pub(super) struct Hooks {
    pub(super) before_start: Vec<Hook>,
    pub(super) after_start: Vec<Hook>,
    pub(super) before_stop: Vec<Hook>,
    pub(super) after_stop: Vec<Hook>,
}

/// Runs hooks one after the other; the first error ends it.
pub(super) async fn run_hooks(hooks: Vec<Hook>) -> Result<()> {
    for hook in hooks {
        hook().await?;
    }
    Ok(())
}

/// Puts a [`Service`] together.
pub struct ServiceBuilder {
    options: ServiceOptions,
    registry: Option<Arc<dyn Registry>>,
    transport: Option<Arc<dyn Transport>>,
    broker: Option<Arc<dyn Broker>>,
    strategy: Arc<dyn Strategy>,
    selector: Option<Arc<dyn Selector>>,
    client_options: LiveOptions,
    extensions: Extensions,
    call_wrappers: Vec<Arc<dyn Wrapper>>,
    attempt_wrappers: Vec<Arc<dyn Wrapper>>,
    publish_wrappers: Vec<Arc<dyn Wrapper>>,
    codecs: Vec<Arc<dyn Codec>>,
    server: ServerBuilder,
    diagnostics: Diagnostics,
    has_debug: bool,
    checks: Vec<(String, Check)>,
    hooks: Hooks,
}

impl ServiceBuilder {
    pub(super) fn new(name: impl Into<String>) -> Self {
        Self {
            options: ServiceOptions::new(name),
            registry: None,
            transport: None,
            broker: None,
            strategy: Arc::new(Random),
            selector: None,
            client_options: ClientOptions::default().into(),
            extensions: Extensions::new(),
            call_wrappers: Vec::new(),
            attempt_wrappers: Vec::new(),
            publish_wrappers: Vec::new(),
            codecs: Vec::new(),
            server: ServerBuilder::new(),
            diagnostics: Diagnostics::default(),
            has_debug: true,
            checks: Vec::new(),
            hooks: Hooks::default(),
        }
    }

    /// Answers with these endpoints too: a generated server, a function, a handler.
    #[must_use]
    pub fn handler(mut self, endpoints: impl IntoEndpoints + Send + 'static) -> Self {
        self.server = self.server.handler(endpoints);
        self
    }

    /// Handles events of a topic too.
    #[must_use]
    pub fn subscriber(mut self, subscriber: Subscriber) -> Self {
        self.server = self.server.subscriber(subscriber);
        self
    }

    /// Finds and is found here. Default: a [`MemoryRegistry`] of its own.
    #[must_use]
    pub fn registry(mut self, registry: Arc<dyn Registry>) -> Self {
        self.registry = Some(registry);
        self
    }

    /// Is reached, and reaches others, over this. Default: [`HttpTransport`] without encryption.
    #[must_use]
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Publishes and subscribes here. Default: [`HttpBroker`] over the registry.
    #[must_use]
    pub fn broker(mut self, broker: Arc<dyn Broker>) -> Self {
        self.broker = Some(broker);
        self
    }

    /// How the client chooses nodes. Default: [`Random`].
    #[must_use]
    pub fn strategy(mut self, strategy: Arc<dyn Strategy>) -> Self {
        self.strategy = strategy;
        self
    }

    /// What chooses the client's nodes, in place of a strategy over the watched registry.
    #[must_use]
    pub fn selector(mut self, selector: Arc<dyn Selector>) -> Self {
        self.selector = Some(selector);
        self
    }

    /// Time-outs and retries of the client: [`ClientOptions`], or [`LiveOptions`] that change while it calls.
    #[must_use]
    pub fn client_options(mut self, options: impl Into<LiveOptions>) -> Self {
        self.client_options = options.into();
        self
    }

    /// Keeps something of the program's with the service and its client, one of each type, until both are dropped.
    #[must_use]
    pub fn extension<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.extensions.insert(value);
        self
    }

    /// What [`extension`](Self::extension) was given.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// One more codec for both server and client, or another for a content type that is known.
    #[must_use]
    pub fn codec(mut self, codec: impl Codec) -> Self {
        self.codecs.push(Arc::new(codec));
        self
    }

    /// A wrapper around every request that the server receives. The first is the outermost.
    #[must_use]
    pub fn wrap_server(mut self, wrapper: impl Wrapper) -> Self {
        self.server = self.server.wrap(wrapper);
        self
    }

    /// A wrapper around every event that is handled, outside those of its subscriber. The first is the outermost.
    #[must_use]
    pub fn wrap_subscribers(mut self, wrapper: impl Wrapper) -> Self {
        self.server = self.server.wrap_subscribers(wrapper);
        self
    }

    /// A wrapper around each event that the client publishes. The first is the outermost.
    #[must_use]
    pub fn wrap_publish(mut self, wrapper: impl Wrapper) -> Self {
        self.publish_wrappers.push(Arc::new(wrapper));
        self
    }

    /// A wrapper around each whole call of the client, retries included. The first is the outermost.
    #[must_use]
    pub fn wrap_call(mut self, wrapper: impl Wrapper) -> Self {
        self.call_wrappers.push(Arc::new(wrapper));
        self
    }

    /// A wrapper around each attempt of the client at a node. The first is the outermost.
    #[must_use]
    pub fn wrap_attempt(mut self, wrapper: impl Wrapper) -> Self {
        self.attempt_wrappers.push(Arc::new(wrapper));
        self
    }

    /// What the service knows about itself, with options, or with a route that is mounted already. Default: its own.
    #[must_use]
    pub fn diagnostics(mut self, diagnostics: Diagnostics) -> Self {
        self.diagnostics = diagnostics;
        self
    }

    /// Counts and records nothing, and answers no `Debug.*`; the transport that is made by default has no `/health` then.
    /// Traces go on all the same.
    #[must_use]
    pub fn without_debug(mut self) -> Self {
        self.has_debug = false;
        self
    }

    /// Says whether something that the service needs is well, such as its database: while it is not, `/health` and
    /// `/health/ready` are answered with 503 and the error.
    ///
    /// It runs whenever somebody asks, beside the others, for at most 5 s; so it should be cheap.
    ///
    /// ```
    /// let builder = micro_core::Service::builder("greeter").health_check("disk", || async { Ok(()) });
    /// ```
    #[must_use]
    pub fn health_check<F, Fut>(mut self, name: impl Into<String>, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        let check: Check = Arc::new(move || Box::pin(check()));
        self.checks.push((name.into(), check));
        self
    }

    /// The version that is registered. Default: `latest`.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.options.version = version.into();
        self
    }

    /// Where to listen. Default: `:0`.
    #[must_use]
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.options.address = address.into();
        self
    }

    /// A label of the node.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.metadata.push((key.into(), value.into()));
        self
    }

    /// How the service is registered.
    #[must_use]
    pub fn registration(mut self, registration: RegistrationOptions) -> Self {
        self.options.registration = registration;
        self
    }

    /// All of who the service is and how it lives, to be changed in place.
    pub fn options_mut(&mut self) -> &mut ServiceOptions {
        &mut self.options
    }

    /// Runs before the service listens. An error keeps it from starting.
    #[must_use]
    pub fn before_start<F, Fut>(mut self, hook: F) -> Self
    where
        F: FnOnce() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        self.hooks.before_start.push(Box::new(move || Box::pin(hook())));
        self
    }

    /// Runs when the service is registered. An error stops it again.
    #[must_use]
    pub fn after_start<F, Fut>(mut self, hook: F) -> Self
    where
        F: FnOnce() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        self.hooks.after_start.push(Box::new(move || Box::pin(hook())));
        self
    }

    /// Runs before the service is taken out of the registry.
    #[must_use]
    pub fn before_stop<F, Fut>(mut self, hook: F) -> Self
    where
        F: FnOnce() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        self.hooks.before_stop.push(Box::new(move || Box::pin(hook())));
        self
    }

    /// Runs when the last call is over.
    #[must_use]
    pub fn after_stop<F, Fut>(mut self, hook: F) -> Self
    where
        F: FnOnce() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        self.hooks.after_stop.push(Box::new(move || Box::pin(hook())));
        self
    }

    /// The service, ready to start.
    ///
    /// # Errors
    ///
    /// When endpoints collide or are misnamed, the service has no name, or its registration would lapse before it
    /// is refreshed.
    pub fn build(self) -> Result<Service> {
        if self.options.name.is_empty() {
            return Err(Error::bad_request(SERVER, "a service needs a name"));
        }
        self.options.registration.check(&self.options.name)?;
        let registry = self.registry.unwrap_or_else(|| Arc::new(MemoryRegistry::new()));
        let transport = match self.transport {
            Some(transport) => transport,
            None => Arc::new(HttpTransport::unencrypted(HttpConfig {
                routes: match self.has_debug {
                    true => vec![("/health".into(), self.diagnostics.route())],
                    false => Vec::new(),
                },
                ..HttpConfig::default()
            })),
        };
        let broker = self
            .broker
            .unwrap_or_else(|| Arc::new(HttpBroker::with_defaults(registry.clone())));
        self.diagnostics.describe(&self.options, self.checks);
        let mut server = self.server;
        if self.has_debug {
            server = server.diagnostics(self.diagnostics.clone());
        }
        let mut client = Client::builder(registry.clone(), transport.clone())
            .broker(broker.clone())
            .strategy(self.strategy)
            .options(self.client_options)
            .all_extensions(self.extensions);
        if let Some(selector) = self.selector {
            client = client.selector(selector);
        }
        for codec in self.codecs {
            server = server.codec(codec.clone());
            client = client.codec(codec);
        }
        for wrapper in self.call_wrappers {
            client = client.wrap_call(wrapper);
        }
        for wrapper in self.attempt_wrappers {
            client = client.wrap_attempt(wrapper);
        }
        for wrapper in self.publish_wrappers {
            client = client.wrap_publish(wrapper);
        }
        Ok(Service {
            options: self.options,
            registry,
            transport,
            broker,
            server: server.build()?,
            client: client.build(),
            diagnostics: self.diagnostics,
            hooks: self.hooks,
        })
    }
}

impl fmt::Debug for ServiceBuilder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ServiceBuilder")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
