//! Messages as they go out on one call, as fast as the other side takes them.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::SendStream;
use micro_core::handler::Lot;
use micro_core::{Body, Error};

use crate::config::Compression;
use crate::framing::{put_message, put_prefix};

/// How much of ready messages is packed together, in bytes.
const PACKED: usize = 32 * 1024;
/// Messages above this are sent where they lie, in bytes.
const COPIED: usize = 16 * 1024;
/// What is handed to the connection without asking whether the other side has room, in bytes: it is in memory anyway.
pub(crate) const AT_ONCE: usize = 64 * 1024;

/// One direction of a call.
pub(crate) struct Outgoing {
    stream: SendStream<Bytes>,
    compression: Compression,
    packed: BytesMut,
    /// What leaves next: prefixes and small messages, then a large one.
    leaving: Bytes,
    large: Bytes,
    end: Option<End>,
}

/// How the messages of a direction ended.
#[derive(Debug)]
pub(crate) enum End {
    /// With the last one.
    Whole,
    /// With an error after it.
    Failed(Error),
    /// The other side takes no more.
    Gone,
}

impl Outgoing {
    pub(crate) fn new(stream: SendStream<Bytes>, compression: Compression) -> Self {
        Self {
            stream,
            compression,
            packed: BytesMut::new(),
            leaving: Bytes::new(),
            large: Bytes::new(),
            end: None,
        }
    }

    pub(crate) fn into_stream(self) -> SendStream<Bytes> {
        self.stream
    }

    /// Sends all messages of a body. What ends the direction is left to the caller.
    pub(crate) fn poll_send(&mut self, body: &mut Body, context: &mut Context<'_>) -> Poll<End> {
        loop {
            if !ready!(self.poll_leave(context)) {
                return Poll::Ready(End::Gone);
            }
            if let Some(end) = self.end.take() {
                return Poll::Ready(end);
            }
            ready!(self.poll_gather(body, context));
        }
    }

    pub(crate) async fn send(&mut self, mut body: Body) -> End {
        poll_fn(|context| self.poll_send(&mut body, context)).await
    }

    /// Packs what is ready. Ready when something leaves, or the messages ended.
    fn poll_gather(&mut self, body: &mut Body, context: &mut Context<'_>) -> Poll<()> {
        while self.packed.len() < PACKED && self.large.is_empty() && self.end.is_none() {
            match body.poll_lot(context) {
                Poll::Ready(Some(Ok(lot))) => {
                    if let Err(error) = self.pack_lot(lot) {
                        self.end = Some(End::Failed(error));
                    }
                }
                Poll::Ready(Some(Err(error))) => self.end = Some(End::Failed(error)),
                Poll::Ready(None) => self.end = Some(End::Whole),
                Poll::Pending if self.packed.is_empty() => {
                    if self.stream.poll_reset(context).is_ready() {
                        self.end = Some(End::Gone);
                        break;
                    }
                    return Poll::Pending;
                }
                Poll::Pending => break,
            }
        }
        self.leaving = self.packed.split().freeze();
        Poll::Ready(())
    }

    fn pack_lot(&mut self, lot: Lot) -> Result<(), Error> {
        match lot {
            Lot::One(message) => self.pack(message),
            Lot::Several(messages) if self.compression.is_on() => {
                for message in messages {
                    let (message, is_compressed) = self.compression.compress(message);
                    put_message(&mut self.packed, &message, is_compressed)?;
                }
                Ok(())
            }
            // They are packed as they travel.
            Lot::Several(messages) => {
                let messages = messages.into_bytes();
                if messages.len() <= COPIED {
                    self.packed.extend_from_slice(&messages);
                } else {
                    self.large = messages;
                }
                Ok(())
            }
        }
    }

    fn pack(&mut self, message: Bytes) -> Result<(), Error> {
        let (message, is_compressed) = self.compression.compress(message);
        if message.len() <= COPIED {
            return put_message(&mut self.packed, &message, is_compressed);
        }
        put_prefix(&mut self.packed, message.len(), is_compressed)?;
        self.large = message;
        Ok(())
    }

    /// Hands on what leaves as far as there is room. False: the other side takes no more.
    fn poll_leave(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        loop {
            if self.leaving.is_empty() {
                self.leaving = std::mem::take(&mut self.large);
            }
            if self.leaving.is_empty() {
                return Poll::Ready(true);
            }
            let wanted = self.leaving.len() + self.large.len();
            self.stream.reserve_capacity(wanted);
            let room = match self.stream.capacity() {
                0 => match ready!(self.stream.poll_capacity(context)) {
                    Some(Ok(room)) => room,
                    Some(Err(_)) | None => return Poll::Ready(false),
                },
                room => room,
            };
            let part = self.leaving.split_to(room.min(self.leaving.len()));
            if self.stream.send_data(part, false).is_err() {
                return Poll::Ready(false);
            }
        }
    }
}

/// A message that leaves whole, without asking for room: what to send before the rest, and the rest.
pub(crate) fn whole(message: Bytes, is_compressed: bool) -> Result<(Bytes, Option<Bytes>), Error> {
    let mut buffer = BytesMut::new();
    if message.len() <= COPIED {
        buffer.reserve(message.len() + 5);
        put_message(&mut buffer, &message, is_compressed)?;
        return Ok((buffer.freeze(), None));
    }
    put_prefix(&mut buffer, message.len(), is_compressed)?;
    Ok((buffer.freeze(), Some(message)))
}

/// Hands a message to the connection in one go. What goes wrong with the connection shows elsewhere.
pub(crate) fn send_whole(
    stream: &mut SendStream<Bytes>,
    message: Bytes,
    is_compressed: bool,
    is_last: bool,
) -> Result<(), Error> {
    match whole(message, is_compressed)? {
        (first, None) => drop(stream.send_data(first, is_last)),
        (first, Some(rest)) => {
            drop(stream.send_data(first, false));
            drop(stream.send_data(rest, is_last));
        }
    }
    Ok(())
}
