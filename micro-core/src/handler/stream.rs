//! Typed ends of a streaming call.

mod queue;

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;

use self::queue::{Entrance, Exit, Gone, queue};
use super::{Body, Lot, Lots};
use crate::codec::{Codecs, Envelope, Message, Role};
use crate::error::CLIENT;
use crate::{Error, Result, Text};

/// Messages up to this size are written where those before them are, in bytes.
const SMALL: usize = 4 * 1024;

/// How the messages of one direction of a call are written or read.
#[derive(Clone)]
pub(crate) struct Format {
    pub(crate) codecs: Codecs,
    pub(crate) content_type: Text,
    pub(crate) endpoint: Text,
    pub(crate) id: Text,
    pub(crate) role: Role,
}

impl Format {
    pub(crate) fn encode(&self, message: &impl Message) -> Result<Bytes> {
        let envelope = Envelope {
            role: self.role,
            endpoint: &self.endpoint,
            id: &self.id,
        };
        self.codecs
            .encode(&self.content_type, message, &envelope)
            .map_err(|error| error.context(&self.endpoint))
    }

    /// Writes a small message behind what is in the buffer. False: it is not small, or its format cannot do that.
    fn append(&self, message: &impl Message, buffer: &mut BytesMut) -> Result<bool> {
        if message.raw().is_some() {
            return Ok(false);
        }
        let codec = self.codecs.find(&self.content_type)?;
        codec
            .append(message, SMALL, buffer)
            .map_err(|error| error.context(&self.endpoint))
    }

    pub(crate) fn decode<T: Message>(&self, body: Bytes) -> Result<T> {
        let mut message = T::default();
        match self
            .codecs
            .decode(&self.content_type, body, &mut message, self.role)
        {
            Ok(()) => Ok(message),
            Err(error) => Err(error.context(&self.endpoint)),
        }
    }
}

/// The messages that come in: a stream, also to be read with [`message`](Self::message).
///
/// Dropping it ends the stream at the far side.
pub struct Streaming<T> {
    body: Body,
    format: Format,
    message: PhantomData<fn() -> T>,
}

impl<T: Message> Streaming<T> {
    pub(crate) fn new(body: Body, format: Format) -> Self {
        Self {
            body,
            format,
            message: PhantomData,
        }
    }

    /// The next message, or `None` at the end. May be cancelled; nothing is lost then.
    ///
    /// # Errors
    ///
    /// The error that the far side ended the stream with, or that the connection broke with; nothing comes after
    /// it. A message that cannot be read is an error too.
    pub async fn message(&mut self) -> Result<Option<T>> {
        match self.body.message().await {
            Some(message) => self.format.decode(message?).map(Some),
            None => Ok(None),
        }
    }
}

impl<T: Message> Stream for Streaming<T> {
    type Item = Result<T>;

    fn poll_next(self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let streaming = self.get_mut();
        let message = ready!(streaming.body.poll_message(context));
        Poll::Ready(message.map(|message| streaming.format.decode(message?)))
    }
}

impl<T> fmt::Debug for Streaming<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Streaming")
            .field("endpoint", &self.format.endpoint)
            .finish_non_exhaustive()
    }
}

/// The messages that go out. Dropping it, and all its clones, ends this direction of the stream.
pub struct StreamSender<T> {
    messages: Entrance,
    format: Format,
    message: PhantomData<fn(T)>,
}

impl<T: Message> StreamSender<T> {
    /// Writes a message. Waits while the far side reads too slowly.
    ///
    /// When cancelled, the message is not sent.
    ///
    /// # Errors
    ///
    /// When the message cannot be written in the call's format, or the far side ended the stream; its error is
    /// then found at the receiving end of this side.
    pub async fn send(&self, message: T) -> Result<()> {
        let pack = |buffer: &mut BytesMut| self.format.append(&message, buffer);
        match self.messages.pack(pack).await {
            Err(Gone) => return Err(self.gone()),
            Ok(is_packed) => {
                if is_packed? {
                    return Ok(());
                }
            }
        }
        let message = self.format.encode(&message)?;
        self.messages.put(message).await.map_err(|_| self.gone())
    }

    /// Waits until the far side has ended the stream or is gone, so that it is no use to send more.
    pub async fn closed(&self) {
        self.messages.closed().await;
    }

    fn gone(&self) -> Error {
        Error::new(
            CLIENT,
            499,
            format!(
                "{}: the other side ended the stream and takes no more",
                self.format.endpoint
            ),
        )
    }
}

impl<T> Clone for StreamSender<T> {
    fn clone(&self) -> Self {
        Self {
            messages: self.messages.clone(),
            format: self.format.clone(),
            message: PhantomData,
        }
    }
}

impl<T> fmt::Debug for StreamSender<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StreamSender")
            .field("endpoint", &self.format.endpoint)
            .finish_non_exhaustive()
    }
}

/// A sender, and the body that its messages come out of.
pub(crate) fn outgoing<T: Message>(format: Format) -> (StreamSender<T>, Exit) {
    let (messages, sent) = queue();
    (
        StreamSender {
            messages,
            format,
            message: PhantomData,
        },
        sent,
    )
}

/// The body of a streamed answer: it runs the handler and hands out what the handler sends.
///
/// Whoever reads the body drives the handler, and whoever drops it cancels the handler: no task is needed.
pub(crate) struct Running {
    work: Option<Pin<Box<dyn Future<Output = Result<()>> + Send>>>,
    sent: Exit,
    failure: Option<Error>,
}

impl Running {
    pub(crate) fn new(work: impl Future<Output = Result<()>> + Send + 'static, sent: Exit) -> Self {
        Self {
            work: Some(Box::pin(work)),
            sent,
            failure: None,
        }
    }
}

impl Lots for Running {
    fn poll_lot(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Option<Result<Lot>>> {
        // The handler goes on when what it sent is on its way: it is asked once for many messages.
        if let Some(lot) = self.sent.take_ready() {
            return Poll::Ready(Some(Ok(lot)));
        }
        if let Some(work) = &mut self.work
            && let Poll::Ready(result) = work.as_mut().poll(context)
        {
            self.work = None;
            self.failure = result.err();
        }
        match self.sent.poll_take(context) {
            Poll::Ready(Some(lot)) => Poll::Ready(Some(Ok(lot))),
            // What was sent before the failure has gone out; senders that outlive a failed handler do not count.
            Poll::Pending if self.work.is_none() && self.failure.is_some() => self.end(),
            Poll::Ready(None) if self.work.is_none() => self.end(),
            _ => Poll::Pending,
        }
    }
}

impl Running {
    fn end(&mut self) -> Poll<Option<Result<Lot>>> {
        Poll::Ready(self.failure.take().map(Err))
    }
}
