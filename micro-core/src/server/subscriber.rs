//! What a server does with events: typed functions over what arrives at a topic.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::DeadLetter;
use crate::broker::SubscribeOptions;
use crate::codec::{Codecs, Message, Plain, Role, Slot};
use crate::error::SERVER;
use crate::handler::{Context, Request, Response, schema_value, wrap_all};
use crate::registry::{self, Value};
use crate::{Error, Handler, Result, Text, Wrapper};

/// A subscription that a service is to have: a topic, and what handles its events.
///
/// An event comes as a request to the endpoint of its topic's name; `Ok` acknowledges it, an error rejects it. What
/// that means is the broker's affair.
#[must_use = "a subscriber does nothing until a service has it"]
pub struct Subscriber {
    topic: Text,
    name: Text,
    options: SubscribeOptions,
    wrappers: Vec<Arc<dyn Wrapper>>,
    dead_letter: Option<DeadLetter>,
    shape: Option<Value>,
    make: Make,
}

/// What makes a handler for the codecs of its server.
type Make = Box<dyn FnOnce(&Codecs) -> Arc<dyn Handler> + Send>;

impl Subscriber {
    /// A subscription whose handler reads the bodies of events itself.
    pub fn new(topic: impl Into<Text>, handler: impl Handler) -> Self {
        Self {
            topic: topic.into(),
            // Go Micro's name for a function.
            name: Text::from_static("Func"),
            options: SubscribeOptions::default(),
            wrappers: Vec::new(),
            dead_letter: None,
            shape: None,
            make: Box::new(|_| Arc::new(handler)),
        }
    }

    /// Shares the topic's events with the subscriptions of the same queue: each event goes to one of them. Default:
    /// none, each subscription gets every event.
    pub fn queue(mut self, queue: impl Into<Text>) -> Self {
        self.options.queue = Some(queue.into());
        self
    }

    /// How many events are handled at once. Default: 1, in the order in which they arrive. 0 counts as 1.
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.options.concurrency = concurrency.max(1);
        self
    }

    /// A wrapper around the handling of each event. The first is the outermost.
    pub fn wrap(mut self, wrapper: impl Wrapper) -> Self {
        self.wrappers.push(Arc::new(wrapper));
        self
    }

    /// Puts events aside that could not be handled in so many attempts: publishes them to this topic, with the reason in
    /// their [headers](DeadLetter), and counts them as handled. Default: an event that could not be handled is rejected
    /// after one attempt, and what follows is the broker's affair.
    ///
    /// Attempts are made one after the other in this process, with pauses that grow from 100 ms to 5 s, and an event that
    /// is tried again keeps its place among those that are handled at once: with a concurrency of 1 the order stays. A
    /// bad request, such as an event that cannot be read, is put aside at once.
    pub fn dead_letter(mut self, topic: impl Into<Text>, attempts: u32) -> Self {
        self.dead_letter = Some(DeadLetter {
            topic: topic.into(),
            attempts: attempts.max(1),
        });
        self
    }

    /// What the registry is told it is called, such as `Orders.Placed`. Default: `Func`.
    pub fn named(mut self, name: impl Into<Text>) -> Self {
        self.name = name.into();
        self
    }

    /// The subscriber with its handler made for the codecs of its server, behind the server's wrappers.
    pub(super) fn build(
        self,
        codecs: &Codecs,
        stand_around: impl FnOnce(Arc<dyn Handler>) -> Arc<dyn Handler>,
    ) -> Subscribed {
        let handler = wrap_all(&self.wrappers, (self.make)(codecs));
        let mut record = registry::Endpoint {
            name: self.name.to_string(),
            request: self.shape,
            ..registry::Endpoint::default()
        };
        let about = [("topic", self.topic.as_str()), ("subscriber", "true")];
        record
            .metadata
            .extend(about.map(|(key, value)| (key.to_owned(), value.to_owned())));
        Subscribed {
            topic: self.topic,
            options: self.options,
            handler: stand_around(handler),
            dead_letter: self.dead_letter,
            record,
        }
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Subscriber")
            .field("topic", &self.topic)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// A subscriber in its server.
#[derive(Clone)]
pub struct Subscribed {
    /// What it is subscribed to.
    pub topic: Text,
    /// How.
    pub options: SubscribeOptions,
    /// What handles its events.
    pub handler: Arc<dyn Handler>,
    /// What is done with events that fail again and again.
    pub dead_letter: Option<DeadLetter>,
    /// How the registry describes it.
    pub record: registry::Endpoint,
}

impl fmt::Debug for Subscribed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Subscribed")
            .field("topic", &self.topic)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// A subscriber from an async function over events of a generated type.
///
/// Publishers speak any content type that the server knows.
pub fn subscriber<F, Fut, E>(topic: impl Into<Text>, function: F) -> Subscriber
where
    F: Fn(Context, E) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
    E: Message,
{
    typed(topic.into(), move |context, event| Ok(function(context, event)))
}

/// A subscriber from an async function over serde types: no `.proto` needed.
///
/// ```
/// use micro_core::server::subscriber_plain;
/// use micro_core::Context;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Placed { order: u64 }
///
/// let bill = subscriber_plain("orders.placed", |_: Context, placed: Placed| async move {
///     println!("order {}", placed.order);
///     Ok(())
/// })
/// .queue("billing");
/// ```
pub fn subscriber_plain<F, Fut, E>(topic: impl Into<Text>, function: F) -> Subscriber
where
    F: Fn(Context, E) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
    E: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    typed(topic.into(), move |context: Context, event: Plain<E>| {
        let empty = || Error::bad_request(SERVER, format!("{}: the event is empty", context.endpoint()));
        let event = event.into_inner().ok_or_else(empty)?;
        Ok(function(context, event))
    })
}

fn typed<F, Fut, E>(topic: Text, function: F) -> Subscriber
where
    F: Fn(Context, E) -> Result<Fut> + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
    E: Message,
{
    Subscriber {
        topic,
        name: Text::from_static("Func"),
        options: SubscribeOptions::default(),
        wrappers: Vec::new(),
        dead_letter: None,
        shape: Some(schema_value::<E>()),
        make: Box::new(|codecs| {
            Arc::new(Typed {
                function,
                codecs: codecs.clone(),
                types: PhantomData,
            })
        }),
    }
}

/// A function over events as a handler.
struct Typed<F, E> {
    function: F,
    codecs: Codecs,
    types: PhantomData<fn(E)>,
}

#[async_trait]
impl<F, Fut, E> Handler for Typed<F, E>
where
    F: Fn(Context, E) -> Result<Fut> + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
    E: Message,
{
    async fn handle(&self, mut request: Request) -> Result<Response> {
        let body = request.take_body().single().await?;
        let mut event = E::default();
        self.codecs
            .decode(
                &request.content_type,
                body,
                &mut event as &mut dyn Slot,
                Role::Event,
            )
            .map_err(|error| error.context(&request.endpoint))?;
        (self.function)(Context::new(request), event)?.await?;
        Ok(Response::default())
    }
}
