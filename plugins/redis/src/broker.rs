//! The broker.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use micro_core::broker::{Message, SubscribeOptions, Subscription, envelope};
use micro_core::{Broker, Result, Text};
use redis::Cmd;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::channel::ChannelSource;
use crate::config::RedisConfig;
use crate::dial::Dialer;
use crate::entry;
use crate::error;
use crate::link::Link;
use crate::member::{Member, Membership};
use crate::stream::StreamSource;
use crate::tasks::Tasks;

/// The largest text that Redis takes, unless it is told otherwise.
const LARGEST: usize = 512 * 1024 * 1024;

/// A broker in Redis. Clones share its connection.
#[derive(Clone)]
pub struct RedisBroker(Arc<Inner>);

struct Inner {
    config: RedisConfig,
    dialer: Arc<Dialer>,
    link: Arc<Link>,
    tasks: Arc<Tasks>,
    /// Room for messages on their way.
    room: Semaphore,
}

impl RedisBroker {
    /// Connects and logs in.
    ///
    /// # Errors
    ///
    /// When the configuration makes no sense, Redis cannot be reached, or refuses the user.
    pub async fn connect(config: RedisConfig) -> Result<Self> {
        let dialer = Arc::new(Dialer::new(&config)?);
        let link = Link::new(dialer.clone(), config.response_timeout, config.publish_timeout);
        link.open().await?;
        Ok(Self(Arc::new(Inner {
            dialer,
            link: Arc::new(link),
            tasks: Arc::new(Tasks::here()),
            room: Semaphore::new(config.max_pending.min(Semaphore::MAX_PERMITS)),
            config,
        })))
    }
}

impl Inner {
    fn command(&self, topic: &str, message: &Message) -> Cmd {
        if self.config.pub_sub {
            let payload = envelope::encode(message);
            let mut command = Cmd::with_capacity(3, payload.len() + topic.len() + 16);
            command.arg("PUBLISH").arg(topic).arg(&payload[..]);
            return command;
        }
        let size = message.body.len() * 4 / 3 + topic.len() + 256;
        let mut command = Cmd::with_capacity(8, size);
        command.arg("XADD").arg(self.key(topic));
        if let Some(length) = self.config.max_length {
            command.arg("MAXLEN").arg("~").arg(length);
        }
        command.arg("*");
        entry::write(&mut command, self.config.layout, message);
        command
    }

    fn key(&self, topic: &str) -> String {
        format!("{}{topic}", self.config.prefix)
    }

    /// Waits for room among the messages on their way, and then for the confirmation.
    async fn publish(&self, topic: &str, message: &Message) -> Result<()> {
        if message.body.len() > LARGEST / 4 * 3 - 1024 * 1024 {
            return Err(error::too_large(format_args!(
                "a body of {} bytes is more than Redis takes, which is 512 MiB with all around it",
                message.body.len()
            )));
        }
        let deadline = Instant::now() + self.config.publish_timeout;
        let Ok(_room) = timeout_at(deadline, self.room.acquire()).await else {
            return Err(error::crowded(
                self.link.address(),
                self.config.max_pending,
                self.config.publish_timeout,
            ));
        };
        self.link.request(&self.command(topic, message)).await.map(drop)
    }

    async fn subscribe(&self, topic: &str, options: SubscribeOptions) -> Result<Subscription> {
        let what = format!("the subscription to {topic} at redis");
        if self.config.pub_sub {
            if let Some(queue) = options.queue {
                return Err(error::refused(format_args!(
                    "channels have no queues such as {queue}; leave it out, or use streams (`pub_sub` not set)"
                )));
            }
            let source = ChannelSource::new(
                self.dialer.clone(),
                topic.into(),
                self.config.response_timeout,
                self.config.max_pending,
            );
            return Subscription::follow(what, source).await;
        }
        let member = Member::new(Membership {
            link: self.link.clone(),
            tasks: self.tasks.clone(),
            topic: Text::from(topic),
            key: self.key(topic),
            queue: options.queue,
            claim_after: self.config.claim_after,
            retention: self.config.retention,
        });
        let source = StreamSource::new(
            member,
            self.dialer.clone(),
            self.config.response_timeout,
            options.concurrency,
        );
        Subscription::follow(what, source).await
    }
}

#[async_trait]
impl Broker for RedisBroker {
    fn name(&self) -> &str {
        "redis"
    }

    async fn publish(&self, topic: &str, message: Message) -> Result<()> {
        let published = self.0.publish(topic, &message).await;
        published.map_err(|problem| problem.context(format_args!("{topic} was not published")))
    }

    async fn subscribe(&self, topic: &str, options: SubscribeOptions) -> Result<Subscription> {
        let subscribed = self.0.subscribe(topic, options).await;
        subscribed.map_err(|problem| problem.context(format_args!("{topic} was not subscribed to")))
    }

    /// Waits until events that were dropped are given back, and subscribers that left are signed off.
    async fn flush(&self) -> Result<()> {
        self.0.tasks.settled().await;
        Ok(())
    }
}

impl fmt::Debug for RedisBroker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RedisBroker")
            .field("address", &self.0.link.address())
            .field("pub_sub", &self.0.config.pub_sub)
            .finish_non_exhaustive()
    }
}
