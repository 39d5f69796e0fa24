//! Calls services by name: finds, balances, calls, retries, streams. Publishes events.

mod budget;
mod call;
mod options;
mod live;
mod publish;
mod scope;
mod typed;

use std::fmt;
use std::sync::Arc;

use http::Extensions;

use crate::broker::{Broker, HttpBroker};
use crate::codec::{Codec, Codecs};
use crate::handler::{Context, wrap_all};
use crate::registry::{RegistryCache, RegistryCacheOptions};
use crate::selector::{CachedSelector, Random, Selector, SelectorOptions, Strategy};
use crate::{Handler, Registry, Request, Response, Result, Transport, Wrapper};

use self::call::Calls;
use self::publish::Publisher;
use self::scope::Scope;

pub use self::live::LiveOptions;
pub use self::options::{CallOptions, ClientOptions, RetryOptions};
pub use self::typed::{ClientStream, Method};

/// Calls services by name. Cheap to clone; clones share connections and what is known of nodes.
///
/// A call meets, in this order: the wrappers around the whole call; its deadline, span and retries; the choice of
/// a node; the wrappers around each attempt; the node's connection.
#[derive(Clone)]
pub struct Client {
    stack: Arc<Stack>,
    scope: Option<Arc<Scope>>,
}

struct Stack {
    handler: Arc<dyn Handler>,
    publisher: Arc<dyn Handler>,
    codecs: Codecs,
    selector: Arc<dyn Selector>,
    options: LiveOptions,
    extensions: Extensions,
}

impl Client {
    /// A client that finds nodes in this registry and reaches them over this transport.
    pub fn new(registry: Arc<dyn Registry>, transport: Arc<dyn Transport>) -> Self {
        Self::builder(registry, transport).build()
    }

    /// The same with choices.
    pub fn builder(registry: Arc<dyn Registry>, transport: Arc<dyn Transport>) -> ClientBuilder {
        ClientBuilder {
            registry,
            transport,
            strategy: Arc::new(Random),
            selector: None,
            broker: None,
            codecs: Codecs::standard(),
            call_wrappers: Vec::new(),
            attempt_wrappers: Vec::new(),
            publish_wrappers: Vec::new(),
            options: ClientOptions::default().into(),
            extensions: Extensions::new(),
        }
    }

    /// This client with other options for its calls. They take the place of options given before.
    #[must_use]
    pub fn with_options(&self, options: CallOptions) -> Self {
        let scope = self.scope.as_deref().cloned().unwrap_or_default();
        Self {
            stack: self.stack.clone(),
            scope: Some(Arc::new(scope.with_options(options))),
        }
    }

    /// This client on behalf of the call being served: its calls end when that call's deadline has passed, and carry
    /// its metadata on, except where the request or the options have a value of their own. Where that call belongs to
    /// a trace, so do they.
    #[must_use]
    pub fn within(&self, context: &Context) -> Self {
        let scope = self.scope.as_deref().cloned().unwrap_or_default();
        Self {
            stack: self.stack.clone(),
            scope: Some(Arc::new(scope.within(context))),
        }
    }

    /// Sends a request whose body is already encoded: for gateways, proxies and dynamic calls.
    ///
    /// # Errors
    ///
    /// What the far handler answered, or what kept the request from it.
    pub async fn request(&self, mut request: Request) -> Result<Response> {
        let recording = self.scope.as_ref().and_then(|scope| scope.apply(&mut request));
        let result = self.stack.handler.handle(request).await;
        match recording {
            Some(recording) => recording.follow(result),
            None => result,
        }
    }

    /// The codecs that this client knows.
    pub fn codecs(&self) -> &Codecs {
        &self.stack.codecs
    }

    /// What chooses this client's nodes.
    pub fn selector(&self) -> &Arc<dyn Selector> {
        &self.stack.selector
    }

    /// Time-outs and retries of all calls, which may be changed.
    pub fn options(&self) -> &LiveOptions {
        &self.stack.options
    }

    /// What [`ClientBuilder::extension`] was given.
    pub fn extensions(&self) -> &Extensions {
        &self.stack.extensions
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Client")
            .field("selector", &self.stack.selector.name())
            .finish_non_exhaustive()
    }
}

/// Puts a client together.
pub struct ClientBuilder {
    registry: Arc<dyn Registry>,
    transport: Arc<dyn Transport>,
    strategy: Arc<dyn Strategy>,
    selector: Option<Arc<dyn Selector>>,
    broker: Option<Arc<dyn Broker>>,
    codecs: Codecs,
    call_wrappers: Vec<Arc<dyn Wrapper>>,
    attempt_wrappers: Vec<Arc<dyn Wrapper>>,
    publish_wrappers: Vec<Arc<dyn Wrapper>>,
    options: LiveOptions,
    extensions: Extensions,
}

impl ClientBuilder {
    /// How nodes are chosen. Default: [`Random`].
    #[must_use]
    pub fn strategy(mut self, strategy: Arc<dyn Strategy>) -> Self {
        self.strategy = strategy;
        self
    }

    /// What chooses nodes, in place of a strategy over the watched registry.
    #[must_use]
    pub fn selector(mut self, selector: Arc<dyn Selector>) -> Self {
        self.selector = Some(selector);
        self
    }

    /// Where events are published. Default: [`HttpBroker`] over the registry.
    #[must_use]
    pub fn broker(mut self, broker: Arc<dyn Broker>) -> Self {
        self.broker = Some(broker);
        self
    }

    /// One more codec, or another for a content type that is known.
    #[must_use]
    pub fn codec(mut self, codec: impl Codec) -> Self {
        self.codecs = self.codecs.with(codec);
        self
    }

    /// A wrapper around each whole call, retries included. The first is the outermost.
    #[must_use]
    pub fn wrap_call(mut self, wrapper: impl Wrapper) -> Self {
        self.call_wrappers.push(Arc::new(wrapper));
        self
    }

    /// A wrapper around each attempt at a node. The first is the outermost.
    #[must_use]
    pub fn wrap_attempt(mut self, wrapper: impl Wrapper) -> Self {
        self.attempt_wrappers.push(Arc::new(wrapper));
        self
    }

    /// A wrapper around each event that is published: a request to the endpoint of its topic's name, answered when
    /// the broker has accepted it. The first is the outermost.
    #[must_use]
    pub fn wrap_publish(mut self, wrapper: impl Wrapper) -> Self {
        self.publish_wrappers.push(Arc::new(wrapper));
        self
    }

    /// Time-outs and retries of all calls: [`ClientOptions`], or [`LiveOptions`] that several clients share.
    #[must_use]
    pub fn options(mut self, options: impl Into<LiveOptions>) -> Self {
        self.options = options.into();
        self
    }

    /// Keeps something of the program's with the client, one of each type, until the last clone of the client is
    /// dropped.
    #[must_use]
    pub fn extension<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.extensions.insert(value);
        self
    }

    /// What [`extension`](Self::extension) was given.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    pub(crate) fn all_extensions(mut self, extensions: Extensions) -> Self {
        self.extensions = extensions;
        self
    }

    /// The client.
    pub fn build(self) -> Client {
        let Self {
            registry,
            transport,
            strategy,
            selector,
            broker,
            ..
        } = self;
        let broker = broker.unwrap_or_else(|| Arc::new(HttpBroker::with_defaults(registry.clone())));
        let publisher = wrap_all(&self.publish_wrappers, Arc::new(Publisher(broker)));
        let selector = selector.unwrap_or_else(|| {
            let cache = RegistryCache::new(registry, RegistryCacheOptions::default());
            Arc::new(CachedSelector::new(
                Arc::new(cache),
                strategy,
                SelectorOptions::default(),
            ))
        });
        let options = self.options;
        let calls = Calls::new(
            selector.clone(),
            transport,
            self.attempt_wrappers,
            options.clone(),
        );
        let handler = wrap_all(&self.call_wrappers, Arc::new(calls));
        Client {
            stack: Arc::new(Stack {
                handler,
                publisher,
                codecs: self.codecs,
                selector,
                options,
                extensions: self.extensions,
            }),
            scope: None,
        }
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ClientBuilder")
            .field("registry", &self.registry.name())
            .field("transport", &self.transport.name())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
