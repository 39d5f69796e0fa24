//! The sending end of a connection: messages go out in order, and what found no queue comes back.

use std::collections::VecDeque;
use std::future::{Future, poll_fn, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use lapin::BasicProperties;
use lapin::message::BasicReturnMessage;
use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use micro_core::Result;
use micro_rabbitmq_connection::{Connection, PublishChannel};
use tokio::sync::{mpsc, oneshot};
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
    channel: Arc<PublishChannel>,
    confirming: mpsc::Sender<Confirming>,
    abandoned: Abandoned,
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
            channel: Arc::new(channel),
            confirming,
            abandoned: Abandoned::default(),
            longest_head: connection.longest_head(),
            _task: AbortOnDropHandle::new(tokio::spawn(confirm(receiver, returned))),
        }))
    }

    pub(crate) fn is_usable(&self) -> bool {
        self.channel.is_usable()
    }

    /// Sends a message, and returns when it is written. One that was not written whole reached nobody.
    pub(crate) async fn send(&self, parcel: Parcel) -> lapin::Result<()> {
        self.abandoned.sweep();
        let (told, mut written) = oneshot::channel();
        let mut sending = OrAbandoned {
            confirming: Some(publish(self.channel.clone(), parcel, Some(told))),
            abandoned: &self.abandoned,
        };
        let is_written = poll_fn(|context| {
            if let Some(confirming) = &mut sending.confirming
                && let Poll::Ready(returned) = confirming.as_mut().poll(context)
            {
                // Confirmed at once, or never to be: only what came back is still to be handed on.
                sending.confirming = returned.map(|message| Box::pin(ready(Some(message))) as Confirming);
            }
            match written.try_recv() {
                Ok(outcome) => Poll::Ready(outcome),
                Err(_) => Poll::Pending,
            }
        });
        is_written.await?;
        if sending.confirming.is_none() {
            return Ok(());
        }
        if let Ok(room) = self.confirming.reserve().await
            && let Some(confirming) = sending.confirming.take()
        {
            room.send(confirming);
        }
        Ok(())
    }

    /// Has a message sent, from where nothing can be waited for.
    pub(crate) fn send_soon(&self, parcel: Parcel) {
        let mut confirming = publish(self.channel.clone(), parcel, None);
        // It is queued when it is first asked.
        if (&mut confirming).now_or_never().is_none()
            && let Err(problem) = self.confirming.try_send(confirming)
        {
            self.abandoned.keep(problem.into_inner());
        }
    }
}

/// Sends a message, tells when it is written, and waits until it is confirmed.
fn publish(
    channel: Arc<PublishChannel>,
    parcel: Parcel,
    written: Option<oneshot::Sender<lapin::Result<()>>>,
) -> Confirming {
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    Box::pin(async move {
        let Parcel {
            exchange,
            key,
            properties,
            body,
        } = parcel;
        let sent = channel.publish(exchange, key, options, &body, properties).await;
        drop(body);
        let (confirmation, outcome) = match sent {
            Ok(confirmation) => (Some(confirmation), Ok(())),
            Err(problem) => (None, Err(problem)),
        };
        if let Some(written) = written {
            let _ = written.send(outcome);
        }
        confirmation?.await.ok()?.take_message()
    })
}

/// Messages on their way that nobody waits for any more. The client keeps something of each for ever unless it is
/// asked how it ended.
#[derive(Default)]
struct Abandoned(Mutex<VecDeque<Confirming>>);

/// How many abandoned messages a later one asks for.
const ASKED: usize = 4;

impl Abandoned {
    fn sweep(&self) {
        let mut sendings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..ASKED.min(sendings.len()) {
            let Some(mut sending) = sendings.pop_front() else {
                return;
            };
            if (&mut sending).now_or_never().is_none() {
                sendings.push_back(sending);
            }
        }
    }

    fn keep(&self, sending: Confirming) {
        let mut sendings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sendings.len() >= UNCONFIRMED {
            sendings.pop_front();
        }
        sendings.push_back(sending);
    }
}

/// A message on its way, which is kept when the one who waits for it goes away.
struct OrAbandoned<'a> {
    confirming: Option<Confirming>,
    abandoned: &'a Abandoned,
}

impl Drop for OrAbandoned<'_> {
    fn drop(&mut self) {
        if let Some(confirming) = self.confirming.take() {
            self.abandoned.keep(confirming);
        }
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
