//! Publish and subscribe: the broker's contract, its messages and events.

pub mod envelope;
mod follow;
pub mod http;
mod memory;

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;

use crate::{Error, Metadata, Result, Text};

pub use self::follow::{EventSource, Remainder};
pub use self::http::{HttpBroker, HttpBrokerConfig};
pub use self::memory::MemoryBroker;

/// Moves messages from publishers to subscribers. Encoding, handlers and their concurrency are not its business.
///
/// # Contract
///
/// - [`publish`](Self::publish) returns when the backend has accepted the message, or says why it did not.
/// - Each subscription without a queue gets a copy of each message; those that share a queue share one copy.
/// - An event that was neither acknowledged nor rejected when it was dropped goes to another subscriber of its queue,
///   or again to the same, where the backend can: each message arrives at least once. The crate of a broker says
///   what an acknowledgement and a rejection mean there.
/// - Messages that one task publishes one after the other arrive in that order at a subscription without a queue.
/// - After a lost connection a broker connects again and subscribes again by itself.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// The name by which flags choose this broker and nodes state it, such as `http`.
    fn name(&self) -> &str;

    /// Hands a message to the backend. That nobody is subscribed is no failure.
    ///
    /// Dropping the future leaves it open whether the message goes out.
    ///
    /// # Errors
    ///
    /// When the backend cannot be reached or refuses the message; the message names the topic.
    async fn publish(&self, topic: &str, message: Message) -> Result<()>;

    /// Subscribes to a topic. What is published from now on arrives.
    ///
    /// # Errors
    ///
    /// When the backend cannot be reached or refuses the subscription; the message names the topic.
    async fn subscribe(&self, topic: &str, options: SubscribeOptions) -> Result<Subscription>;

    /// Waits until everything that was accepted here has left this process. A broker that keeps nothing returns at
    /// once. May be cancelled.
    ///
    /// # Errors
    ///
    /// When something can no longer be delivered.
    async fn flush(&self) -> Result<()> {
        Ok(())
    }
}

/// How to subscribe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// Subscriptions of one topic with the same queue share each message: one of them gets it. Default: none, each
    /// subscription gets every message.
    pub queue: Option<Text>,
    /// How many events the subscriber works on at once; a broker may fetch so many ahead. Default: 1.
    pub concurrency: usize,
}

impl Default for SubscribeOptions {
    fn default() -> Self {
        Self {
            queue: None,
            concurrency: 1,
        }
    }
}

/// What is published: headers and a body. The header `Content-Type` says the body's format.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// Names and values that travel beside the body.
    pub header: Metadata,
    /// The body, encoded.
    pub body: Bytes,
}

impl Message {
    /// A message without headers.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self {
            header: Metadata::new(),
            body: body.into(),
        }
    }

    /// Sets a header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<Text>, value: impl Into<Text>) -> Self {
        self.header.insert(name, value);
        self
    }
}

/// How the broker that gave out an event learns what became of it.
///
/// Dropped without either answer, it must give the event back, so that a subscriber that dies loses nothing.
#[async_trait]
pub trait Acknowledge: Send + Sync + 'static {
    /// The event was handled.
    ///
    /// # Errors
    ///
    /// When the backend could not be told; it will deliver the event again.
    async fn acknowledge(self: Box<Self>) -> Result<()>;

    /// The event was handled without success.
    ///
    /// # Errors
    ///
    /// When the backend could not be told; it will deliver the event again.
    async fn reject(self: Box<Self>, reason: &Error) -> Result<()>;
}

/// A message that arrived, to be acknowledged or rejected. Dropping it undecided gives it back, where the backend can
/// take it back.
pub struct Event {
    topic: Text,
    message: Message,
    acknowledge: Option<Box<dyn Acknowledge>>,
    deliveries: Option<u32>,
}

impl Event {
    /// An event of a broker that does not want to know what becomes of it.
    pub fn new(topic: impl Into<Text>, message: Message) -> Self {
        Self {
            topic: topic.into(),
            message,
            acknowledge: None,
            deliveries: None,
        }
    }

    /// Says how often the backend has given out this message, this time included.
    #[must_use]
    pub fn with_deliveries(mut self, count: u32) -> Self {
        self.deliveries = Some(count);
        self
    }

    /// How often the backend has given out this message, this time included. None where it does not count.
    pub fn deliveries(&self) -> Option<u32> {
        self.deliveries
    }

    /// Says who is told what becomes of the event.
    #[must_use]
    pub fn with_acknowledge(mut self, acknowledge: impl Acknowledge) -> Self {
        self.acknowledge = Some(Box::new(acknowledge));
        self
    }

    /// What it was published to. Where a subscription covers many topics, the one of this event.
    pub fn topic(&self) -> &Text {
        &self.topic
    }

    /// What was published.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// Takes the message out and leaves an empty one.
    pub fn take_message(&mut self) -> Message {
        std::mem::take(&mut self.message)
    }

    /// Tells the broker that the event was handled.
    ///
    /// # Errors
    ///
    /// When the backend could not be told; it may deliver the event again.
    pub async fn acknowledge(mut self) -> Result<()> {
        match self.acknowledge.take() {
            Some(acknowledge) => acknowledge.acknowledge().await,
            None => Ok(()),
        }
    }

    /// Tells the broker that the event was handled without success. What follows is the backend's affair: it may
    /// deliver the event again, put it aside, or forget it.
    ///
    /// # Errors
    ///
    /// When the backend could not be told; it may deliver the event again.
    pub async fn reject(mut self, reason: &Error) -> Result<()> {
        match self.acknowledge.take() {
            Some(acknowledge) => acknowledge.reject(reason).await,
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Event")
            .field("topic", &self.topic)
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}

/// The events of a topic, from the moment of subscribing.
///
/// An `Err` item tells of trouble, such as a lost connection, and does not end the stream. Dropping it ends the
/// subscription; what was not decided by then goes back, where the backend can take it back.
/// [`drain`](Self::drain) ends it in order.
pub struct Subscription {
    events: Pin<Box<dyn Stream<Item = Result<Event>> + Send>>,
    drain: Drain,
}

enum Drain {
    Possible(Option<Box<dyn FnOnce() + Send>>),
    Begun { has_more: bool },
}

impl Subscription {
    /// A subscription that, told to drain, ends at once: for backends that keep what was not given out.
    pub fn new(events: impl Stream<Item = Result<Event>> + Send + 'static) -> Self {
        Self {
            events: Box::pin(events),
            drain: Drain::Possible(None),
        }
    }

    /// Says what is done to end the subscription in order. From then on the stream gives out what has arrived
    /// already, and ends.
    #[must_use]
    pub fn on_drain(mut self, begin: impl FnOnce() + Send + 'static) -> Self {
        self.drain = Drain::Possible(Some(Box::new(begin)));
        self
    }

    /// Asks for no more events. Those that have arrived already are still given out; then the subscription ends.
    pub fn drain(&mut self) {
        if let Drain::Possible(begin) = &mut self.drain {
            let begin = begin.take();
            let has_more = begin.is_some();
            if let Some(begin) = begin {
                begin();
            }
            self.drain = Drain::Begun { has_more };
        }
    }

    /// Waits for the next event; `None` when the subscription has ended. May be cancelled; nothing is lost then.
    ///
    /// # Errors
    ///
    /// When the broker has trouble. Asking again is right.
    pub async fn next(&mut self) -> Option<Result<Event>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl Stream for Subscription {
    type Item = Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.drain {
            Drain::Begun { has_more: false } => Poll::Ready(None),
            _ => self.events.as_mut().poll_next(context),
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Subscription")
    }
}
