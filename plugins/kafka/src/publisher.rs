//! Publishing: one producer for all publishers, and what becomes of what they gave it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use micro_core::broker::Message;
use micro_core::{Result, Text};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{ClientContext, message::OwnedHeaders};
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use crate::config::{Format, KafkaConfig};
use crate::context::{self, Said};
use crate::{error, record};

/// What librdkafka tells of what was published.
#[derive(Default)]
pub(crate) struct Deliveries {
    said: Said,
    /// Publishers that wait for room in librdkafka's queue.
    waiting: AtomicUsize,
    room: Notify,
}

type Told = std::result::Result<(), Code>;

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        context::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        context::note(&self.said, &error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<oneshot::Sender<Told>>;

    fn delivery(&self, result: &DeliveryResult<'_>, publisher: Self::DeliveryOpaque) {
        let told = result
            .as_ref()
            .map(drop)
            .map_err(|(problem, _)| context::code(problem));
        // Who gave up waiting does not want to know.
        let _ = publisher.send(told);
        if self.waiting.load(Ordering::Acquire) > 0 {
            self.room.notify_one();
        }
    }
}

/// librdkafka's producer with its thread. Closing it takes a while, so that is done where blocking is allowed.
pub(crate) struct Producer(Option<ThreadedProducer<Deliveries>>);

impl Producer {
    fn new(client: &ClientConfig) -> Result<Self> {
        let producer = client.create_with_context(Deliveries::default());
        producer
            .map(|producer| Self(Some(producer)))
            .map_err(cannot_begin)
    }

    pub(crate) fn client(&self) -> &rdkafka::client::Client<Deliveries> {
        self.producer().client()
    }

    /// Why the last connection failed, or what else was said last.
    pub(crate) fn reason(&self) -> Option<String> {
        self.deliveries().said.reason()
    }

    #[expect(clippy::expect_used, reason = "taken when dropped and not before")]
    fn producer(&self) -> &ThreadedProducer<Deliveries> {
        self.0.as_ref().expect("a producer that was not dropped")
    }

    fn deliveries(&self) -> &Deliveries {
        self.producer().client().context()
    }

    /// Whether it will publish nothing any more, such as after the servers lost what they knew of it.
    fn is_broken(&self) -> bool {
        self.client().fatal_error().is_some()
    }

    /// Hands a record to librdkafka. None: there is no room.
    fn send(
        &self,
        topic: &str,
        key: Option<&str>,
        value: &[u8],
        headers: &mut Option<OwnedHeaders>,
    ) -> std::result::Result<Option<oneshot::Receiver<Told>>, Code> {
        let (told, result) = oneshot::channel();
        let record = BaseRecord {
            topic,
            partition: None,
            payload: Some(value),
            key: key.map(str::as_bytes),
            timestamp: None,
            headers: headers.take(),
            delivery_opaque: Box::new(told),
        };
        match self.producer().send(record) {
            Ok(()) => Ok(Some(result)),
            Err((problem, record)) => {
                *headers = record.headers;
                match context::code(&problem) {
                    Code::QueueFull => Ok(None),
                    other => Err(other),
                }
            }
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let producer = self.0.take();
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(producer))),
            Err(_) => drop(producer),
        }
    }
}

pub(crate) fn cannot_begin(problem: KafkaError) -> micro_core::Error {
    match problem {
        KafkaError::ClientCreation(why) => error::misconfigured(format!("librdkafka cannot begin: {why}")),
        other => error::misconfigured(format!("librdkafka cannot begin: {other}")),
    }
}

/// Publishes, with a producer that is replaced when it broke.
pub(crate) struct Publisher {
    client: ClientConfig,
    producer: RwLock<Arc<Producer>>,
    servers: String,
    patience: Duration,
    format: Format,
    key_header: Option<Text>,
}

impl Publisher {
    pub(crate) fn new(config: &KafkaConfig, client: ClientConfig) -> Result<Self> {
        Ok(Self {
            producer: RwLock::new(Arc::new(Producer::new(&client)?)),
            client,
            servers: config.named_servers(),
            patience: config.publish_timeout,
            format: config.format,
            key_header: config.key_header.as_deref().map(Text::from),
        })
    }

    pub(crate) fn producer(&self) -> Arc<Producer> {
        self.producer
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until a server answers, or surely none will.
    ///
    /// Blocks.
    pub(crate) fn reach(&self, within: Duration, is_wanted: impl Fn() -> bool) -> Result<()> {
        let producer = self.producer();
        let until = std::time::Instant::now() + within;
        loop {
            // Known as soon as a server has answered.
            if producer
                .client()
                .fetch_cluster_id(Duration::from_millis(250))
                .is_some()
            {
                return Ok(());
            }
            let hopeless = producer.deliveries().said.is_hopeless();
            if hopeless.is_some() || std::time::Instant::now() >= until || !is_wanted() {
                let code = hopeless.unwrap_or(Code::OperationTimedOut);
                return Err(error::failed(
                    "connecting",
                    &self.servers,
                    code,
                    producer.reason(),
                ));
            }
        }
    }

    /// Publishes to a topic that exists.
    pub(crate) async fn publish(&self, topic: &str, message: &Message) -> Result<()> {
        let key = self
            .key_header
            .as_deref()
            .and_then(|name| message.header.get(name));
        let (value, mut headers) = record::write(self.format, message);
        loop {
            let producer = self.producer();
            let told = match self.send(&producer, topic, key, &value, &mut headers).await {
                // The producer is kept until what it was given is decided.
                Ok(result) => result.await.unwrap_or(Err(Code::PurgeQueue)),
                Err(code) => Err(code),
            };
            let Err(code) = told else { return Ok(()) };
            if producer.is_broken() {
                self.renew(&producer)?;
                headers = record::write(self.format, message).1;
                continue;
            }
            let reason = match code {
                Code::MessageSizeTooLarge => Some(format!("the record has {} bytes", value.len())),
                _ => producer.reason(),
            };
            let what = format!("publishing to {topic:?}");
            return Err(error::failed(what, &self.servers, code, reason));
        }
    }

    /// Waits for room where there is none.
    async fn send(
        &self,
        producer: &Producer,
        topic: &str,
        key: Option<&str>,
        value: &[u8],
        headers: &mut Option<OwnedHeaders>,
    ) -> std::result::Result<oneshot::Receiver<Told>, Code> {
        if let Some(result) = producer.send(topic, key, value, headers)? {
            return Ok(result);
        }
        let deliveries = producer.deliveries();
        let _waiting = Waiting::new(&deliveries.waiting);
        loop {
            let mut room = std::pin::pin!(deliveries.room.notified());
            room.as_mut().enable();
            if let Some(result) = producer.send(topic, key, value, headers)? {
                // What made room for this one may have made room for more.
                deliveries.room.notify_one();
                return Ok(result);
            }
            // A delivery that was told just before is no longer waited for, so nobody waits for ever.
            let _ = timeout(Duration::from_millis(50), room).await;
        }
    }

    /// Puts another in the place of a producer that broke, unless somebody did so already.
    fn renew(&self, broken: &Arc<Producer>) -> Result<()> {
        let mut current = self.producer.write().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&current, broken) {
            tracing::warn!(
                reason = broken.reason(),
                "kafka's producer broke and is made anew"
            );
            *current = Arc::new(Producer::new(&self.client)?);
        }
        Ok(())
    }

    /// The error of a message that was not confirmed in time.
    pub(crate) fn late(&self, topic: &str) -> micro_core::Error {
        let what = format!("publishing to {topic:?} was not confirmed, and may have happened");
        error::late(what, &self.servers, self.patience, self.producer().reason())
    }

    /// How many messages wait for their confirmation.
    pub(crate) fn pending(&self) -> i32 {
        self.producer().producer().in_flight_count()
    }
}

/// One that waits for room, until dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
