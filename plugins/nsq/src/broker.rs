//! The broker.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use micro_core::broker::{Message, SubscribeOptions, Subscription, envelope};
use micro_core::{Broker, Result};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::NsqConfig;
use crate::consumer::{Consumer, Site};
use crate::dial::Dialer;
use crate::line::Habits;
use crate::lookup::Directories;
use crate::producer::Producers;
use crate::{error, name};

/// How long `flush` waits for events that somebody still works on.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// A broker in NSQ. Clones share its connections.
#[derive(Clone)]
pub struct NsqBroker(Arc<Inner>);

struct Inner {
    config: NsqConfig,
    producers: Producers,
    site: Arc<Site>,
}

impl NsqBroker {
    /// Connects to one of the nsqds at least, where nsqds are configured.
    ///
    /// # Errors
    ///
    /// When the configuration makes no sense, no nsqd can be reached, or they refuse the secret.
    pub async fn connect(config: NsqConfig) -> Result<Self> {
        let (nsqds, lookupds) = config.check()?;
        let dialer = Arc::new(Dialer::new(&config)?);
        let producers = Producers::new(&nsqds, &config, &dialer);
        producers.open().await?;
        let site = Arc::new(Site {
            nsqds,
            dialer,
            directories: Directories::new(lookupds, config.connect_timeout, config.response_timeout),
            lookup_every: config.lookup_every,
            response_timeout: config.response_timeout,
            habits: Habits {
                requeue_delay: config.requeue_delay,
                response_timeout: config.response_timeout,
                silence: config.heartbeat * 5 / 2,
            },
            ending: Mutex::default(),
            end: CancellationToken::new(),
        });
        Ok(Self(Arc::new(Inner {
            config,
            producers,
            site,
        })))
    }
}

impl Inner {
    async fn publish(&self, topic: &str, message: &Message) -> Result<()> {
        let name = name::topic(topic)?;
        let body = envelope::encode(message);
        if body.len() > self.config.max_message {
            return Err(error::too_large(body.len(), self.config.max_message));
        }
        self.producers.publish(&name, &body).await
    }

    async fn subscribe(&self, topic: &str, options: SubscribeOptions) -> Result<Subscription> {
        let (name, channel) = (name::topic(topic)?, name::channel(options.queue.as_deref())?);
        let consumer = Consumer::new(self.site.clone(), name, channel, options.concurrency);
        Subscription::follow(format!("the subscription to {topic} at nsq"), consumer).await
    }
}

#[async_trait]
impl Broker for NsqBroker {
    fn name(&self) -> &str {
        "nsq"
    }

    async fn publish(&self, topic: &str, message: Message) -> Result<()> {
        let published = self.0.publish(topic, &message).await;
        published.map_err(|problem| problem.context(format_args!("{topic} was not published")))
    }

    async fn subscribe(&self, topic: &str, options: SubscribeOptions) -> Result<Subscription> {
        let subscribed = self.0.subscribe(topic, options).await;
        subscribed.map_err(|problem| problem.context(format_args!("{topic} was not subscribed to")))
    }

    /// Waits until the nsqds know what became of the events of subscriptions that have ended; of events that somebody
    /// still works on, for 2 s at most.
    async fn flush(&self) -> Result<()> {
        let ending = self.0.site.ending.lock();
        let ending = ending.unwrap_or_else(PoisonError::into_inner).clone();
        let ended = async {
            for done in ending {
                done.cancelled().await;
            }
        };
        // What is decided later is told later.
        let _ = timeout(FLUSH_WITHIN, ended).await;
        Ok(())
    }
}

impl fmt::Debug for NsqBroker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("NsqBroker")
            .field("nsqds", &self.0.config.nsqds)
            .field("lookupds", &self.0.config.lookupds)
            .finish_non_exhaustive()
    }
}
