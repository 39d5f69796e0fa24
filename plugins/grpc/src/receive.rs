//! Messages as they come in on one call, as fast as they are read.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use micro_core::Error;
use micro_core::handler::Lot;

use crate::framing::{Assembler, malformed};

/// How much is read before the other side is told that it may send more, in bytes.
const RELEASED: usize = 64 * 1024;

/// The messages of one direction of a call.
pub(crate) struct Incoming {
    stream: RecvStream,
    assembler: Assembler,
    /// Read, and not yet told to the other side.
    unreleased: usize,
}

/// Why no message comes any more.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The connection, or the call on it, ended.
    Ended(h2::Error),
    /// The other side sent what cannot be read.
    Bad(Error),
}

/// How a call began.
#[derive(Debug)]
pub(crate) enum Beginning {
    /// With one message, and nothing after it.
    Single(Bytes),
    /// In another way: with what is there, more may come.
    Stream(Option<Bytes>),
}

impl Incoming {
    pub(crate) fn new(stream: RecvStream, limit: usize, is_gzip: bool) -> Self {
        Self {
            stream,
            assembler: Assembler::new(limit, is_gzip),
            unreleased: 0,
        }
    }

    /// The next message, or `None` at the end.
    pub(crate) fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        self.poll_next(Assembler::next, context)
    }

    /// The next messages, all that came together, or `None` at the end.
    pub(crate) fn poll_lot(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Lot, Broken>>> {
        self.poll_next(Assembler::next_lot, context)
    }

    fn poll_next<T>(
        &mut self,
        next: impl Fn(&mut Assembler) -> Result<Option<T>, Error>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<T, Broken>>> {
        loop {
            match next(&mut self.assembler) {
                Ok(Some(next)) => return Poll::Ready(Some(Ok(next))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(Broken::Bad(error)))),
            }
            match ready!(self.poll_bytes(context)) {
                Some(Ok(())) => {}
                Some(Err(broken)) => return Poll::Ready(Some(Err(broken))),
                None if self.assembler.is_empty() => return Poll::Ready(None),
                None => {
                    let cut = malformed("the call ended inside a message");
                    return Poll::Ready(Some(Err(Broken::Bad(cut))));
                }
            }
        }
    }

    pub(crate) async fn message(&mut self) -> Option<Result<Bytes, Broken>> {
        poll_fn(|context| self.poll_message(context)).await
    }

    /// Hands what arrives to the assembler, which has nothing left to look at.
    fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<(), Broken>>> {
        match self.stream.poll_data(context) {
            Poll::Ready(Some(Ok(bytes))) => {
                self.unreleased += bytes.len();
                if self.unreleased >= RELEASED {
                    self.release();
                }
                self.assembler.push(bytes);
                Poll::Ready(Some(Ok(())))
            }
            Poll::Ready(Some(Err(problem))) => Poll::Ready(Some(Err(Broken::Ended(problem)))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                // Whoever waits holds nothing back: many such calls would use up the window of the connection.
                self.release();
                Poll::Pending
            }
        }
    }

    fn release(&mut self) {
        if self.unreleased > 0 {
            // Fails only for more than was received.
            let _ = self.stream.flow_control().release_capacity(self.unreleased);
            self.unreleased = 0;
        }
    }

    /// How the call begins, as far as it can be told at once. A message that has begun is waited for; with `is_unary`,
    /// where the caller said that there is one message, so are its beginning and the end after it.
    pub(crate) fn poll_beginning(
        &mut self,
        first: &mut Option<Bytes>,
        is_unary: bool,
        context: &mut Context<'_>,
    ) -> Poll<Result<Beginning, Broken>> {
        if first.is_none() {
            match self.poll_message(context) {
                Poll::Pending if is_unary || self.assembler.is_mid_message() => return Poll::Pending,
                Poll::Pending | Poll::Ready(None) => return Poll::Ready(Ok(Beginning::Stream(None))),
                Poll::Ready(Some(Err(broken))) => return Poll::Ready(Err(broken)),
                Poll::Ready(Some(Ok(message))) => *first = Some(message),
            }
        }
        let is_whole = loop {
            if !self.assembler.is_empty() {
                break false;
            }
            if self.stream.is_end_stream() {
                break true;
            }
            match self.poll_bytes(context) {
                Poll::Ready(Some(Ok(()))) => {}
                Poll::Ready(None) => break true,
                Poll::Ready(Some(Err(broken))) => return Poll::Ready(Err(broken)),
                Poll::Pending if is_unary => return Poll::Pending,
                Poll::Pending => break false,
            }
        };
        Poll::Ready(Ok(match first.take() {
            Some(message) if is_whole => Beginning::Single(message),
            first => Beginning::Stream(first),
        }))
    }

    /// What follows the last message. Call it only after the last one.
    pub(crate) async fn trailers(&mut self) -> Result<Option<HeaderMap>, h2::Error> {
        poll_fn(|context| self.poll_trailers(context)).await
    }

    pub(crate) fn poll_trailers(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<HeaderMap>, h2::Error>> {
        self.stream.poll_trailers(context)
    }

    /// Whether nothing is left to read of what came.
    pub(crate) fn is_drained(&self) -> bool {
        self.assembler.is_empty()
    }
}
