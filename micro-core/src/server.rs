//! Receives requests, finds the endpoint, answers.

mod dead_letter;
mod router;
mod subscriber;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::Arc;

use crate::codec::{Codec, Codecs};
use crate::debug::{Diagnostics, Observe};
use crate::error::SERVER;
use crate::handler::{Endpoint, IntoEndpoints, Recover, Trace, wrap_all};
use crate::registry;
use crate::{Error, Handler, Result, Text, Wrapper};

pub use self::dead_letter::DeadLetter;
pub use self::router::Router;
pub use self::subscriber::{Subscribed, Subscriber, subscriber, subscriber_plain};

/// Puts together what a server answers with: endpoints, codecs and wrappers.
#[derive(Default)]
pub struct ServerBuilder {
    codecs: Codecs,
    endpoints: Vec<MakeEndpoints>,
    wrappers: Vec<Arc<dyn Wrapper>>,
    subscribers: Vec<Subscriber>,
    subscriber_wrappers: Vec<Arc<dyn Wrapper>>,
    diagnostics: Option<Diagnostics>,
}

type MakeEndpoints = Box<dyn FnOnce(&Codecs) -> Vec<Endpoint> + Send>;

impl ServerBuilder {
    /// Nothing to answer yet; the standard codecs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an endpoint or a set of them, such as a generated server.
    #[must_use]
    pub fn handler(mut self, endpoints: impl IntoEndpoints + Send + 'static) -> Self {
        self.endpoints
            .push(Box::new(move |codecs| endpoints.into_endpoints(codecs)));
        self
    }

    /// Adds a subscription.
    #[must_use]
    pub fn subscriber(mut self, subscriber: Subscriber) -> Self {
        self.subscribers.push(subscriber);
        self
    }

    /// Adds a wrapper around every event, outside those of its subscriber. The first is the outermost.
    #[must_use]
    pub fn wrap_subscribers(mut self, wrapper: impl Wrapper) -> Self {
        self.subscriber_wrappers.push(Arc::new(wrapper));
        self
    }

    /// Adds a codec, or another for a content type that is known.
    #[must_use]
    pub fn codec(mut self, codec: impl Codec) -> Self {
        self.codecs = self.codecs.with(codec);
        self
    }

    /// Adds a wrapper around every request. The first is the outermost.
    #[must_use]
    pub fn wrap(mut self, wrapper: impl Wrapper) -> Self {
        self.wrappers.push(Arc::new(wrapper));
        self
    }

    /// Counts requests, records some, and answers `Debug.*`, except where there is another endpoint of the name.
    /// Default: not; a [service](crate::ServiceBuilder) does it.
    #[must_use]
    pub fn diagnostics(mut self, diagnostics: Diagnostics) -> Self {
        self.diagnostics = Some(diagnostics);
        self
    }

    /// The server.
    ///
    /// # Errors
    ///
    /// When two endpoints have one name, or a name is not `Handler.Method`.
    pub fn build(self) -> Result<Server> {
        let codecs = self.codecs;
        let endpoints: Vec<Endpoint> = self
            .endpoints
            .into_iter()
            .flat_map(|make| make(&codecs))
            .collect();
        if let Some(diagnostics) = &self.diagnostics {
            diagnostics.learn(endpoints.iter().map(|endpoint| endpoint.descriptors));
        }
        let mut records: BTreeMap<Text, Option<registry::Endpoint>> = BTreeMap::new();
        let mut handlers = Vec::with_capacity(endpoints.len());
        let own = endpoints.len();
        let added = self
            .diagnostics
            .clone()
            .map(|added| added.into_endpoints(&codecs));
        for (number, endpoint) in endpoints
            .into_iter()
            .chain(added.into_iter().flatten())
            .enumerate()
        {
            let name = endpoint.name;
            if !is_well_formed(&name) {
                return Err(Error::bad_request(
                    SERVER,
                    format!("endpoint {name:?} is not of the form Handler.Method, with one dot"),
                ));
            }
            let record = registry::Endpoint {
                name: name.to_string(),
                ..endpoint.record
            };
            match records.entry(name.clone()) {
                Entry::Vacant(entry) => entry.insert((!endpoint.is_internal).then_some(record)),
                Entry::Occupied(_) if number >= own => continue,
                Entry::Occupied(_) => {
                    return Err(Error::conflict(
                        SERVER,
                        format!("endpoint {name} is registered twice"),
                    ));
                }
            };
            handlers.push((name, endpoint.handler));
        }
        let diagnostics = self.diagnostics.as_ref();
        // What is always there stands outside, so that it sees the user's wrappers too.
        let handling = |handler| {
            let wrapped = wrap_all(&self.subscriber_wrappers, handler);
            Trace::Subscriber.wrap(match diagnostics {
                Some(diagnostics) => Observe::Events(diagnostics).wrap(wrapped),
                None => Recover.wrap(wrapped),
            })
        };
        let mut subscribers: Vec<Subscribed> = self
            .subscribers
            .into_iter()
            .map(|subscriber| subscriber.build(&codecs, handling))
            .collect();
        // The order in which Go Micro registers them.
        subscribers.sort_by(|a, b| b.topic.cmp(&a.topic));
        let topics = subscribers
            .iter()
            .map(|subscribed| (subscribed.topic.clone(), subscribed.handler.clone()));
        let router = Arc::new(Router::new(handlers, codecs).with_subscribers(topics));
        let wrapped = wrap_all(&self.wrappers, router);
        let observed = match diagnostics {
            Some(diagnostics) => Observe::Calls(diagnostics).wrap(wrapped),
            None => Recover.wrap(wrapped),
        };
        let described = subscribers.iter().map(|subscribed| subscribed.record.clone());
        Ok(Server {
            handler: Trace::Server.wrap(observed),
            endpoints: records.into_values().flatten().chain(described).collect(),
            subscribers,
        })
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ServerBuilder")
            .field("codecs", &self.codecs)
            .finish_non_exhaustive()
    }
}

/// A handler for all of a service's endpoints, and their records.
pub struct Server {
    handler: Arc<dyn Handler>,
    endpoints: Vec<registry::Endpoint>,
    subscribers: Vec<Subscribed>,
}

impl Server {
    /// What answers every request.
    pub fn handler(&self) -> &Arc<dyn Handler> {
        &self.handler
    }

    /// What the registry is told: endpoints sorted by name, but for the internal ones, then subscriptions by topic,
    /// the last first.
    pub fn endpoints(&self) -> &[registry::Endpoint] {
        &self.endpoints
    }

    /// What the server is to be subscribed to.
    pub fn subscribers(&self) -> &[Subscribed] {
        &self.subscribers
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.endpoints.iter().map(|endpoint| &endpoint.name);
        formatter.debug_list().entries(names).finish()
    }
}

fn is_well_formed(endpoint: &str) -> bool {
    endpoint.split_once('.').is_some_and(|(handler, method)| {
        !handler.is_empty()
            && !method.is_empty()
            && !method.contains('.')
            && endpoint.bytes().all(|byte| byte > b' ')
    })
}
