//! The broker itself.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use micro_core::broker::{Message, SubscribeOptions, Subscription};
use micro_core::{Broker, ErrorKind, Result, Text};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::config::KafkaConfig;
use crate::error;
use crate::member::Leaving;
use crate::publisher::Publisher;
use crate::source::Source;
use crate::topics::{self, Topics};

/// How often flushing looks whether all is confirmed.
const PAUSE: Duration = Duration::from_millis(5);

/// A broker over Kafka. Clones share one producer; each subscription is a member of its group.
#[derive(Clone)]
pub struct KafkaBroker(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) config: KafkaConfig,
    pub(crate) publisher: Publisher,
    pub(crate) topics: Topics,
    pub(crate) leaving: Arc<Leaving>,
}

impl KafkaBroker {
    /// Connects to a server of the cluster. Must be called within a tokio runtime. May be cancelled.
    ///
    /// # Errors
    ///
    /// When no server answers within [`connect_timeout`](KafkaConfig::connect_timeout), the user is refused, or the
    /// configuration makes no sense.
    pub async fn connect(config: KafkaConfig) -> Result<Self> {
        let client = config.producer()?;
        let topics = Topics::new(
            client.clone(),
            config.create_topics,
            config.named_servers(),
            config.publish_timeout,
        );
        let publisher = Publisher::new(&config, client)?;
        let shared = Arc::new(Shared {
            config,
            publisher,
            topics,
            leaving: Arc::default(),
        });
        let (answer, answered) = oneshot::channel();
        let asking = shared.clone();
        tokio::task::spawn_blocking(move || {
            let reached = asking
                .publisher
                .reach(asking.config.connect_timeout, || !answer.is_closed());
            let _ = answer.send(reached);
        });
        let within = shared.config.connect_timeout;
        let stopped = |_| error::late("connecting", &shared.config.named_servers(), within, None);
        answered.await.map_err(stopped)??;
        Ok(Self(shared))
    }
}

impl Shared {
    /// Publishes, and makes the topic before, where it is missing.
    async fn publish(&self, topic: &str, message: &Message) -> Result<()> {
        let Self {
            publisher, topics, ..
        } = self;
        loop {
            if !topics.is_known(topic) {
                topics::check(topic)?;
                topics.ensure_once(topic, publisher.producer()).await?;
            }
            match publisher.publish(topic, message).await {
                // It was there before, and may be had again.
                Err(error) if error.kind() == ErrorKind::NotFound => topics.forget(topic),
                published => return published,
            }
        }
    }
}

#[async_trait]
impl Broker for KafkaBroker {
    fn name(&self) -> &str {
        "kafka"
    }

    async fn publish(&self, topic: &str, message: Message) -> Result<()> {
        match timeout(self.0.config.publish_timeout, self.0.publish(topic, &message)).await {
            Ok(published) => published,
            Err(_) => {
                self.0.topics.forget(topic);
                Err(self.0.publisher.late(topic))
            }
        }
    }

    async fn subscribe(&self, topic: &str, options: SubscribeOptions) -> Result<Subscription> {
        topics::check(topic)?;
        let group = match options.queue {
            Some(queue) if queue.is_empty() => return Err(error::no_group(topic)),
            Some(queue) => queue,
            None => Text::from(uuid::Uuid::new_v4().to_string()),
        };
        let what = format!("the subscription to {topic} at kafka");
        Subscription::follow(what, Source::new(self.0.clone(), topic.into(), group)).await
    }

    /// Waits until all that was published is confirmed, and subscriptions that ended have left their groups.
    async fn flush(&self) -> Result<()> {
        let flushing = async {
            while self.0.publisher.pending() > 0 {
                sleep(PAUSE).await;
            }
            self.0.leaving.done().await;
        };
        let within = self.0.config.publish_timeout;
        timeout(within, flushing)
            .await
            .map_err(|_| error::late("flushing", &self.0.config.named_servers(), within, None))
    }
}

impl fmt::Debug for KafkaBroker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("KafkaBroker")
            .field(&self.0.config)
            .finish()
    }
}
