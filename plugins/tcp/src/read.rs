//! Frames as they come off a connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::AsyncRead;
use tokio::time::Instant;
use tokio_util::io::poll_read_buf;

use crate::cursor::{Violation, violation};
use crate::frame::{Decoder, Frame, HEADER, Header, Payload};

/// How much is read at once, in bytes.
const BUFFER: usize = 32 * 1024;
/// From which size on a payload that is not there yet is read to where it stays, in bytes.
const LARGE: u32 = 8 * 1024;

/// Reads the frames of a connection.
pub(crate) struct Reader {
    buffer: BytesMut,
    large: Option<(Header, BytesMut)>,
    decoder: Decoder,
}

impl Reader {
    pub(crate) fn new(decoder: Decoder) -> Self {
        Self {
            buffer: BytesMut::with_capacity(BUFFER),
            large: None,
            decoder,
        }
    }

    /// Reads what there is. Ready with 0 at the end.
    pub(crate) fn poll_fill(
        &mut self,
        socket: &mut (impl AsyncRead + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let socket = Pin::new(socket);
        if let Some((header, payload)) = &mut self.large {
            let missing = header.length as usize - payload.len();
            return poll_read_buf(socket, context, &mut payload.limit(missing));
        }
        // Room for a payload that is not large and the beginning of the next frame at least.
        self.buffer.reserve(BUFFER - self.buffer.len().min(BUFFER / 2));
        Poll::Ready(ready!(poll_read_buf(socket, context, &mut self.buffer)))
    }

    /// Whether a frame has begun and is not there yet.
    pub(crate) fn is_mid_frame(&self) -> bool {
        self.large.is_some() || !self.buffer.is_empty()
    }

    /// The next frame of what was read.
    pub(crate) fn next(&mut self, now: Instant) -> Result<Option<Frame>, Violation> {
        if let Some((header, payload)) = self.large.take() {
            if payload.len() < header.length as usize {
                self.large = Some((header, payload));
                return Ok(None);
            }
            let frame = self.decoder.decode(header, Payload::Own(payload.freeze()), now);
            return frame.map(Some);
        }
        let Some(header) = Header::parse(&self.buffer) else {
            return Ok(None);
        };
        if header.length > self.decoder.frame_size() {
            return Err(violation(format!(
                "a frame of {} bytes is larger than {}, the limit frame_size",
                header.length,
                self.decoder.frame_size()
            )));
        }
        let end = HEADER + header.length as usize;
        if let Some(payload) = self.buffer.get(HEADER..end) {
            let frame = self.decoder.decode(header, Payload::Here(payload), now);
            self.buffer.advance(end);
            return frame.map(Some);
        }
        if header.length > LARGE {
            let mut payload = BytesMut::with_capacity(header.length as usize);
            payload.put_slice(&self.buffer[HEADER..]);
            self.buffer.clear();
            self.large = Some((header, payload));
        }
        Ok(None)
    }
}
