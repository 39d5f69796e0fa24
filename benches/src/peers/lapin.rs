//! Bare lapin: a queue of requests, and an exclusive one of answers, which are told apart by the requests' numbers.
//!
//! As safe as ours: each message is confirmed, and comes back if it finds no queue; consumers are the only ones of their
//! queues, and RabbitMQ gives them so many messages before it is told, now and then, that they were taken.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::{Announce, Caller, Peer, required};

/// How many messages RabbitMQ gives out before it is told that some were taken …
const PREFETCH: u16 = 1024;
/// … which is after so many.
const TOLD_AFTER: u64 = 128;

pub(crate) struct Lapin;

impl Peer for Lapin {
    type Caller = LapinCaller;

    async fn serve(relay: Option<SocketAddr>, announce: Announce) -> Result<()> {
        let ends = Ends::open(relay, "bench-echo", QueueDeclareOptions::default()).await?;
        let Ends {
            publishing,
            consuming,
            consumer,
            queue,
            _connection,
        } = ends;
        announce(&queue);
        consumer
            .for_each_concurrent(usize::from(PREFETCH), |request| {
                let (publishing, consuming) = (&publishing, &consuming);
                async move {
                    let Ok(request) = request else { return };
                    taken(consuming, &request);
                    // A caller that has gone gets no answer, which says nothing about the server.
                    let _ = answer(publishing, &request).await;
                }
            })
            .await;
        bail!("RabbitMQ has ended the consumer of {queue}")
    }

    async fn connect(address: &str, relay: Option<SocketAddr>, callers: usize) -> Result<Vec<LapinCaller>> {
        let exclusive = QueueDeclareOptions {
            exclusive: true,
            ..QueueDeclareOptions::default()
        };
        let ends = Ends::open(relay, "bench-answers", exclusive).await?;
        let waiting = Arc::new(Waiting::default());
        let mut receiving = JoinSet::new();
        receiving.spawn(hand_out(ends.consuming, ends.consumer, waiting.clone()));
        let shared = Arc::new(Shared {
            publishing: ends.publishing,
            requests: address.into(),
            answers: ends.queue,
            waiting,
            last: AtomicU64::new(0),
            _connection: ends._connection,
            _receiving: receiving,
        });
        Ok((0..callers).map(|_| LapinCaller(shared.clone())).collect())
    }
}

/// A connection with a queue to read, and a channel to publish on.
struct Ends {
    publishing: Channel,
    consuming: Channel,
    consumer: Consumer,
    queue: ShortString,
    _connection: Connection,
}

impl Ends {
    async fn open(relay: Option<SocketAddr>, name: &str, options: QueueDeclareOptions) -> Result<Self> {
        let relay = required(relay)?;
        let url = format!("amqp://{relay}/%2f");
        let connection = Connection::connect(&url, ConnectionProperties::default()).await;
        let connection =
            connection.with_context(|| format!("rabbitmq-raw cannot connect to RabbitMQ at {relay}"))?;
        let publishing = connection.create_channel().await?;
        publishing.confirm_select(ConfirmSelectOptions::default()).await?;
        let consuming = connection.create_channel().await?;
        consuming.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
        let queue = ShortString::from(format!("{name}-{:016x}", fastrand::u64(..)));
        let options = QueueDeclareOptions {
            auto_delete: true,
            ..options
        };
        consuming
            .queue_declare(queue.clone(), options, FieldTable::default())
            .await?;
        let only = BasicConsumeOptions {
            exclusive: true,
            ..BasicConsumeOptions::default()
        };
        let consumer = consuming
            .basic_consume(queue.clone(), "bench".into(), only, FieldTable::default())
            .await?;
        Ok(Self {
            publishing,
            consuming,
            consumer,
            queue,
            _connection: connection,
        })
    }
}

fn taken(channel: &Channel, delivery: &Delivery) {
    if delivery.delivery_tag.is_multiple_of(TOLD_AFTER) {
        let all_so_far = BasicAckOptions { multiple: true };
        // It is queued when it is first asked.
        let _ = channel
            .basic_ack(delivery.delivery_tag, all_so_far)
            .now_or_never();
    }
}

async fn answer(channel: &Channel, request: &Delivery) -> Result<()> {
    let asked = &request.properties;
    if let (Some(queue), Some(number)) = (asked.reply_to(), asked.correlation_id()) {
        let properties = BasicProperties::default().with_correlation_id(number.clone());
        publish(channel, queue.clone(), properties, &request.data).await?;
    }
    Ok(())
}

/// Returns when RabbitMQ has confirmed that the message is in a queue.
async fn publish(
    channel: &Channel,
    queue: ShortString,
    properties: BasicProperties,
    body: &[u8],
) -> Result<()> {
    let mandatory = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let sent = channel.basic_publish("".into(), queue, mandatory, body, properties);
    let confirmation = sent.await?.await?;
    ensure!(
        matches!(confirmation, Confirmation::Ack(None)),
        "RabbitMQ refuses or returns a message"
    );
    Ok(())
}

/// Those who wait for answers.
type Waiting = Mutex<HashMap<String, oneshot::Sender<Bytes>>>;

/// Those who wait find out that nothing more comes when the last of this is dropped.
async fn hand_out(channel: Channel, mut consumer: Consumer, waiting: Arc<Waiting>) {
    while let Some(Ok(mut answer)) = consumer.next().await {
        taken(&channel, &answer);
        let body = Bytes::from(std::mem::take(&mut answer.data));
        let Some(number) = answer.properties.correlation_id() else {
            continue;
        };
        let caller = waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(number.as_str());
        if let Some(caller) = caller {
            let _ = caller.send(body);
        }
    }
    waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// What callers share.
struct Shared {
    publishing: Channel,
    requests: ShortString,
    answers: ShortString,
    waiting: Arc<Waiting>,
    /// The number of the last request.
    last: AtomicU64,
    _connection: Connection,
    _receiving: JoinSet<()>,
}

/// A caller on a connection that it shares.
pub(crate) struct LapinCaller(Arc<Shared>);

impl Caller for LapinCaller {
    async fn call(&mut self, payload: Bytes) -> Result<Bytes> {
        let shared = &self.0;
        let number = shared.last.fetch_add(1, Ordering::Relaxed).to_string();
        let (caller, answer) = oneshot::channel();
        let properties = BasicProperties::default()
            .with_correlation_id(number.as_str().into())
            .with_reply_to(shared.answers.clone());
        shared
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(number, caller);
        publish(&shared.publishing, shared.requests.clone(), properties, &payload).await?;
        answer.await.context("RabbitMQ sends no more answers")
    }
}
