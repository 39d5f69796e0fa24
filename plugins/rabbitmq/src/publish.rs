//! Publishing: many messages on their way at once, each confirmed, on one channel.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use lapin::options::{BasicPublishOptions, ExchangeDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, ExchangeKind};
use micro_core::{Error, Result};
use micro_rabbitmq_connection::{Connection, Link, Outfit, PublishChannel, Role, Up};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::config::RabbitmqConfig;

/// Declares the exchange, if there is one, and opens the channel to publish on.
pub(crate) struct Declaring {
    exchange: Option<ShortString>,
    is_durable: bool,
    confirms: bool,
}

/// The channel to publish on.
pub(crate) struct Publishing {
    channel: PublishChannel,
    confirms: bool,
}

impl Declaring {
    pub(crate) fn new(config: &RabbitmqConfig) -> Self {
        Self {
            exchange: config.exchange.as_deref().map(Into::into),
            is_durable: config.durable.exchange,
            confirms: config.confirms,
        }
    }
}

#[async_trait]
impl Outfit for Declaring {
    type Made = Publishing;

    async fn make(&self, connection: &Connection) -> Result<Publishing> {
        let publishing = Publishing::open(connection, self.confirms).await?;
        if let Some(exchange) = &self.exchange {
            declare(
                connection,
                publishing.channel.channel(),
                exchange,
                self.is_durable,
            )
            .await?;
        }
        Ok(publishing)
    }

    fn is_usable(&self, publishing: &Publishing) -> bool {
        publishing.channel.is_usable()
    }
}

/// Declares the exchange that events go through.
pub(crate) async fn declare(
    connection: &Connection,
    channel: &Channel,
    exchange: &ShortString,
    durable: bool,
) -> Result<()> {
    let options = ExchangeDeclareOptions {
        durable,
        ..ExchangeDeclareOptions::default()
    };
    channel
        .exchange_declare(
            exchange.clone(),
            ExchangeKind::Topic,
            options,
            FieldTable::default(),
        )
        .await
        .map_err(|problem| connection.failed(format_args!("declaring the exchange {exchange}"), &problem))
}

impl Publishing {
    async fn open(connection: &Connection, confirms: bool) -> Result<Self> {
        let channel = PublishChannel::open(connection, confirms).await?;
        Ok(Self { channel, confirms })
    }

    /// Sends a message, and waits until it is confirmed.
    async fn send(&self, parcel: &Parcel) -> lapin::Result<Confirmation> {
        let (exchange, topic) = (parcel.exchange.clone(), parcel.topic.clone());
        let options = BasicPublishOptions::default();
        let properties = parcel.properties.clone();
        let sending = self
            .channel
            .publish(exchange, topic, options, &parcel.body, properties);
        sending.await?.await
    }
}

/// A message and where it goes.
pub(crate) struct Parcel {
    pub(crate) exchange: ShortString,
    pub(crate) topic: ShortString,
    pub(crate) properties: BasicProperties,
    /// The bytes that the headers take.
    pub(crate) head: usize,
    pub(crate) body: Bytes,
}

type Sending = Pin<Box<dyn Future<Output = lapin::Result<Confirmation>> + Send>>;

/// The publishing end of a broker.
pub(crate) struct Publisher {
    link: Link<Publishing>,
    room: Semaphore,
    limit: std::time::Duration,
    abandoned: Abandoned,
}

impl Publisher {
    pub(crate) async fn connect(config: &RabbitmqConfig) -> Result<Self> {
        let link = Link::connect(config.server.clone(), Role::Broker, Declaring::new(config)).await?;
        Ok(Self {
            link,
            room: Semaphore::new(config.max_pending.min(Semaphore::MAX_PERMITS)),
            limit: config.publish_timeout,
            abandoned: Abandoned {
                most: config.max_pending,
                sendings: Mutex::default(),
            },
        })
    }

    /// Publishes, over lost connections if need be.
    pub(crate) async fn publish(&self, parcel: Parcel) -> Result<()> {
        self.abandoned.sweep();
        match timeout(self.limit, self.deliver(Arc::new(parcel))).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.link.late("publishing", self.limit)),
        }
    }

    async fn deliver(&self, parcel: Arc<Parcel>) -> Result<()> {
        let _room = self.room.acquire().await;
        let mut up = self.link.up().await;
        let most = up.connection.longest_head();
        if parcel.head > most {
            let size = parcel.head;
            return Err(Error::too_large(
                Role::Broker.id(),
                format!(
                    "the headers have {size} bytes, and RabbitMQ's frame_max leaves {most} for them; use the body"
                ),
            ));
        }
        loop {
            let problem = match self.send(&up, &parcel).await {
                Ok(confirmation) => return taken(&up, confirmation),
                Err(problem) => problem,
            };
            let closed = up;
            up = self.link.after(&closed).await;
            // Some message closed the channel. Whose it was shows on a channel of its own.
            if problem.is_amqp_soft_error() {
                return self.send_alone(up, &parcel).await;
            }
        }
    }

    async fn send(&self, up: &Arc<Up<Publishing>>, parcel: &Arc<Parcel>) -> lapin::Result<Confirmation> {
        let (up, parcel) = (up.clone(), parcel.clone());
        let mut sending = OrAbandoned {
            sending: Some(Box::pin(async move { up.send(&parcel).await })),
            abandoned: &self.abandoned,
        };
        let outcome = poll_fn(|context| match &mut sending.sending {
            Some(sending) => sending.as_mut().poll(context),
            None => Poll::Pending,
        })
        .await;
        sending.sending = None;
        outcome
    }

    async fn send_alone(&self, mut up: Arc<Up<Publishing>>, parcel: &Parcel) -> Result<()> {
        loop {
            let sent = match Publishing::open(&up.connection, up.confirms).await {
                Ok(alone) => alone.send(parcel).await,
                Err(_) => {
                    up = self.link.after(&up).await;
                    continue;
                }
            };
            match sent {
                Ok(confirmation) => return taken(&up, confirmation),
                Err(problem) if problem.is_amqp_soft_error() => {
                    return Err(up.connection.failed("publishing", &problem));
                }
                Err(_) => up = self.link.after(&up).await,
            }
        }
    }
}

fn taken(up: &Up<Publishing>, confirmation: Confirmation) -> Result<()> {
    match confirmation {
        Confirmation::Ack(_) | Confirmation::NotRequested => Ok(()),
        Confirmation::Nack(_) => Err(Error::unavailable(
            Role::Broker.id(),
            format!(
                "rabbitmq at {} refused the message: a queue is full and refuses, or could not store it; let its \
                 subscribers catch up",
                up.connection.node()
            ),
        )),
    }
}

/// Messages on their way that nobody waits for any more. The client keeps something of each for ever unless it is
/// asked how it ended.
struct Abandoned {
    most: usize,
    sendings: Mutex<VecDeque<Sending>>,
}

/// How many abandoned messages a later one asks for.
const ASKED: usize = 4;

impl Abandoned {
    fn sweep(&self) {
        let mut sendings = self.sendings.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..ASKED.min(sendings.len()) {
            let Some(mut sending) = sendings.pop_front() else {
                return;
            };
            if (&mut sending).now_or_never().is_none() {
                sendings.push_back(sending);
            }
        }
    }

    fn keep(&self, sending: Sending) {
        let mut sendings = self.sendings.lock().unwrap_or_else(PoisonError::into_inner);
        if sendings.len() >= self.most {
            sendings.pop_front();
        }
        sendings.push_back(sending);
    }
}

/// A message on its way, which is kept when the one who waits for it goes away.
struct OrAbandoned<'a> {
    sending: Option<Sending>,
    abandoned: &'a Abandoned,
}

impl Drop for OrAbandoned<'_> {
    fn drop(&mut self) {
        if let Some(sending) = self.sending.take() {
            self.abandoned.keep(sending);
        }
    }
}
