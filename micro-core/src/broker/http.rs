//! The default broker: Go Micro's HTTP broker, which needs no server. Publishers post to the subscribers that the
//! registry knows.

mod backlog;
mod delivery;
mod directory;
mod receiver;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use self::delivery::Deliveries;
use self::directory::Directory;
use self::receiver::Receiver;
use super::{Broker, Message, SubscribeOptions, Subscription, envelope};
use crate::service::RegistrationOptions;
use crate::transport::HttpTransport;
use crate::transport::http::HttpConfig;
use crate::wire::TOPIC;
use crate::{Registry, Result};

pub use self::backlog::Backlog;

/// The service that all subscriptions are registered as.
const SERVICE: &str = "micro.http.broker";
/// The version of subscriptions without a queue. Those with one have its name as their version.
const BROADCAST: &str = "ff.http.broadcast";

/// How the HTTP broker works.
#[derive(Debug, Clone)]
pub struct HttpBrokerConfig {
    /// Where subscriptions listen, from the first of them on. Default: `127.0.0.1:0`, as in Go Micro, which only
    /// publishers on this host reach; `:0` is for all.
    pub address: String,
    /// What is registered instead of that address: `host` or `host:port`. Default: the address; where it means all
    /// interfaces, this machine's own.
    pub advertise: Option<String>,
    /// How subscriptions are registered. Default: for 60 s, refreshed every 30 s.
    pub registration: RegistrationOptions,
    /// How long a subscription that [drains](Subscription::drain) goes on after it is taken out of the registry, so
    /// that publishers can notice. Default: 500 ms.
    pub notice: Duration,
    /// How long a subscriber may take to handle a message. After that it is kept, to be delivered again, with twice
    /// the time at each attempt, up to an hour. So an event that takes longer is handled more than once: raise it
    /// above your slowest handler. Default: 10 s.
    pub delivery_timeout: Duration,
    /// How many messages are kept for each subscription or queue that does not take them. Beyond that, publishing
    /// to a queue fails; a subscription without a queue loses its oldest message, which is logged. Default: 64.
    pub backlog: usize,
    /// How long messages are kept for a queue that has no subscriber any more. Default: 60 s.
    pub backlog_age: Duration,
    /// Connections, limits, and encryption: of what is posted to subscribers that ask for it, and of listening where
    /// there is an identity. Its routes are not served.
    pub http: HttpConfig,
}

impl Default for HttpBrokerConfig {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:0".into(),
            advertise: None,
            registration: RegistrationOptions::default(),
            notice: Duration::from_millis(500),
            delivery_timeout: Duration::from_secs(10),
            backlog: 64,
            backlog_age: Duration::from_secs(60),
            http: HttpConfig::default(),
        }
    }
}

/// Go Micro's HTTP broker. Clones share their subscriptions, connections and backlog.
///
/// A subscription is a node of the service `micro.http.broker` in the registry; publishing posts the message to each
/// subscription, and to one of each queue.
///
/// - Publishing returns when every one of them has handled the message, or when it is kept for those that did not
///   take it: they are tried again until they do, or have left the registry. So what one task publishes arrives in
///   order, and a publisher is never faster than its subscribers.
/// - An event that is dropped undecided, as when its process dies, goes to another subscriber of its queue. A
///   rejected one does not: the wire has no word for it.
/// - A handler that publishes to its own topic waits for itself, unless its subscription's
///   [concurrency](SubscribeOptions::concurrency) lets the two run at once: after
///   [`delivery_timeout`](HttpBrokerConfig::delivery_timeout) its message is kept and delivered behind it.
/// - What is kept is in this process's memory; [`flush`](Broker::flush) before the end.
#[derive(Clone)]
pub struct HttpBroker(Arc<Shared>);

struct Shared {
    deliveries: Deliveries,
    receiver: Receiver,
}

impl HttpBroker {
    /// A broker over this registry. It listens from the first subscription on.
    ///
    /// # Errors
    ///
    /// When certificates or keys of the configuration cannot be used.
    pub fn new(registry: Arc<dyn Registry>, config: HttpBrokerConfig) -> Result<Self> {
        let encrypted = match config.http.tls {
            Some(_) => Some(HttpTransport::new(config.http.clone())?),
            None => None,
        };
        Ok(Self::over(registry, config, encrypted))
    }

    /// A broker over this registry with the default configuration, which nothing is wrong with.
    pub fn with_defaults(registry: Arc<dyn Registry>) -> Self {
        Self::over(registry, HttpBrokerConfig::default(), None)
    }

    fn over(registry: Arc<dyn Registry>, config: HttpBrokerConfig, encrypted: Option<HttpTransport>) -> Self {
        let plain = HttpTransport::unencrypted(config.http.clone());
        // Who only knows whom to trust has no certificate to show.
        let tls = config.http.tls.as_ref();
        let listening = match &encrypted {
            Some(encrypted) if tls.is_some_and(|tls| tls.identity.is_some()) => encrypted,
            _ => &plain,
        };
        let listening = listening.clone();
        let directory = Directory::new(registry.clone(), plain, encrypted);
        Self(Arc::new(Shared {
            deliveries: Deliveries::new(directory, &config),
            receiver: Receiver::new(registry, config, listening),
        }))
    }

    /// The messages that wait here for subscribers that did not take them.
    pub fn backlog(&self) -> Vec<Backlog> {
        self.0.deliveries.backlog()
    }
}

#[async_trait]
impl Broker for HttpBroker {
    fn name(&self) -> &str {
        "http"
    }

    async fn publish(&self, topic: &str, mut message: Message) -> Result<()> {
        // Where receivers read the topic.
        message.header.insert(TOPIC, topic);
        self.0
            .deliveries
            .publish(topic, envelope::encode(&message))
            .await
            .map_err(|error| error.context(format_args!("cannot publish to {topic}")))
    }

    async fn subscribe(&self, topic: &str, options: SubscribeOptions) -> Result<Subscription> {
        self.0
            .receiver
            .subscribe(topic, options)
            .await
            .map_err(|error| error.context(format_args!("cannot subscribe to {topic}")))
    }

    async fn flush(&self) -> Result<()> {
        self.0.deliveries.flush().await;
        Ok(())
    }
}

impl fmt::Debug for HttpBroker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HttpBroker")
            .field("backlog", &self.backlog())
            .finish_non_exhaustive()
    }
}
