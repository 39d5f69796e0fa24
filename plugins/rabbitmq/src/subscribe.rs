//! Subscribing: a channel, a queue and a consumer of its own for each subscription.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions,
    QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Consumer};
use micro_core::broker::{Acknowledge, Event, EventSource, Remainder};
use micro_core::{Error, ErrorKind, Result, Text};
use micro_rabbitmq_connection::{Connection, Link, Role, Up};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::message;
use crate::pattern;
use crate::publish;
use crate::queues::Name;

/// After how long an interrupted subscription tells of it.
const TELLING: Duration = Duration::from_millis(500);
/// How long after a failure the loss of the connection that caused it is surely known.
const KNOWN: Duration = Duration::from_secs(1);
/// How long a subscription rests after it gave back an event of another topic.
const STRAYED: Duration = Duration::from_millis(5);
/// How many events of other topics it may hold then.
const SPARE: u16 = 1000;

/// What a subscription asks RabbitMQ for.
pub(crate) struct Wanted {
    pub(crate) topic: Text,
    pub(crate) exchange: Option<ShortString>,
    pub(crate) is_exchange_durable: bool,
    /// Empty: RabbitMQ gives it a name.
    pub(crate) queue: ShortString,
    pub(crate) options: QueueDeclareOptions,
    pub(crate) arguments: FieldTable,
    pub(crate) prefetch: u16,
    pub(crate) requeue_rejected: bool,
    /// Whether subscribers of other topics may have put theirs into the same queue.
    pub(crate) may_stray: bool,
    /// How long subscribing may take at first.
    pub(crate) limit: Duration,
}

/// A subscription to a topic, across connections.
pub(crate) struct Consuming {
    wanted: Wanted,
    link: Arc<Link<()>>,
    current: Option<Current>,
    has_begun: bool,
    /// Whether trouble was told since it last worked.
    has_told: bool,
    has_strayed: bool,
    /// How many more events it takes ahead since then.
    spare: u16,
    _name: Option<Name>,
}

/// A consumer on a channel of its own. What it holds and nobody took goes back when it is dropped.
struct Current {
    channel: Arc<Channel>,
    consumer: Consumer,
    is_cancelled: bool,
}

impl Consuming {
    pub(crate) fn new(wanted: Wanted, link: Arc<Link<()>>, name: Option<Name>) -> Self {
        Self {
            wanted,
            link,
            current: None,
            has_begun: false,
            has_told: false,
            has_strayed: false,
            spare: 0,
            _name: name,
        }
    }

    async fn subscribe(&self) -> Result<Current> {
        let mut up = self.link.up().await;
        loop {
            let subscribed = tokio::select! {
                biased;
                subscribed = self.wanted.consume(&up.connection, self.spare) => subscribed,
                // The client does not always answer what it is asked while its connection is being lost.
                next = self.link.after(&up) => {
                    up = next;
                    continue;
                }
            };
            let is_lost = match &subscribed {
                Err(error) => error.kind() == ErrorKind::Unavailable && self.is_lost(&up).await,
                Ok(_) => false,
            };
            if !is_lost {
                return subscribed;
            }
            // Nobody is told of a connection that was lost just now: there will be another.
            up = self.link.after(&up).await;
        }
    }

    /// Whether a connection is lost on which something failed. The failure may be told before the loss is known.
    async fn is_lost(&self, up: &Arc<Up<()>>) -> bool {
        !up.connection.is_up() || timeout(KNOWN, self.link.after(up)).await.is_ok()
    }

    fn event(&self, channel: Arc<Channel>, mut delivery: Delivery) -> Event {
        let (message, deliveries) = message::received(&mut delivery);
        let topic = match delivery.routing_key.as_str() {
            // Nearly always the same, which costs nothing to clone.
            topic if topic == self.wanted.topic.as_str() => self.wanted.topic.clone(),
            topic => Text::from(topic),
        };
        Event::new(topic, message)
            .with_deliveries(deliveries)
            .with_acknowledge(GivenOut {
                channel,
                tag: delivery.delivery_tag,
                requeue_rejected: self.wanted.requeue_rejected,
                is_decided: false,
            })
    }

    /// Gives back what was published to a topic that is not this subscription's.
    async fn give_back(&mut self, channel: &Channel, delivery: &Delivery) {
        give_back(channel, delivery.delivery_tag);
        if !std::mem::replace(&mut self.has_strayed, true) {
            tracing::warn!(
                queue = self.wanted.queue.as_str(),
                topic = %self.wanted.topic,
                of = delivery.routing_key.as_str(),
                "the queue holds events of another topic, which its other members have to take; let the topics have \
                 queues of different names, or set `queues.names` to `PerTopic` everywhere"
            );
        }
        if self.spare == 0 {
            self.make_room().await;
        }
        sleep(STRAYED).await;
    }

    /// Takes more events ahead from now on. Two subscribers that hold nothing but each other's events have no room for
    /// what the other gives back, and would get their own back for ever.
    async fn make_room(&mut self) {
        if let Some(up) = self.link.now()
            && let Ok(current) = self.wanted.consume(&up.connection, SPARE).await
        {
            // The old one goes after the new one came, so that the queue always has a subscriber.
            self.current = Some(current);
            self.spare = SPARE;
        }
    }

    fn strays(&self, delivery: &Delivery) -> bool {
        let is_ours = |exchange: &ShortString| delivery.exchange == *exchange;
        self.wanted.may_stray
            && self.wanted.exchange.as_ref().is_some_and(is_ours)
            && !pattern::matches(&self.wanted.topic, delivery.routing_key.as_str())
    }
}

impl Wanted {
    /// Declares, consumes and binds, in Go Micro's order.
    async fn consume(&self, connection: &Connection, spare: u16) -> Result<Current> {
        let channel = connection.channel().await?;
        let failed = |doing: &str, problem: lapin::Error| {
            connection.failed(format_args!("{doing} for {}", self.topic), &problem)
        };
        channel
            .basic_qos(self.prefetch.saturating_add(spare), BasicQosOptions::default())
            .await
            .map_err(|problem| failed("limiting what is given out", problem))?;
        if let Some(exchange) = &self.exchange {
            // The publishing connection does so too, and may not be back yet.
            publish::declare(connection, &channel, exchange, self.is_exchange_durable).await?;
        }
        let doing = format!("declaring the queue {:?}", self.queue.as_str());
        let queue = channel
            .queue_declare(self.queue.clone(), self.options, self.arguments.clone())
            .await
            .map_err(|problem| failed(&doing, problem))?;
        let tag = Uuid::new_v4().to_string();
        let consumer = channel
            .basic_consume(
                queue.name().clone(),
                tag.into(),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            )
            .await
            .map_err(|problem| failed("subscribing", problem))?;
        let current = Current {
            channel: Arc::new(channel),
            consumer,
            is_cancelled: false,
        };
        if let Some(exchange) = &self.exchange {
            let channel = &current.channel;
            let key = message::short("a topic", &self.topic)?;
            channel
                .queue_bind(
                    queue.name().clone(),
                    exchange.clone(),
                    key,
                    QueueBindOptions::default(),
                    FieldTable::default(),
                )
                .await
                .map_err(|problem| failed("binding the queue", problem))?;
        }
        Ok(current)
    }
}

#[async_trait]
impl EventSource for Consuming {
    async fn begin(&mut self) -> Result<()> {
        self.current = None;
        let limit = match (self.has_begun, self.has_told) {
            (false, _) => self.wanted.limit,
            (true, false) => TELLING,
            // As long as need be, so that no pause comes in between when the connection is back.
            (true, true) => Duration::MAX,
        };
        self.has_told = true;
        let subscribed = match timeout(limit, self.subscribe()).await {
            Ok(subscribed) => subscribed,
            Err(_) => Err(self.link.late("subscribing", limit)),
        };
        self.current = Some(subscribed?);
        self.has_told = false;
        self.has_begun = true;
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            let Some(current) = &mut self.current else {
                return Err(ended("is not there"));
            };
            let delivery = match current.consumer.next().await {
                Some(Ok(delivery)) => delivery,
                Some(Err(problem)) => return Err(ended(&problem.to_string())),
                None if current.is_cancelled => return Ok(None),
                None => {
                    return Err(ended(
                        "was cancelled by RabbitMQ: its queue was deleted, or moved to another node",
                    ));
                }
            };
            let channel = current.channel.clone();
            if !self.strays(&delivery) {
                return Ok(Some(self.event(channel, delivery)));
            }
            self.give_back(&channel, &delivery).await;
        }
    }

    async fn drain(&mut self) -> Result<Remainder> {
        let Some(current) = &mut self.current else {
            return Ok(Remainder::Nothing);
        };
        current.is_cancelled = true;
        let tag = current.consumer.tag();
        let cancelled = current
            .channel
            .basic_cancel(tag, BasicCancelOptions::default())
            .await;
        cancelled.map_err(|problem| ended(&problem.to_string()))?;
        Ok(Remainder::Arrived)
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        // The channel stays open as long as events of it are being handled.
        while let Some(Some(Ok(delivery))) = self.consumer.next().now_or_never() {
            give_back(&self.channel, delivery.delivery_tag);
        }
    }
}

fn give_back(channel: &Channel, tag: u64) {
    let _ = channel
        .basic_reject(tag, BasicRejectOptions { requeue: true })
        .now_or_never();
}

fn ended(why: &str) -> Error {
    Error::unavailable(Role::Broker.id(), format!("rabbitmq: the consumer {why}"))
}

/// What a queue needs beyond its name.
pub(crate) fn argument(arguments: &mut FieldTable, name: &str, value: AMQPValue) {
    arguments.insert(name.into(), value);
}

/// An event that was given out.
struct GivenOut {
    channel: Arc<Channel>,
    tag: u64,
    requeue_rejected: bool,
    is_decided: bool,
}

/// What the client says when it is first asked: it queues the answer then, and AMQP confirms none.
fn told(answer: Option<lapin::Result<()>>) -> Result<()> {
    let Some(Err(problem)) = answer else {
        return Ok(());
    };
    Err(Error::unavailable(
        Role::Broker.id(),
        format!("rabbitmq could not be told what became of an event, and gives it out again: {problem}"),
    ))
}

#[async_trait]
impl Acknowledge for GivenOut {
    async fn acknowledge(mut self: Box<Self>) -> Result<()> {
        self.is_decided = true;
        told(
            self.channel
                .basic_ack(self.tag, BasicAckOptions::default())
                .now_or_never(),
        )
    }

    async fn reject(mut self: Box<Self>, _: &Error) -> Result<()> {
        self.is_decided = true;
        let options = BasicRejectOptions {
            requeue: self.requeue_rejected,
        };
        told(self.channel.basic_reject(self.tag, options).now_or_never())
    }
}

impl Drop for GivenOut {
    fn drop(&mut self) {
        if !self.is_decided {
            give_back(&self.channel, self.tag);
        }
    }
}
