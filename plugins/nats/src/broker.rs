//! The broker itself: publishing, and which kind of subscription there is.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use async_nats::Subject;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use async_trait::async_trait;
use bytes::Bytes;
use micro_core::broker::{Message, SubscribeOptions, Subscription, envelope};
use micro_core::{Broker, Error, Result, retry_pause};
use micro_nats_connection::{NatsConnection, Role, check_subject};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::config::NatsConfig;
use crate::confirm::{Confirmations, Unconfirmed};
use crate::error;
use crate::plain::Plain;
use crate::pull::Pull;
use crate::receipt::Receipts;
use crate::stream::Streams;

/// Go Micro's broker over NATS. Clones share the connection, which ends with the last clone and subscription.
#[derive(Clone)]
pub struct NatsBroker(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) connection: NatsConnection,
    pub(crate) config: NatsConfig,
    /// Room for publishes that are not confirmed yet.
    room: Semaphore,
    pub(crate) durable: Option<Durable>,
}

/// What there is beside the connection where JetStream keeps the events.
pub(crate) struct Durable {
    pub(crate) context: Context,
    confirmations: Confirmations,
    pub(crate) streams: Streams,
    pub(crate) receipts: Arc<Receipts>,
    /// What subscriptions that ended still have to say.
    leaving: Mutex<JoinSet<()>>,
}

impl NatsBroker {
    /// Connects, and sees to the stream where one is configured.
    ///
    /// # Errors
    ///
    /// When the configuration makes no sense, no server answers, the login is wrong, or JetStream is wanted and is not
    /// there.
    pub async fn connect(config: NatsConfig) -> Result<Self> {
        config.check()?;
        let max_pending = config.max_pending.min(Semaphore::MAX_PERMITS);
        let connection = NatsConnection::connect(&config.servers, Role::Broker).await?;
        let durable = match &config.jetstream {
            None => None,
            Some(jetstream) => {
                let context = ContextBuilder::new()
                    .timeout(config.publish_timeout)
                    .build(connection.client().clone());
                let streams = Streams::open(context.clone(), jetstream.clone(), connection.servers()).await?;
                Some(Durable {
                    context,
                    confirmations: Confirmations::new(connection.clone()),
                    streams,
                    receipts: Receipts::start(connection.client().clone(), jetstream.ack_wait),
                    leaving: Mutex::default(),
                })
            }
        };
        Ok(Self(Arc::new(Shared {
            room: Semaphore::new(max_pending),
            connection,
            config,
            durable,
        })))
    }
}

impl Shared {
    /// Sends until the server has it.
    async fn send(&self, topic: &str, payload: Bytes, problem: &mut Option<Error>) -> Result<()> {
        let _room = self.room.acquire().await;
        let subject = Subject::from(topic);
        let durable = self
            .durable
            .as_ref()
            .map(|durable| (durable, durable.confirmations.id()));
        let mut failures = 0;
        loop {
            self.connection.up().await;
            self.connection.check_publish(topic)?;
            let sent = match &durable {
                Some((durable, id)) => self.send_durable(durable, &subject, &payload, id).await,
                None => self.send_plain(&subject, &payload).await,
            };
            match sent {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == micro_core::ErrorKind::Unavailable => {
                    *problem = Some(error);
                    // Once at once: the connection may have come back, or the stream been made only now.
                    if failures > 0 && self.connection.is_up() {
                        sleep(retry_pause(failures)).await;
                    }
                    failures += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// NATS itself confirms nothing, so what comes behind is waited for.
    async fn send_plain(&self, subject: &Subject, payload: &Bytes) -> Result<()> {
        let published = self
            .connection
            .client()
            .publish(subject.clone(), payload.clone())
            .await;
        published.map_err(|_| self.connection.gone())?;
        self.connection.settled().await?;
        self.connection.check_publish(subject)
    }

    async fn send_durable(
        &self,
        durable: &Durable,
        subject: &Subject,
        payload: &Bytes,
        id: &str,
    ) -> Result<()> {
        let confirmations = &durable.confirmations;
        let confirmed = confirmations.publish(subject.clone(), payload.clone(), id);
        match confirmed.await {
            Ok(()) => Ok(()),
            Err(Unconfirmed::Lost) => Err(self.connection.gone()),
            Err(Unconfirmed::NoStream) => {
                durable.streams.of_topic(subject).await?;
                Err(self.jetstream(subject, "its stream was made only now"))
            }
            Err(Unconfirmed::TooLarge) => {
                let limit = self.connection.client().max_payload();
                Err(error::too_large(
                    subject,
                    payload.len(),
                    limit,
                    self.connection.servers(),
                ))
            }
            Err(Unconfirmed::Refused(why)) => Err(self.jetstream(subject, why)),
        }
    }

    fn jetstream(&self, topic: &str, problem: impl fmt::Display) -> Error {
        error::jetstream(
            format_args!("publishing to {topic:?}"),
            self.connection.servers(),
            problem,
            "is the stream full or without a leader? It is tried again.",
        )
    }

    /// Runs what a subscription that ended still has to say, for as long as the broker lives.
    pub(crate) fn see_off(&self, last: impl Future<Output = ()> + Send + 'static) {
        let (Some(durable), Ok(runtime)) = (&self.durable, tokio::runtime::Handle::try_current()) else {
            return;
        };
        let mut leaving = durable.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        while leaving.try_join_next().is_some() {}
        leaving.spawn_on(last, &runtime);
    }
}

#[async_trait]
impl Broker for NatsBroker {
    fn name(&self) -> &str {
        "nats"
    }

    async fn publish(&self, topic: &str, message: Message) -> Result<()> {
        check_subject(topic).map_err(|why| error::no_subject("topic", topic, why))?;
        let payload = envelope::encode(&message);
        let shared = &*self.0;
        let limit = shared.connection.client().max_payload();
        if payload.len() > limit {
            return Err(error::too_large(
                topic,
                payload.len(),
                limit,
                shared.connection.servers(),
            ));
        }
        let patience = shared.config.publish_timeout;
        let mut problem = None;
        match timeout(patience, shared.send(topic, payload, &mut problem)).await {
            Ok(sent) => sent,
            Err(_) => Err(error::late(
                topic,
                patience,
                shared.connection.is_up(),
                problem.as_ref(),
                shared.connection.servers(),
            )),
        }
    }

    async fn subscribe(&self, topic: &str, options: SubscribeOptions) -> Result<Subscription> {
        check_subject(topic).map_err(|why| error::no_subject("topic", topic, why))?;
        if let Some(queue) = &options.queue
            && (queue.is_empty()
                || queue
                    .chars()
                    .any(|char| char.is_whitespace() || char.is_control()))
        {
            return Err(error::no_subject(
                "queue",
                queue,
                "is empty or has a space, which no queue of NATS has",
            ));
        }
        let what = format!(
            "the subscription to {topic} at NATS at {}",
            self.0.connection.servers()
        );
        match self.0.durable {
            None => Subscription::follow(what, Plain::new(self.0.clone(), topic, options.queue)).await,
            Some(_) => Subscription::follow(what, Pull::new(self.0.clone(), topic, &options)).await,
        }
    }

    async fn flush(&self) -> Result<()> {
        match self.0.durable {
            // Each publish has waited until it was acknowledged.
            Some(_) => Ok(()),
            None => self.0.connection.settled().await,
        }
    }
}

impl fmt::Debug for NatsBroker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("NatsBroker")
            .field("config", &self.0.config)
            .field("connection", &self.0.connection)
            .finish_non_exhaustive()
    }
}
