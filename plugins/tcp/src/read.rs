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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use micro_core::{Metadata, Request};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::config::TcpConfig;
    use crate::frame::kind;
    use crate::head::{Numbers, write_call};
    use crate::preamble::Terms;

    fn reader() -> Reader {
        Reader::new(Decoder::new(Terms::of(&TcpConfig::default())))
    }

    /// Reads all frames of some bytes that come in pieces.
    fn read(bytes: &[u8], piece: usize) -> Result<Vec<Frame>, Violation> {
        let mut reader = reader();
        let mut frames = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for mut piece in bytes.chunks(piece.max(1)) {
            while !piece.is_empty() {
                let filled = poll_fn(|context| reader.poll_fill(&mut piece, context));
                runtime.block_on(filled).unwrap();
                while let Some(frame) = reader.next(Instant::now())? {
                    frames.push(frame);
                }
            }
        }
        Ok(frames)
    }

    fn framed(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let header = Header {
            length: u32::try_from(payload.len()).unwrap(),
            call: 1,
            kind,
            flags,
        };
        [&header.to_bytes(), payload].concat()
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(bytes in vec(any::<u8>(), 0..4000), piece in 1_usize..500) {
            let _ = read(&bytes, piece);
        }

        #[test]
        fn whatever_is_in_a_frame_is_read_or_refused(
            kind in 0_u8..13,
            flags in any::<u8>(),
            payload in vec(any::<u8>(), 0..600),
            piece in 1_usize..100,
        ) {
            if let Ok(frames) = read(&framed(kind, flags, &payload), piece) {
                prop_assert_eq!(frames.len(), 1);
            }
        }

        #[test]
        fn a_call_is_read_as_it_was_written(
            service in ".{0,20}", endpoint in ".{0,20}", content_type in ".{0,20}",
            pairs in vec(("[a-z]{1,9}-x", ".{0,30}"), 0..5),
            message in vec(any::<u8>(), 0..20_000),
            piece in 1_usize..9000,
        ) {
            let mut request = Request::new(service, endpoint, "");
            request.content_type = content_type.into();
            request.metadata = pairs.into_iter().collect::<Metadata>();
            let mut numbers = Numbers::default();
            let mut bytes = Vec::new();
            for _ in 0..2 {
                let mut payload = Vec::new();
                let flags = write_call(&request, None, &mut numbers, &mut payload);
                payload.extend_from_slice(&message);
                bytes.extend_from_slice(&framed(kind::CALL, flags, &payload));
            }
            let frames = read(&bytes, piece).unwrap();
            prop_assert_eq!(frames.len(), 2);
            for frame in frames {
                let Frame::Call { request: read, message: Some(body), .. } = frame else { panic!("{frame:?}") };
                prop_assert_eq!(&read.service, &request.service);
                prop_assert_eq!(&read.endpoint, &request.endpoint);
                prop_assert_eq!(&read.content_type, &request.content_type);
                let pairs = |request: &Request| {
                    let pairs = request.metadata.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
                    pairs.collect::<Vec<_>>()
                };
                prop_assert_eq!(pairs(&read), pairs(&request));
                prop_assert_eq!(&body.bytes, &message);
            }
        }
    }
}
