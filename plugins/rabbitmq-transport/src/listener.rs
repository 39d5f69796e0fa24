//! The serving end: a queue of the address' name, and what comes in it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use lapin::options::{BasicCancelOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Consumer};
use micro_core::transport::Listener;
use micro_core::{Handler, Result};
use micro_rabbitmq_connection::{Connection, Link, Outfit, Role};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::caller::{self, Receipts};
use crate::config::RabbitmqTransportConfig;
use crate::error;
use crate::sender::Sender;
use crate::serve::{Calls, Serving};

/// How long callers may take to be told that their listener was dropped.
const FAREWELL: Duration = Duration::from_secs(1);
/// How often it is looked whether the queue of a closing listener is empty.
const LOOK: Duration = Duration::from_millis(20);

pub(crate) async fn listen(
    address: &str,
    handler: Arc<dyn Handler>,
    config: &RabbitmqTransportConfig,
) -> Result<RabbitmqListener> {
    let address = match address.strip_suffix(":0") {
        // As Go Micro does where no address is asked for.
        Some(_) => Uuid::new_v4().to_string(),
        None => address.to_owned(),
    };
    error::check(&address)?;
    let calls = Arc::new(Calls::new(handler, config));
    let closing = CancellationToken::new();
    let receiving = Receiving {
        calls: calls.clone(),
        queue: address.as_str().into(),
        exchange: config.exchange.as_str().into(),
        is_durable: config.durable_exchange,
        closing: closing.clone(),
    };
    let link = Link::connect(config.server.clone(), Role::Transport, receiving).await;
    let link = link.map_err(|error| {
        let what =
            format!("cannot listen at {address}, which another program may do; :0 takes a free address");
        error.context(what)
    })?;
    Ok(RabbitmqListener {
        address,
        link: Some(link),
        calls,
        closing,
    })
}

/// What is needed of each connection.
struct Receiving {
    calls: Arc<Calls>,
    queue: ShortString,
    exchange: ShortString,
    is_durable: bool,
    closing: CancellationToken,
}

/// A connection that is listened on.
struct Received {
    sender: Arc<Sender>,
    _task: AbortOnDropHandle<()>,
}

#[async_trait]
impl Outfit for Receiving {
    type Made = Received;

    async fn make(&self, connection: &Connection) -> Result<Received> {
        let calls = self.calls.clone();
        // An answer that found no queue: the caller is gone.
        let sender = Sender::open(connection, move |message| {
            if let Some(id) = message.properties.correlation_id() {
                calls.cut(id.as_str());
            }
        })
        .await?;
        let channel = connection.channel().await?;
        caller::declare(connection, &channel, &self.exchange, self.is_durable).await?;
        let options = QueueDeclareOptions {
            auto_delete: true,
            ..QueueDeclareOptions::default()
        };
        let consumer = caller::consume(connection, &channel, &self.queue, options).await?;
        let (queue, exchange) = (self.queue.clone(), self.exchange.clone());
        channel
            .queue_bind(
                queue.clone(),
                exchange,
                queue,
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await
            .map_err(|problem| {
                connection.failed(format_args!("binding the queue {}", self.queue), &problem)
            })?;
        let receiver = Receiver {
            channel,
            consumer,
            serving: Serving {
                calls: self.calls.clone(),
                sender: sender.clone(),
            },
            running: JoinSet::new(),
            receipts: Receipts::new(),
        };
        let run = receiver.run(self.queue.clone(), self.exchange.clone(), self.closing.clone());
        Ok(Received {
            sender,
            _task: AbortOnDropHandle::new(tokio::spawn(run)),
        })
    }

    fn is_usable(&self, received: &Received) -> bool {
        received.sender.is_usable()
    }
}

/// Takes what comes for a listener. Calls that run are dropped with it.
struct Receiver {
    channel: Channel,
    consumer: Consumer,
    serving: Serving,
    running: JoinSet<()>,
    receipts: Receipts,
}

impl Receiver {
    async fn run(mut self, queue: ShortString, exchange: ShortString, closing: CancellationToken) {
        let mut is_open = true;
        let is_lost = loop {
            tokio::select! {
                delivery = self.consumer.next() => match delivery {
                    Some(Ok(delivery)) => self.take(delivery),
                    // Streams go on while the queue is there; without it nothing more arrives.
                    _ => break is_open,
                },
                Some(_) = self.running.join_next() => {}
                () = closing.cancelled(), if is_open => {
                    is_open = false;
                    self.unbind(&queue, &exchange).await;
                }
                () = sleep(LOOK), if !is_open && self.running.is_empty() => {
                    if self.is_empty(&queue).await {
                        break false;
                    }
                }
            }
        };
        if !is_lost {
            let tag = self.consumer.tag();
            let _ = self
                .channel
                .basic_cancel(tag, BasicCancelOptions::default())
                .await;
            self.serving.calls.closed.cancel();
        }
        // A lost connection is found out by its link, which makes all anew.
    }

    fn take(&mut self, delivery: lapin::message::Delivery) {
        self.receipts.taken(&self.channel, &delivery);
        if let Some(call) = self.serving.take(delivery) {
            self.running.spawn(call);
        }
    }

    /// From now on requests find nobody, and their callers are told so. What is in the queue already is refused, but for
    /// messages of streams that run.
    async fn unbind(&self, queue: &ShortString, exchange: &ShortString) {
        self.serving.calls.refuse_more();
        let unbound = self.channel.queue_unbind(
            queue.clone(),
            exchange.clone(),
            queue.clone(),
            FieldTable::default(),
        );
        if let Err(problem) = unbound.await {
            tracing::debug!(%queue, %problem, "a closing listener could not be taken from its exchange");
        }
    }

    async fn is_empty(&self, queue: &ShortString) -> bool {
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let found = self
            .channel
            .queue_declare(queue.clone(), passive, FieldTable::default())
            .await;
        found.map_or(true, |queue| queue.message_count() == 0)
    }
}

/// An address that is served.
pub(crate) struct RabbitmqListener {
    address: String,
    link: Option<Link<Received>>,
    calls: Arc<Calls>,
    closing: CancellationToken,
}

#[async_trait]
impl Listener for RabbitmqListener {
    fn address(&self) -> &str {
        &self.address
    }

    async fn close(mut self: Box<Self>, grace: Duration) {
        self.closing.cancel();
        let is_there = self.link.as_ref().and_then(Link::now).is_some();
        // Without a connection nothing runs.
        if is_there && timeout(grace, self.calls.closed.cancelled()).await.is_err() {
            tracing::warn!(
                address = self.address,
                ?grace,
                "calls outlived the grace of a closing listener"
            );
        }
        if let Some(link) = self.link.take() {
            farewell(link, self.calls.clone()).await;
        }
    }
}

impl Drop for RabbitmqListener {
    fn drop(&mut self) {
        let Some(link) = self.link.take() else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // It takes as long as the messages need to leave, and a second at most.
            runtime.spawn(farewell(link, self.calls.clone()));
        }
    }
}

/// Drops what still runs, tells its callers, and ends the connection.
async fn farewell(link: Link<Received>, calls: Arc<Calls>) {
    calls.refuse_more();
    let parcels = calls.cut_all();
    if let Some(up) = link.now() {
        let telling = async {
            for parcel in parcels {
                let _ = up.sender.send(parcel).await;
            }
        };
        let _ = timeout(FAREWELL, telling).await;
    }
    link.close().await;
}
