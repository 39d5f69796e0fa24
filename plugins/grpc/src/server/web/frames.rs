//! Messages in frames, as gRPC-Web and Connect's streams have them: gRPC's, and one more that says how the call ended.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use futures_core::Stream;
use http::{HeaderMap, HeaderValue};
use micro_core::handler::CallKind;
use micro_core::{Body, Error, Result, Text};

use super::dialect::Dialect;
use super::{base64, connect};
use crate::config::Compression;
use crate::framing::{Assembler, malformed, put_message};
use crate::status::{self, GRPC_STATUS};

/// The flag of the frame that ends an answer of gRPC-Web, and of Connect.
const TRAILERS: u8 = 0x80;
const END_OF_STREAM: u8 = 0x02;
/// How much of ready messages is packed together, in bytes.
const PACKED: usize = 32 * 1024;

/// The messages of a caller.
pub(super) struct Arrived {
    /// `None` after the end.
    body: Option<Body>,
    text: Option<base64::Decoder>,
    assembler: Assembler,
    first: Option<Bytes>,
    endpoint: Text,
}

impl Arrived {
    pub(super) fn new(body: Body, is_text: bool, limit: usize, is_gzip: bool, endpoint: Text) -> Self {
        Self {
            body: Some(body),
            text: is_text.then(base64::Decoder::default),
            assembler: Assembler::new(limit, is_gzip),
            first: None,
            endpoint,
        }
    }

    /// Waits for the first message, with which a call of gRPC-Web always begins.
    pub(super) async fn begin(mut self) -> Result<(CallKind, Body)> {
        let Some(first) = std::future::poll_fn(|context| self.poll_message(context)).await else {
            return Ok((CallKind::Stream, Body::stream(self)));
        };
        let first = first?;
        let mut is_whole = false;
        if self.assembler.is_empty() {
            let next = std::future::poll_fn(|context| Poll::Ready(self.poll_piece(context))).await;
            if let Poll::Ready(next) = next {
                is_whole = !next?;
            }
        }
        if is_whole {
            return Ok((CallKind::Unary, first.into()));
        }
        self.first = Some(first);
        Ok((CallKind::Stream, Body::stream(self)))
    }

    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        loop {
            match self.assembler.next() {
                Ok(Some(message)) => return Poll::Ready(Some(Ok(message))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            match ready!(self.poll_piece(context)) {
                Ok(true) => {}
                Ok(false) if self.assembler.is_empty() => return Poll::Ready(None),
                Ok(false) => {
                    let cut = malformed("the call ended inside a message");
                    return Poll::Ready(Some(Err(cut)));
                }
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    /// Hands what arrives to the assembler, which has nothing left to look at. False: it was the end.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<bool>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(Ok(false));
        };
        let piece = match ready!(body.poll_message(context)) {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => return Poll::Ready(Err(error)),
            None => {
                self.body = None;
                // What is left of base64 without padding.
                let rest = self.text.as_mut().map(base64::Decoder::finish).transpose()?;
                let rest = rest.unwrap_or_default();
                let is_more = !rest.is_empty();
                self.assembler.push(rest);
                return Poll::Ready(Ok(is_more));
            }
        };
        let piece = match &mut self.text {
            Some(decoder) => decoder.push(&piece)?,
            None => piece,
        };
        self.assembler.push(piece);
        Poll::Ready(Ok(true))
    }
}

impl Stream for Arrived {
    type Item = Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let arrived = self.get_mut();
        if let Some(first) = arrived.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        let message = ready!(arrived.poll_message(context));
        Poll::Ready(message.map(|message| message.map_err(|error| error.context(&arrived.endpoint))))
    }
}

/// A bare message that may be compressed.
pub(super) fn decompressed(message: Bytes, is_gzip: bool, limit: usize) -> Result<Bytes> {
    if !is_gzip {
        return Ok(message);
    }
    let mut framed = BytesMut::new();
    put_message(&mut framed, &message, true)?;
    let mut assembler = Assembler::new(limit, true);
    assembler.push(framed.freeze());
    Ok(assembler.next()?.unwrap_or_default())
}

/// An answer as it leaves.
pub(super) struct Leaving {
    /// `None` after the end.
    body: Option<Body>,
    dialect: Dialect,
    compression: Compression,
    packed: BytesMut,
}

impl Leaving {
    pub(super) fn new(body: Body, dialect: Dialect, compression: Compression) -> Self {
        Self {
            body: Some(body),
            dialect,
            compression,
            packed: BytesMut::new(),
        }
    }

    /// As pieces; as one where the answer is one message.
    pub(super) fn into_body(mut self) -> Body {
        match self.body.take().map(Body::try_into_single) {
            Some(Ok(message)) => {
                let end = self.pack(message).err();
                end_frame(&mut self.packed, end.as_ref(), self.dialect);
                as_travelling(self.packed.freeze(), self.dialect).into()
            }
            Some(Err(body)) => {
                self.body = Some(body);
                Body::stream(self)
            }
            None => Body::empty(),
        }
    }

    fn pack(&mut self, message: Bytes) -> Result<()> {
        let (message, is_compressed) = self.compression.compress(message);
        put_message(&mut self.packed, &message, is_compressed)
    }

    fn end(&mut self, error: Option<&Error>) {
        // What the body holds ends before the caller learns of the end.
        self.body = None;
        end_frame(&mut self.packed, error, self.dialect);
    }
}

impl Stream for Leaving {
    type Item = Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let leaving = self.get_mut();
        while leaving.packed.len() < PACKED
            && let Some(body) = &mut leaving.body
        {
            match body.poll_message(context) {
                Poll::Ready(Some(Ok(message))) => {
                    if let Err(error) = leaving.pack(message) {
                        leaving.end(Some(&error));
                    }
                }
                Poll::Ready(Some(Err(error))) => leaving.end(Some(&error)),
                Poll::Ready(None) => leaving.end(None),
                Poll::Pending if leaving.packed.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        if leaving.packed.is_empty() {
            return Poll::Ready(None);
        }
        let piece = leaving.packed.split().freeze();
        Poll::Ready(Some(Ok(as_travelling(piece, leaving.dialect))))
    }
}

/// The body of an answer that is an error and nothing else.
pub(super) fn failure(error: &Error, dialect: Dialect) -> Bytes {
    let mut buffer = BytesMut::new();
    end_frame(&mut buffer, Some(error), dialect);
    as_travelling(buffer.freeze(), dialect)
}

fn as_travelling(piece: Bytes, dialect: Dialect) -> Bytes {
    match dialect {
        Dialect::GrpcWeb { is_text: true } => base64::encode(&piece),
        _ => piece,
    }
}

/// Says how the call ended.
fn end_frame(buffer: &mut BytesMut, error: Option<&Error>, dialect: Dialect) {
    let (flag, end) = match dialect {
        Dialect::GrpcWeb { .. } => (TRAILERS, trailers(error)),
        _ => (END_OF_STREAM, connect::end_of_stream(error)),
    };
    buffer.reserve(5 + end.len());
    buffer.put_u8(flag);
    // What is told of an error is as long as the error, which is far below 4 GiB.
    buffer.put_u32(u32::try_from(end.len()).unwrap_or(u32::MAX));
    buffer.extend_from_slice(&end);
}

fn trailers(error: Option<&Error>) -> Vec<u8> {
    let mut headers = HeaderMap::new();
    match error {
        None => {
            headers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
        }
        Some(error) => status::write(error, &mut headers),
    }
    let mut text = Vec::new();
    for (name, value) in &headers {
        text.extend_from_slice(name.as_str().as_bytes());
        text.push(b':');
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text
}
