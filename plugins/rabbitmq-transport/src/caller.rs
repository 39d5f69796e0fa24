//! The calling end of the connection: one queue for all answers, told apart by the calls' ids.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, ExchangeDeclareOptions, QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Consumer, ExchangeKind};
use micro_core::Result;
use micro_rabbitmq_connection::{Connection, Outfit};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::head::Head;
use crate::sender::Sender;

/// How many messages RabbitMQ gives out before it is told that some were taken …
pub(crate) const PREFETCH: u16 = 1024;
/// … which is after so many.
const TOLD_AFTER: u64 = 128;

/// What comes for a call.
pub(crate) enum Incoming {
    Message(Box<Head>, Bytes),
    /// Nobody listens at the address.
    Returned,
}

/// What is needed of each connection.
pub(crate) struct Calling {
    pub(crate) exchange: ShortString,
    pub(crate) is_durable: bool,
}

/// A connection to call over.
pub(crate) struct Caller {
    pub(crate) sender: Arc<Sender>,
    pub(crate) reply_to: ShortString,
    calls: Arc<Calls>,
    _task: AbortOnDropHandle<()>,
}

#[async_trait]
impl Outfit for Calling {
    type Made = Caller;

    async fn make(&self, connection: &Connection) -> Result<Caller> {
        let calls = Arc::new(Calls::default());
        let of_returned = calls.clone();
        let sender = Sender::open(connection, move |message| {
            if let Some(id) = message.properties.correlation_id() {
                of_returned.hand(id.as_str(), Incoming::Returned);
            }
        })
        .await?;
        let channel = connection.channel().await?;
        declare(connection, &channel, &self.exchange, self.is_durable).await?;
        let reply_to = ShortString::from(format!("replyTo-{}", Uuid::new_v4()));
        let options = QueueDeclareOptions {
            exclusive: true,
            auto_delete: true,
            ..QueueDeclareOptions::default()
        };
        let consumer = consume(connection, &channel, &reply_to, options).await?;
        let task = AbortOnDropHandle::new(tokio::spawn(dispatch(channel, consumer, calls.clone())));
        Ok(Caller {
            sender,
            reply_to,
            calls,
            _task: task,
        })
    }

    fn is_usable(&self, caller: &Caller) -> bool {
        caller.sender.is_usable() && !caller.calls.lock().is_over
    }
}

/// Declares the exchange that requests go through.
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

/// Declares a queue and takes what comes in it.
pub(crate) async fn consume(
    connection: &Connection,
    channel: &Channel,
    queue: &ShortString,
    options: QueueDeclareOptions,
) -> Result<Consumer> {
    let failed = |problem| connection.failed(format_args!("using the queue {queue}"), &problem);
    channel
        .basic_qos(PREFETCH, BasicQosOptions::default())
        .await
        .map_err(failed)?;
    channel
        .queue_declare(queue.clone(), options, FieldTable::default())
        .await
        .map_err(failed)?;
    let only = BasicConsumeOptions {
        exclusive: true,
        ..BasicConsumeOptions::default()
    };
    let tag = ShortString::from(Uuid::new_v4().to_string());
    let consumer = channel.basic_consume(queue.clone(), tag, only, FieldTable::default());
    consumer.await.map_err(failed)
}

/// Tells RabbitMQ now and then that what it gave out was taken.
pub(crate) struct Receipts {
    taken: u64,
}

impl Receipts {
    pub(crate) fn new() -> Self {
        Self { taken: 0 }
    }

    pub(crate) fn taken(&mut self, channel: &Channel, delivery: &Delivery) {
        self.taken += 1;
        if self.taken.is_multiple_of(TOLD_AFTER) {
            let all_so_far = BasicAckOptions { multiple: true };
            let _ = channel
                .basic_ack(delivery.delivery_tag, all_so_far)
                .now_or_never();
        }
    }
}

/// Hands what arrives to the calls, until the connection is lost.
async fn dispatch(channel: Channel, mut consumer: Consumer, calls: Arc<Calls>) {
    // Dropped also when the task is: the calls then know that no answer will come.
    let over = Over(calls.clone());
    let mut receipts = Receipts::new();
    while let Some(Ok(mut delivery)) = consumer.next().await {
        receipts.taken(&channel, &delivery);
        let head = Box::new(Head::read(&delivery.properties));
        let body = Bytes::from(std::mem::take(&mut delivery.data));
        if let Some(id) = delivery.properties.correlation_id() {
            calls.hand(id.as_str(), Incoming::Message(head, body));
        }
    }
    drop(over);
}

/// The calls that wait for something.
#[derive(Default)]
struct Calls(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    calls: HashMap<String, mpsc::Sender<Incoming>>,
    is_over: bool,
}

impl Calls {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands on what came, or drops it where nobody waits. A call that takes nothing is cut off: it finds the end of
    /// what came for it.
    fn hand(&self, id: &str, incoming: Incoming) {
        let mut waiting = self.lock();
        let Some(call) = waiting.calls.get(id) else { return };
        if call.try_send(incoming).is_err() {
            waiting.calls.remove(id);
        }
    }
}

struct Over(Arc<Calls>);

impl Drop for Over {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.is_over = true;
        waiting.calls.clear();
    }
}

/// A call's place among those that wait for something. Its end says that the connection is lost, or that more came than
/// was taken.
pub(crate) struct Inbox {
    calls: Arc<Calls>,
    pub(crate) id: ShortString,
    receiver: mpsc::Receiver<Incoming>,
}

impl Caller {
    /// A place for a call by an id of its own, where so many messages may wait.
    pub(crate) fn open(&self, room: usize) -> Inbox {
        let id = Uuid::new_v4().to_string();
        let (sender, receiver) = mpsc::channel(room);
        let mut waiting = self.calls.lock();
        if !waiting.is_over {
            waiting.calls.insert(id.clone(), sender);
        }
        Inbox {
            calls: self.calls.clone(),
            id: id.into(),
            receiver,
        }
    }
}

impl Inbox {
    /// What comes next. May be cancelled; nothing is lost then.
    pub(crate) async fn next(&mut self) -> Option<Incoming> {
        self.receiver.recv().await
    }

    /// Whether the connection is lost; otherwise more came than was taken.
    pub(crate) fn is_lost(&self) -> bool {
        self.calls.lock().is_over
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.calls.lock().calls.remove(self.id.as_str());
    }
}
