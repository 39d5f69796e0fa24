//! The sending end of a connection: messages go out in order, and what found no queue comes back.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use lapin::BasicProperties;
use lapin::message::BasicReturnMessage;
use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use micro_core::Result;
use micro_rabbitmq_connection::{Connection, PublishChannel};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// How many messages may be unconfirmed; further ones wait.
const UNCONFIRMED: usize = 4096;
const QUEUED: usize = 64;

/// A message and where it goes.
pub(crate) struct Parcel {
    pub(crate) exchange: ShortString,
    pub(crate) key: ShortString,
    pub(crate) properties: BasicProperties,
    pub(crate) body: Bytes,
}

type Confirming = Pin<Box<dyn Future<Output = Option<BasicReturnMessage>> + Send>>;

/// Sends messages.
pub(crate) struct Sender {
    channel: PublishChannel,
    confirming: mpsc::Sender<Confirming>,
    /// How many bytes the headers of a message may have.
    pub(crate) longest_head: usize,
    _task: AbortOnDropHandle<()>,
}

impl Sender {
    /// Opens a channel. What finds no queue is handed to `returned`.
    pub(crate) async fn open(
        connection: &Connection,
        returned: impl Fn(BasicReturnMessage) + Send + 'static,
    ) -> Result<Arc<Self>> {
        let channel = PublishChannel::open(connection, true).await?;
        let (confirming, receiver) = mpsc::channel(QUEUED);
        Ok(Arc::new(Self {
            channel,
            confirming,
            longest_head: connection.longest_head(),
            _task: AbortOnDropHandle::new(tokio::spawn(confirm(receiver, returned))),
        }))
    }

    pub(crate) fn is_usable(&self) -> bool {
        self.channel.is_usable()
    }

    /// Sends a message, and returns when it is written. One that was not written whole reached nobody.
    pub(crate) async fn send(&self, parcel: &Parcel) -> lapin::Result<()> {
        let confirmation = self.publish(parcel).await?;
        let confirming = confirmation.map(|confirmation| confirmation.ok()?.take_message());
        let _ = self.confirming.send(Box::pin(confirming)).await;
        Ok(())
    }

    /// Has a message sent, from where nothing can be waited for.
    pub(crate) fn send_soon(self: &Arc<Self>, parcel: Parcel) {
        let sender = self.clone();
        let mut confirming: Confirming = Box::pin(async move {
            let confirmation = sender.publish(&parcel).await.ok()?;
            confirmation.await.ok()?.take_message()
        });
        // It is queued when it is first asked.
        if (&mut confirming).now_or_never().is_none() {
            let _ = self.confirming.try_send(confirming);
        }
    }

    async fn publish(&self, parcel: &Parcel) -> lapin::Result<lapin::PublisherConfirm> {
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let Parcel {
            exchange,
            key,
            properties,
            body,
        } = parcel;
        let (exchange, key) = (exchange.clone(), key.clone());
        self.channel
            .publish(exchange, key, options, body, properties.clone())
            .await
    }
}

async fn confirm(mut receiver: mpsc::Receiver<Confirming>, returned: impl Fn(BasicReturnMessage)) {
    let mut confirming = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(confirmed) = confirming.next() => if let Some(message) = confirmed {
                returned(message);
            },
            next = receiver.recv(), if confirming.len() < UNCONFIRMED => match next {
                Some(next) => confirming.push(next),
                None => return,
            },
        }
    }
}
