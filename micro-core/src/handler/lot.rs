//! Messages of a stream that travel together.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_core::Stream;

use crate::Result;

/// What stands before each packed message: a zero, and its length in four bytes.
const PREFIX: usize = 5;

/// A source of messages that may give out several at once: what a stream of small messages is made of, where a step for
/// each would cost more than the message.
pub trait Lots: Send + 'static {
    /// What is there next. Not called again after `None` or an error.
    fn poll_lot(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Lot>>>;
}

/// What [`Lots`] give out at once.
#[derive(Debug, Clone)]
pub enum Lot {
    /// A message.
    One(Bytes),
    /// Messages one behind the other.
    Several(Packed),
}

impl Lot {
    /// The size in bytes, with what stands before packed messages.
    pub fn len(&self) -> usize {
        match self {
            Self::One(message) => message.len(),
            Self::Several(packed) => packed.len(),
        }
    }

    /// Whether it is a message without bytes, or no message at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Messages one behind the other. Before each stand a zero and its length in four bytes, big-endian: how gRPC puts
/// messages that are not compressed on the wire, so that they go out and come in as they are.
#[derive(Debug, Clone, Default)]
pub struct Packed(Bytes);

impl Packed {
    /// Takes as many whole messages off the front of received bytes as there are; none where the first is not whole,
    /// is larger than the limit, or has another flag than zero.
    pub fn take(received: &mut Bytes, limit: usize) -> Self {
        let mut end = 0;
        while let Some(length) = received.get(end..).and_then(first_length) {
            let next = end + PREFIX + length;
            if length > limit || next > received.len() {
                break;
            }
            end = next;
        }
        Self(received.split_to(end))
    }

    /// The size in bytes, with what stands before each message.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no message left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes off what stands before the first message: a buffer that begins with it, and its length. The message is to be
    /// taken off, too.
    pub(super) fn begin(&mut self) -> Option<(&mut Bytes, usize)> {
        let length = first_length(&self.0)?;
        self.0.advance(PREFIX);
        Some((&mut self.0, length))
    }

    /// All that is left, as it is packed.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

/// The messages, each taken off the front.
impl Iterator for Packed {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let (buffer, length) = self.begin()?;
        Some(buffer.split_to(length))
    }
}

fn first_length(bytes: &[u8]) -> Option<usize> {
    match *bytes.first_chunk::<PREFIX>()? {
        [0, length @ ..] => usize::try_from(u32::from_be_bytes(length)).ok(),
        _ => None,
    }
}

/// Packs messages as they are written.
#[derive(Debug, Default)]
pub(super) struct Packing {
    bytes: BytesMut,
    pub(super) count: usize,
}

impl Packing {
    /// Adds a message, unless its writer says that it has not written any; then nothing has changed.
    pub(super) fn add(&mut self, write: impl FnOnce(&mut BytesMut) -> Result<bool>) -> Result<bool> {
        let start = self.bytes.len();
        // Cuts off what a writer leaves that fails or panics.
        let mut rest = Unwritten {
            bytes: &mut self.bytes,
            start,
        };
        rest.bytes.put_bytes(0, PREFIX);
        let written = write(rest.bytes)?;
        let length = u32::try_from(rest.bytes.len() - start - PREFIX);
        if let (true, Ok(length)) = (written, length) {
            rest.bytes[start + 1..start + PREFIX].copy_from_slice(&length.to_be_bytes());
            rest.start = rest.bytes.len();
            self.count += 1;
        }
        Ok(written)
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// What was packed since it was last asked.
    pub(super) fn finish(&mut self) -> Option<Packed> {
        self.count = 0;
        (!self.bytes.is_empty()).then(|| Packed(self.bytes.split().freeze()))
    }
}

/// A message that is being written. What is not kept by setting `start` behind it is cut off.
struct Unwritten<'a> {
    bytes: &'a mut BytesMut,
    start: usize,
}

impl Drop for Unwritten<'_> {
    fn drop(&mut self) {
        self.bytes.truncate(self.start);
    }
}

/// A stream of messages as lots of one.
pub(super) struct OneByOne<S>(pub(super) S);

impl<S: Stream<Item = Result<Bytes>> + Send + 'static> Lots for OneByOne<Pin<Box<S>>> {
    fn poll_lot(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Lot>>> {
        let next = self.0.as_mut().poll_next(context);
        next.map(|message| message.map(|message| message.map(Lot::One)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(messages: &[&'static str]) -> Packed {
        let mut packing = Packing::default();
        for message in messages {
            let written = packing.add(|buffer| {
                buffer.extend_from_slice(message.as_bytes());
                Ok(true)
            });
            assert!(written.unwrap());
        }
        packing.finish().unwrap_or_default()
    }

    #[test]
    fn what_is_packed_comes_out_again() {
        let messages = ["one", "", "three"];
        assert_eq!(packed(&messages).collect::<Vec<_>>(), messages);
        assert_eq!(&packed(&["ab"]).into_bytes()[..], b"\0\0\0\0\x02ab");
        assert!(packed(&[]).is_empty());
    }

    #[test]
    fn what_was_not_written_leaves_no_trace() {
        let mut packing = Packing::default();
        let not = packing.add(|buffer| {
            buffer.extend_from_slice(b"half");
            Ok(false)
        });
        assert!(!not.unwrap());
        let failed = packing.add(|buffer| {
            buffer.extend_from_slice(b"half");
            Err(crate::Error::bad_request("test", "no"))
        });
        assert!(failed.is_err());
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            packing.add(|buffer| {
                buffer.extend_from_slice(b"half");
                panic!("in an encoder")
            })
        }));
        assert!(panicked.is_err());
        assert!(packing.finish().is_none());
    }

    #[test]
    fn only_whole_messages_within_the_limit_are_taken() {
        let mut received = BytesMut::from(&packed(&["one", "two", "long one", "x"]).into_bytes()[..]);
        let mut whole = received.clone().freeze();
        assert_eq!(Packed::take(&mut whole, 8).count(), 4);
        let mut limited = received.clone().freeze();
        assert_eq!(Packed::take(&mut limited, 7).collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!(limited.len(), PREFIX + 8 + PREFIX + 1);
        for length in 0..received.len() {
            let mut cut = received.clone().freeze().slice(..length);
            let taken = Packed::take(&mut cut, 8).count();
            assert!(taken < 4 && cut.len() < PREFIX + 8, "{length}: {taken}");
        }
        received[8] = 1;
        let mut compressed = received.freeze();
        assert_eq!(Packed::take(&mut compressed, 8).collect::<Vec<_>>(), ["one"]);
    }
}
