//! Typed ends of a streaming call.

mod queue;

use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;

use self::queue::{Entrance, Exit, Gone, queue};
use super::{Body, Lot, Lots, Packed};
use crate::codec::{Codec, Codecs, Envelope, Message, Role, Slot};
use crate::error::CLIENT;
use crate::{Error, Result, Text};

/// Messages up to this size are written where those before them are, in bytes.
const SMALL: usize = 4 * 1024;

/// How the messages of one direction of a call are written or read.
#[derive(Clone)]
pub(crate) struct Format {
    codecs: Codecs,
    /// None: there is none for the content type, which whoever needs one is told.
    codec: Option<Arc<dyn Codec>>,
    pub(crate) content_type: Text,
    pub(crate) endpoint: Text,
    id: Text,
    role: Role,
}

impl Format {
    pub(crate) fn new(codecs: &Codecs, content_type: Text, endpoint: Text, id: Text, role: Role) -> Self {
        Self {
            codecs: codecs.clone(),
            codec: codecs.find_shared(&content_type).ok().cloned(),
            content_type,
            endpoint,
            id,
            role,
        }
    }

    /// The same in the other direction.
    pub(crate) fn with_role(self, role: Role) -> Self {
        Self { role, ..self }
    }

    fn codec(&self) -> Result<&dyn Codec> {
        match &self.codec {
            Some(codec) => Ok(&**codec),
            None => self.codecs.find(&self.content_type),
        }
    }

    pub(crate) fn encode(&self, message: &impl Message) -> Result<Bytes> {
        let envelope = Envelope {
            role: self.role,
            endpoint: &self.endpoint,
            id: &self.id,
        };
        let encoded = match message.raw() {
            Some(raw) => return Ok(raw.clone()),
            None => self.codec().and_then(|codec| codec.encode(message, &envelope)),
        };
        encoded.map_err(|error| error.context(&self.endpoint))
    }

    /// Writes a small message behind what is in the buffer. False: it is not small, or its format cannot do that.
    fn append(&self, message: &impl Message, buffer: &mut BytesMut) -> Result<bool> {
        if message.raw().is_some() {
            return Ok(false);
        }
        self.codec()
            .and_then(|codec| codec.append(message, SMALL, buffer))
            .map_err(|error| error.context(&self.endpoint))
    }

    /// Reads a message from so many bytes at the front of a buffer, and takes them off it.
    fn decode_front<T: Message>(&self, buffer: &mut Bytes, length: usize) -> Result<T> {
        let mut message = T::default();
        if let Some(raw) = Slot::raw(&mut message) {
            *raw = buffer.split_to(length);
            return Ok(message);
        }
        let decoded = self
            .codec()
            .and_then(|codec| codec.decode_front(buffer, length, &mut message, self.role));
        match decoded {
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
    /// Taken out of the body together, to be read one by one.
    packed: Packed,
    format: Format,
    message: PhantomData<fn() -> T>,
}

impl<T: Message> Streaming<T> {
    pub(crate) fn new(body: Body, format: Format) -> Self {
        Self {
            body,
            packed: Packed::default(),
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
        poll_fn(|context| self.poll_message(context)).await.transpose()
    }

    fn poll_message(&mut self, context: &mut TaskContext<'_>) -> Poll<Option<Result<T>>> {
        loop {
            if let Some((buffer, length)) = self.packed.begin() {
                return Poll::Ready(Some(self.format.decode_front(buffer, length)));
            }
            match ready!(self.body.poll_lot(context)) {
                Some(Ok(Lot::Several(packed))) => self.packed = packed,
                Some(Ok(Lot::One(mut message))) => {
                    let length = message.len();
                    return Poll::Ready(Some(self.format.decode_front(&mut message, length)));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl<T: Message> Stream for Streaming<T> {
    type Item = Result<T>;

    fn poll_next(self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_message(context)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{JSON, Plain, Raw};

    fn format(content_type: Text) -> Format {
        let (codecs, name) = (Codecs::standard(), Text::from_static("Test.Stream"));
        Format::new(&codecs, content_type, name, Text::new(), Role::Request)
    }

    #[tokio::test]
    async fn a_message_that_cannot_be_read_does_not_touch_those_around_it() {
        // Of one kind go out what of another kind comes in.
        let (sender, sent) = outgoing::<Plain<serde_json::Value>>(format(JSON));
        for value in [1.into(), "no number".into(), 3.into()] {
            sender.send(Plain::new(value)).await.unwrap();
        }
        drop(sender);
        let mut numbers = Streaming::<Plain<u32>>::new(Body::lots(sent), format(JSON));
        assert_eq!(numbers.message().await.unwrap().unwrap().into_inner(), Some(1));
        let error = numbers.message().await.unwrap_err();
        assert!(
            error.code() == 400 && error.detail().contains("Test.Stream"),
            "{error}"
        );
        assert_eq!(numbers.message().await.unwrap().unwrap().into_inner(), Some(3));
        assert!(numbers.message().await.unwrap().is_none());
        assert!(numbers.message().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn an_unknown_content_type_is_named_unless_nobody_needs_it() {
        let unknown = Text::from_static("application/unknown");
        let (sender, sent) = outgoing::<Raw>(format(unknown.clone()));
        for _ in 0..2 {
            sender.send(Raw(Bytes::from_static(b"x"))).await.unwrap();
        }
        drop(sender);
        let mut body = Body::lots(sent);
        let first = body.message().await.unwrap().unwrap();
        let mut raw = Streaming::<Raw>::new(body, format(unknown.clone()));
        assert_eq!(raw.message().await.unwrap().unwrap().0, first);
        let mut typed = Streaming::<Plain<u32>>::new(first.into(), format(unknown));
        let error = typed.message().await.unwrap_err();
        assert!(
            error.code() == 415 && error.detail().contains("application/unknown"),
            "{error}"
        );
    }
}
