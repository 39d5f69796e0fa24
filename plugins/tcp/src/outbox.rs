//! What is to be written on a connection: many put frames in, one task writes them out.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite;

use crate::frame::{HEADER, Header};

/// How many bytes may wait to be written before those who have more to send wait.
pub(crate) const HIGH_WATER: u64 = 256 * 1024;
/// How many bytes may wait before those wait who send a large message in parts, so that small ones get between them.
pub(crate) const PART_WATER: u64 = 32 * 1024;
/// How many bytes of answers to pings and of refusals may wait, before the other side is taken for hostile.
const REACTIONS: usize = 64 * 1024;
/// Up to which size the rest of a message is copied behind its head, in bytes.
const COPIED: usize = 16 * 1024;
/// How much memory an empty buffer may keep, in bytes.
const KEPT: usize = 64 * 1024;
/// How many pieces leave in one call of the system.
const SLICES: usize = 16;

/// Bytes, and large messages between them.
#[derive(Default)]
pub(crate) struct Batch {
    small: Vec<u8>,
    /// Where in the bytes a large message stands.
    large: Vec<(usize, Bytes)>,
    at: usize,
    next_large: usize,
    in_large: usize,
}

impl Batch {
    fn is_done(&self) -> bool {
        self.at == self.small.len() && self.next_large == self.large.len()
    }

    fn clear(&mut self) {
        self.small.clear();
        if self.small.capacity() > KEPT {
            self.small = Vec::new();
        }
        self.large.clear();
        (self.at, self.next_large, self.in_large) = (0, 0, 0);
    }

    fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let (mut count, mut at, mut skipped) = (0, self.at, self.in_large);
        let mut put = |bytes: &'a [u8]| {
            if !bytes.is_empty() && count < SLICES {
                slices[count] = IoSlice::new(bytes);
                count += 1;
            }
        };
        for (place, bytes) in self.large[self.next_large..].iter().take(SLICES) {
            put(&self.small[at..*place]);
            put(&bytes[skipped..]);
            (at, skipped) = (*place, 0);
        }
        if self.large.len() - self.next_large < SLICES {
            put(&self.small[at..]);
        }
        count
    }

    fn advance(&mut self, mut written: usize) {
        while written > 0 {
            let large = self.large.get(self.next_large);
            let place = large.map_or(self.small.len(), |(place, _)| *place);
            if self.at < place {
                let step = written.min(place - self.at);
                self.at += step;
                written -= step;
                continue;
            }
            let Some((_, bytes)) = large else { return };
            let step = written.min(bytes.len() - self.in_large);
            self.in_large += step;
            written -= step;
            if self.in_large == bytes.len() {
                (self.next_large, self.in_large) = (self.next_large + 1, 0);
            }
        }
    }
}

/// What waits to be written.
#[derive(Default)]
pub(crate) struct Outbox {
    batch: Batch,
    /// How many bytes were ever put in, and how many of them left.
    accepted: u64,
    written: u64,
    reactions: usize,
    /// Who writes, while it sleeps.
    writer: Option<Waker>,
    /// Who waits until less waits to be written.
    waiting: Vec<Waker>,
}

impl Outbox {
    /// Puts in a frame, whose payload a function writes. Gives what the function gave.
    pub(crate) fn frame(
        &mut self,
        call: u32,
        kind: u8,
        payload: impl FnOnce(&mut Vec<u8>) -> u8,
        rest: &Bytes,
    ) {
        let buffer = &mut self.batch.small;
        let start = buffer.len();
        buffer.extend_from_slice(&[0; HEADER]);
        let flags = payload(buffer);
        let is_copied = rest.len() <= COPIED;
        if is_copied {
            buffer.extend_from_slice(rest);
        }
        let here = buffer.len() - start;
        let whole = if is_copied { here } else { here + rest.len() };
        let header = Header {
            // No more than a frame of the other side's, of which 32 bits say how large it may be.
            length: u32::try_from(whole - HEADER).unwrap_or(u32::MAX),
            call,
            kind,
            flags,
        };
        buffer[start..start + HEADER].copy_from_slice(&header.to_bytes());
        if !is_copied {
            let place = buffer.len();
            self.batch.large.push((place, rest.clone()));
        }
        self.accepted += whole as u64;
    }

    /// Puts in a frame whose payload is there.
    pub(crate) fn plain(&mut self, call: u32, kind: u8, flags: u8, payload: &[u8]) {
        let write = |buffer: &mut Vec<u8>| {
            buffer.extend_from_slice(payload);
            flags
        };
        self.frame(call, kind, write, &Bytes::new());
    }

    /// Puts in a frame that the other side causes. False: it causes too many without taking them.
    pub(crate) fn reaction(&mut self, call: u32, kind: u8, payload: &[u8]) -> bool {
        self.plain(call, kind, 0, payload);
        self.reactions += HEADER + payload.len();
        self.reactions <= REACTIONS
    }

    /// How many bytes were ever put in: behind which of them a frame ends that was just put in.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted
    }

    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    pub(crate) fn queued(&self) -> u64 {
        self.accepted - self.written
    }

    /// Who is to be woken, because there is something to write.
    pub(crate) fn wake(&mut self) -> Option<Waker> {
        match self.batch.is_done() {
            true => None,
            false => self.writer.take(),
        }
    }

    /// Whether something waits that the writer has not taken.
    pub(crate) fn has_frames(&self) -> bool {
        !self.batch.is_done()
    }

    /// Ready when less than so many bytes wait.
    pub(crate) fn poll_room(&mut self, water: u64, context: &mut Context<'_>) -> Poll<()> {
        if self.queued() < water {
            return Poll::Ready(());
        }
        if !self
            .waiting
            .iter()
            .any(|waiting| waiting.will_wake(context.waker()))
        {
            self.waiting.push(context.waker().clone());
        }
        Poll::Pending
    }

    /// Wakes all who wait for room.
    pub(crate) fn release(&mut self, wakers: &mut Vec<Waker>) {
        wakers.append(&mut self.waiting);
    }
}

/// Writes out what is put into an outbox.
#[derive(Default)]
pub(crate) struct Writer {
    batch: Batch,
    written: u64,
    is_flushed: bool,
}

impl Writer {
    /// Whether something is left of what was taken.
    pub(crate) fn is_busy(&self) -> bool {
        !self.batch.is_done() || !self.is_flushed
    }

    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Takes what waits. False: nothing does, and the writer is woken when something does.
    pub(crate) fn take(
        &mut self,
        outbox: &mut Outbox,
        wakers: &mut Vec<Waker>,
        context: &mut Context<'_>,
    ) -> bool {
        outbox.written = self.written;
        outbox.release(wakers);
        self.batch.clear();
        if outbox.batch.is_done() {
            outbox.reactions = 0;
            let waker = context.waker();
            if outbox
                .writer
                .as_ref()
                .is_none_or(|writer| !writer.will_wake(waker))
            {
                outbox.writer = Some(waker.clone());
            }
            return false;
        }
        std::mem::swap(&mut self.batch, &mut outbox.batch);
        true
    }

    /// Writes what was taken.
    pub(crate) fn poll_write(
        &mut self,
        socket: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.batch.is_done() {
            self.is_flushed = false;
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = self.batch.slices(&mut slices);
            let written = match count {
                1 => ready!(Pin::new(&mut *socket).poll_write(context, &slices[0])),
                _ => ready!(Pin::new(&mut *socket).poll_write_vectored(context, &slices[..count])),
            }?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written as u64;
            self.batch.advance(written);
        }
        if !self.is_flushed {
            ready!(Pin::new(socket).poll_flush(context))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn what_is_put_in_leaves_in_its_order_however_little_is_taken_at_once() {
        for step in [1, 7, 1000, 100_000] {
            let mut outbox = Outbox::default();
            let mut expected = Vec::new();
            for (at, size) in [3, 20_000, 0, 16 * 1024, 16 * 1024 + 1, 40_000, 5]
                .into_iter()
                .enumerate()
            {
                let call = u32::try_from(at).unwrap();
                let message = Bytes::from(vec![at as u8; size]);
                let header = Header {
                    length: size as u32 + 2,
                    call,
                    kind: 1,
                    flags: 4,
                };
                expected.extend_from_slice(&header.to_bytes());
                expected.extend_from_slice(b"hi");
                expected.extend_from_slice(&message);
                let head = |buffer: &mut Vec<u8>| {
                    buffer.extend_from_slice(b"hi");
                    4
                };
                outbox.frame(call, 1, head, &message);
            }
            assert_eq!(outbox.queued(), expected.len() as u64);
            let mut writer = Writer::default();
            let mut read = Vec::new();
            let (mut near, mut far) = tokio::io::duplex(step);
            poll_fn(|context| Poll::Ready(writer.take(&mut outbox, &mut Vec::new(), context))).await;
            let write = poll_fn(|context| writer.poll_write(&mut near, context));
            let read_all = async {
                while read.len() < expected.len() {
                    tokio::io::AsyncReadExt::read_buf(&mut far, &mut read)
                        .await
                        .unwrap();
                }
            };
            let (written, ()) = tokio::join!(write, read_all);
            written.unwrap();
            assert!(read == expected, "in steps of {step}");
            let is_more =
                poll_fn(|context| Poll::Ready(writer.take(&mut outbox, &mut Vec::new(), context))).await;
            assert!(!is_more && outbox.queued() == 0);
        }
    }
}
