//! The broker: what of it both ends share.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use micro_core::broker::{Message, SubscribeOptions, Subscription};
use micro_core::{Broker, Error, Result};
use micro_rabbitmq_connection::{Connection, Link, Outfit, Role, header_size};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::config::RabbitmqConfig;
use crate::message;
use crate::publish::{Parcel, Publisher};
use crate::queues::{Name, Taken};
use crate::subscribe::{Consuming, Wanted, argument};

/// Go Micro's RabbitMQ broker. Clones share their connections, which end with the last clone and subscription.
///
/// Publishing and subscribing have a connection each, so that a RabbitMQ that takes no messages for a while still
/// learns what became of the events that it gave out.
#[derive(Clone)]
pub struct RabbitmqBroker(Arc<Shared>);

struct Shared {
    config: RabbitmqConfig,
    exchange: Option<ShortString>,
    publisher: Publisher,
    /// Made for the first subscription.
    consuming: OnceCell<Arc<Link<()>>>,
    queues: Arc<Taken>,
}

/// Nothing but the connection.
struct Bare;

#[async_trait]
impl Outfit for Bare {
    type Made = ();

    async fn make(&self, _: &Connection) -> Result<()> {
        Ok(())
    }
}

impl RabbitmqBroker {
    /// Connects, and declares the exchange.
    ///
    /// # Errors
    ///
    /// When the configuration makes no sense, no node can be reached, the login is refused, or the exchange was declared
    /// otherwise by somebody else.
    pub async fn connect(config: RabbitmqConfig) -> Result<Self> {
        config.check()?;
        let publisher = Publisher::connect(&config).await?;
        Ok(Self(Arc::new(Shared {
            exchange: config.exchange.as_deref().map(Into::into),
            publisher,
            consuming: OnceCell::new(),
            queues: Arc::default(),
            config,
        })))
    }
}

#[async_trait]
impl Broker for RabbitmqBroker {
    fn name(&self) -> &str {
        "rabbitmq"
    }

    async fn publish(&self, topic: &str, message: Message) -> Result<()> {
        let published = match self.0.parcel(topic, message) {
            Ok(parcel) => self.0.publisher.publish(parcel).await,
            Err(error) => Err(error),
        };
        published.map_err(|error| error.context(format_args!("cannot publish to {topic}")))
    }

    async fn subscribe(&self, topic: &str, options: SubscribeOptions) -> Result<Subscription> {
        let subscribed = async {
            let link = self
                .0
                .consuming
                .get_or_try_init(|| self.0.connect_consuming())
                .await?;
            let (wanted, name) = self.0.wanted(topic, &options)?;
            let source = Consuming::new(wanted, link.clone(), name);
            Subscription::follow(format!("the subscription to {topic} at rabbitmq"), source).await
        };
        subscribed
            .await
            .map_err(|error| error.context(format_args!("cannot subscribe to {topic}")))
    }
}

impl Shared {
    async fn connect_consuming(&self) -> Result<Arc<Link<()>>> {
        let link = Link::connect(self.config.server.clone(), Role::Broker, Bare).await?;
        Ok(Arc::new(link))
    }

    fn parcel(&self, topic: &str, message: Message) -> Result<Parcel> {
        let most = self.config.max_message;
        if message.body.len() > most {
            let size = message.body.len();
            return Err(Error::too_large(
                Role::Broker.id(),
                format!("the message has {size} bytes; `max_message` of RabbitmqConfig allows {most}"),
            ));
        }
        Ok(Parcel {
            exchange: self.exchange.clone().unwrap_or_default(),
            topic: message::short("a topic", topic)?,
            head: message
                .header
                .iter()
                .map(|(name, value)| header_size(name, value))
                .sum(),
            properties: message::properties(&message.header, self.config.durable.messages)?,
            body: message.body,
        })
    }

    fn wanted(&self, topic: &str, options: &SubscribeOptions) -> Result<(Wanted, Option<Name>)> {
        let config = &self.config;
        message::short("a topic", topic)?;
        let given = options.queue.as_deref();
        if let (None, Some(given)) = (&self.exchange, given)
            && given != topic
        {
            return Err(Error::bad_request(
                Role::Broker.id(),
                format!(
                    "without an exchange, all subscribers of {topic} share the queue of this name: leave out the queue \
                     {given}, or configure an exchange"
                ),
            ));
        }
        let shared = given.filter(|_| self.exchange.is_some());
        let name = shared.map(|given| self.queues.name(config.queues.names, given, topic));
        let is_plain = |name: &Name| Some(name.text.as_str()) == shared;
        let may_stray = name.as_ref().is_some_and(is_plain);
        let is_named = name.is_some() || self.exchange.is_none();
        let is_durable = config.durable.queues || (config.queues.quorum && is_named);
        let mut arguments = FieldTable::default();
        if let Some(exchange) = &config.queues.dead_letter_exchange {
            let exchange = AMQPValue::LongString(exchange.as_str().into());
            argument(&mut arguments, "x-dead-letter-exchange", exchange);
        }
        if config.queues.quorum && is_named {
            argument(
                &mut arguments,
                "x-queue-type",
                AMQPValue::LongString("quorum".into()),
            );
        }
        let expires = match is_named {
            true => config.queues.unused_for,
            false => Some(config.queues.abandoned_after),
        };
        if let Some(time) = expires.filter(|_| is_durable) {
            let milliseconds = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
            argument(&mut arguments, "x-expires", AMQPValue::LongLongInt(milliseconds));
        }
        let queue = match &name {
            Some(name) => name.text.clone(),
            None if self.exchange.is_none() => topic.to_owned(),
            None if is_durable => {
                format!("micro.subscription-{}", Uuid::new_v4())
            }
            None => String::new(),
        };
        let wanted = Wanted {
            topic: topic.into(),
            exchange: self.exchange.clone(),
            is_exchange_durable: config.durable.exchange,
            queue: message::short("the name of the queue", &queue)?,
            options: QueueDeclareOptions {
                durable: is_durable,
                auto_delete: !is_durable,
                ..QueueDeclareOptions::default()
            },
            arguments,
            prefetch: u16::try_from(options.concurrency.max(1)).unwrap_or(u16::MAX),
            requeue_rejected: config.requeue_rejected,
            may_stray,
            limit: config.publish_timeout,
        };
        Ok((wanted, name))
    }
}

impl fmt::Debug for RabbitmqBroker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RabbitmqBroker")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}
