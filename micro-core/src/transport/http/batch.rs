//! Messages of a stream that are ready together, for one write.

use std::task::{Context, Poll};

use bytes::Bytes;

use crate::Body;
use crate::wire::{END_OF_STREAM, error_text};

/// How many bytes of messages that are ready together go out in one write.
const BATCH: usize = 32 * 1024;

/// One direction of a stream: knows the heads of its messages.
pub(super) trait Heads {
    /// What waits to be written.
    fn output(&mut self) -> &mut Vec<u8>;

    /// Adds the head of a message of this length, or all of the message that ends the stream with this text.
    fn push(&mut self, end: Option<&str>, length: usize);
}

/// Puts what is ready into the output, up to a batch. A large message is not copied but handed back, to follow the
/// output. The end, when it has come, is true if it was one in order.
pub(super) fn gather(
    heads: &mut impl Heads,
    body: &mut Body,
    context: &mut Context<'_>,
) -> Poll<(Bytes, Option<bool>)> {
    while heads.output().len() < BATCH {
        match body.poll_message(context) {
            Poll::Ready(Some(Ok(message))) => {
                heads.push(None, message.len());
                if message.len() > BATCH / 2 {
                    return Poll::Ready((message, None));
                }
                heads.output().extend_from_slice(&message);
            }
            Poll::Ready(Some(Err(error))) => {
                heads.push(Some(&error_text(&error)), 0);
                return Poll::Ready((Bytes::new(), Some(false)));
            }
            Poll::Ready(None) => {
                heads.push(Some(END_OF_STREAM), 0);
                return Poll::Ready((Bytes::new(), Some(true)));
            }
            Poll::Pending if heads.output().is_empty() => return Poll::Pending,
            Poll::Pending => break,
        }
    }
    Poll::Ready((Bytes::new(), None))
}
