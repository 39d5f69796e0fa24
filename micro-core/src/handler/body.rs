//! What a request or response carries: one message, or a stream of them.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;

use super::lot::{Lot, Lots, OneByOne, Packed};
use crate::error::CLIENT;
use crate::{Error, Result};

/// One message, or a stream of messages.
///
/// Reading a stream is what moves it: a body that is not read slows its writer, and dropping it ends the stream at
/// the far side.
pub struct Body(Inner);

enum Inner {
    Single(Bytes),
    Stream(Messages),
}

/// What a stream's messages come from, and those that were taken out of it together with one that was wanted.
struct Messages {
    lots: Pin<Box<dyn Lots>>,
    packed: Packed,
}

impl Messages {
    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        loop {
            if let Some(message) = self.packed.next() {
                return Poll::Ready(Some(Ok(message)));
            }
            match ready!(self.lots.as_mut().poll_lot(context)) {
                Some(Ok(Lot::One(message))) => return Poll::Ready(Some(Ok(message))),
                Some(Ok(Lot::Several(packed))) => self.packed = packed,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    fn poll_lot(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Lot>>> {
        if self.packed.is_empty() {
            return self.lots.as_mut().poll_lot(context);
        }
        Poll::Ready(Some(Ok(Lot::Several(std::mem::take(&mut self.packed)))))
    }
}

impl Body {
    /// One message without bytes.
    pub const fn empty() -> Self {
        Self(Inner::Single(Bytes::new()))
    }

    /// A stream of messages. An `Err` is its last item.
    pub fn stream(messages: impl Stream<Item = Result<Bytes>> + Send + 'static) -> Self {
        Self::lots(OneByOne(Box::pin(messages)))
    }

    /// A stream of messages of which several may come at once. An `Err` is the last.
    pub fn lots(lots: impl Lots) -> Self {
        Self(Inner::Stream(Messages {
            lots: Box::pin(lots),
            packed: Packed::default(),
        }))
    }

    /// Whether this is a stream.
    pub fn is_stream(&self) -> bool {
        matches!(self.0, Inner::Stream(_))
    }

    /// The one message, where this is no stream.
    pub fn as_single(&self) -> Option<&Bytes> {
        match &self.0 {
            Inner::Single(message) => Some(message),
            Inner::Stream(_) => None,
        }
    }

    /// The one message, or the body back where it is a stream.
    ///
    /// # Errors
    ///
    /// The body itself.
    pub fn try_into_single(self) -> Result<Bytes, Self> {
        match self.0 {
            Inner::Single(message) => Ok(message),
            Inner::Stream(_) => Err(self),
        }
    }

    /// The one message; of a stream the first, without waiting for its end.
    ///
    /// # Errors
    ///
    /// When the stream fails, or ends without a message.
    pub async fn single(self) -> Result<Bytes> {
        match self.0 {
            Inner::Single(message) => Ok(message),
            Inner::Stream(mut messages) => match poll_fn(|context| messages.poll_message(context)).await {
                Some(message) => message,
                None => Err(Error::new(
                    CLIENT,
                    500,
                    "the stream ended where one message was due",
                )),
            },
        }
    }

    /// Keeps something until the body has ended or is dropped. For one message, that is now.
    ///
    /// For what a wrapper holds during a call: an in-flight count, a permit, a span.
    #[must_use]
    pub fn guard<G: Send + 'static>(self, guard: G) -> Self {
        match self.0 {
            Inner::Single(_) => self,
            Inner::Stream(messages) => Self::lots(Guarded {
                messages,
                guard: Some(guard),
            }),
        }
    }

    /// Calls back once when the body has ended: with `Ok` at its end, with the error that ended it, or with
    /// `None` when it was dropped before. For one message, that is now.
    #[must_use]
    pub fn on_end(self, tell: impl FnOnce(Option<Result<(), &Error>>) + Send + 'static) -> Self {
        match self.0 {
            Inner::Single(_) => {
                tell(Some(Ok(())));
                self
            }
            Inner::Stream(messages) => Self::lots(Observed {
                messages,
                tell: Some(Box::new(tell)),
            }),
        }
    }

    /// The messages one after the other. A single message is a stream of one. After the end, and after an error,
    /// there is nothing more, however often one asks.
    pub fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        match &mut self.0 {
            Inner::Stream(messages) => {
                let polled = messages.poll_message(context);
                if let Poll::Ready(None | Some(Err(_))) = polled {
                    self.end();
                }
                polled
            }
            Inner::Single(message) => {
                let message = std::mem::take(message);
                self.end();
                Poll::Ready(Some(Ok(message)))
            }
        }
    }

    /// As [`poll_message`](Self::poll_message), but all messages at once that are there together.
    pub fn poll_lot(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Lot>>> {
        let Inner::Stream(messages) = &mut self.0 else {
            let message = self.poll_message(context);
            return message.map(|message| message.map(|message| message.map(Lot::One)));
        };
        let polled = messages.poll_lot(context);
        if let Poll::Ready(None | Some(Err(_))) = polled {
            self.end();
        }
        polled
    }

    /// From here on there is nothing more. Many streams must not be asked again after their end, and what they hold is
    /// free from here.
    fn end(&mut self) {
        *self = Self::lots(Nothing);
    }

    /// The next message, or `None` at the end. May be cancelled; nothing is lost then.
    pub async fn message(&mut self) -> Option<Result<Bytes>> {
        poll_fn(|context| self.poll_message(context)).await
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl From<Bytes> for Body {
    fn from(message: Bytes) -> Self {
        Self(Inner::Single(message))
    }
}

impl From<Vec<u8>> for Body {
    fn from(message: Vec<u8>) -> Self {
        Bytes::from(message).into()
    }
}

impl From<&'static str> for Body {
    fn from(message: &'static str) -> Self {
        Bytes::from_static(message.as_bytes()).into()
    }
}

impl Stream for Body {
    type Item = Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_message(context)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Single(message) => write!(formatter, "Body({} bytes)", message.len()),
            Inner::Stream(_) => formatter.write_str("Body(stream)"),
        }
    }
}

struct Nothing;

impl Lots for Nothing {
    fn poll_lot(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Lot>>> {
        Poll::Ready(None)
    }
}

struct Guarded<G> {
    messages: Messages,
    guard: Option<G>,
}

// The guard is never pinned.
impl<G> Unpin for Guarded<G> {}

impl<G: Send + 'static> Lots for Guarded<G> {
    fn poll_lot(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Lot>>> {
        let polled = self.messages.poll_lot(context);
        if let Poll::Ready(None | Some(Err(_))) = polled {
            self.guard = None;
        }
        polled
    }
}

type Tell = Box<dyn FnOnce(Option<Result<(), &Error>>) + Send>;

struct Observed {
    messages: Messages,
    tell: Option<Tell>,
}

impl Lots for Observed {
    fn poll_lot(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Lot>>> {
        let polled = self.messages.poll_lot(context);
        let outcome = match &polled {
            Poll::Ready(None) => Ok(()),
            Poll::Ready(Some(Err(error))) => Err(error),
            _ => return polled,
        };
        if let Some(tell) = self.tell.take() {
            tell(Some(outcome));
        }
        polled
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        if let Some(tell) = self.tell.take() {
            tell(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures_util::stream;

    use super::*;

    fn messages(count: u8) -> Body {
        Body::stream(stream::iter(
            (0..count).map(|number| Ok(Bytes::copy_from_slice(&[number]))),
        ))
    }

    #[tokio::test]
    async fn a_single_message_is_a_stream_of_one() {
        let mut body = Body::from("x");
        assert_eq!(body.message().await.unwrap().unwrap(), "x");
        assert!(body.message().await.is_none());
        assert!(body.message().await.is_none());
    }

    #[tokio::test]
    async fn the_first_message_of_a_stream_does_not_wait_for_its_end() {
        let body = Body::stream(futures_util::StreamExt::chain(
            stream::iter([Ok(Bytes::from_static(b"first"))]),
            stream::pending(),
        ));
        assert_eq!(body.single().await.unwrap(), "first");
        assert!(messages(0).single().await.is_err());
    }

    #[tokio::test]
    async fn nothing_comes_after_the_end_or_an_error_however_often_one_asks() {
        let counted = stream::unfold(0, |number| async move {
            let message = match number {
                0 => Ok(Bytes::from_static(b"first")),
                1 => Err(Error::client(503, "cut")),
                _ => return None,
            };
            Some((message, number + 1))
        });
        let mut failing = Body::stream(counted);
        assert_eq!(failing.message().await.unwrap().unwrap(), "first");
        assert!(failing.message().await.unwrap().is_err());
        let mut ending = Body::stream(stream::unfold((), |()| async { None }));
        for _ in 0..3 {
            assert!(failing.message().await.is_none());
            assert!(ending.message().await.is_none());
        }
    }

    #[tokio::test]
    async fn a_guard_is_let_go_at_the_end_and_when_the_body_is_dropped() {
        let held = Arc::new(());
        let mut body = messages(1).guard(held.clone());
        assert!(body.message().await.is_some());
        assert_eq!(Arc::strong_count(&held), 2);
        assert!(body.message().await.is_none());
        assert_eq!(Arc::strong_count(&held), 1);
        drop(messages(1).guard(held.clone()));
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[tokio::test]
    async fn the_end_is_told_once_with_what_ended_it() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = || {
            let told = told.clone();
            move |end: Option<Result<(), &Error>>| {
                told.lock().unwrap().push(end.map(|end| end.map_err(Error::code)));
            }
        };
        let mut whole = messages(1).on_end(tell());
        while whole.message().await.is_some() {}
        drop(whole);
        let mut failing = Body::stream(stream::iter([Err(Error::client(503, "cut"))])).on_end(tell());
        while failing.message().await.is_some() {}
        drop(messages(2).on_end(tell()));
        assert_eq!(*told.lock().unwrap(), [Some(Ok(())), Some(Err(503)), None]);
    }
}
