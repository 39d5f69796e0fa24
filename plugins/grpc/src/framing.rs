//! gRPC's framing: a flag, a length of four bytes, and the message, compressed or not.

use std::io::{Read, Write};

use bytes::{BufMut, Bytes, BytesMut};
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderName, HeaderValue};
use micro_core::handler::{Lot, Packed};
use micro_core::{Error, Result};

use crate::config::Compression;

/// The flag and the length.
const PREFIX: usize = 5;
/// Messages up to this size are copied out of what was read: a small one would keep the whole of it from being used again.
const COPIED: usize = 2 * 1024;
/// How much is reserved of a message before it arrives, whatever its prefix promises.
const RESERVE: usize = 256 * 1024;

/// What this side can read, as the value of `grpc-accept-encoding`.
pub(crate) const ACCEPTED: HeaderValue = HeaderValue::from_static("identity,gzip");
pub(crate) const GZIP: HeaderValue = HeaderValue::from_static("gzip");
pub(crate) const IDENTITY: HeaderValue = HeaderValue::from_static("identity");

/// Adds a message with its prefix to a buffer.
pub(crate) fn put_message(buffer: &mut BytesMut, message: &[u8], is_compressed: bool) -> Result<()> {
    put_prefix(buffer, message.len(), is_compressed)?;
    buffer.extend_from_slice(message);
    Ok(())
}

/// Adds the prefix of a message to a buffer.
pub(crate) fn put_prefix(buffer: &mut BytesMut, length: usize, is_compressed: bool) -> Result<()> {
    let length = u32::try_from(length).map_err(|_| {
        Error::too_large(
            "go.micro.transport",
            format!("a message of {length} bytes cannot be sent over gRPC, which counts up to 4 GiB"),
        )
    })?;
    buffer.reserve(PREFIX + length.min(COPIED as u32) as usize);
    buffer.put_u8(u8::from(is_compressed));
    buffer.put_u32(length);
    Ok(())
}

impl Compression {
    /// The message as it travels, and whether it was compressed.
    pub(crate) fn compress(self, message: Bytes) -> (Bytes, bool) {
        let Self::Gzip { from } = self else {
            return (message, false);
        };
        if message.len() < from {
            return (message, false);
        }
        let mut encoder = GzEncoder::new(Vec::with_capacity(message.len() / 2), flate2::Compression::fast());
        // Writing to memory does not fail; if it did, the message would travel as it is.
        match encoder.write_all(&message).and_then(|()| encoder.finish()) {
            Ok(compressed) => (compressed.into(), true),
            Err(_) => (message, false),
        }
    }

    pub(crate) fn is_on(self) -> bool {
        self != Self::None
    }
}

/// Whether the other side says in this header that it reads gzip.
pub(crate) fn reads_gzip(headers: &HeaderMap, accepted: &HeaderName) -> bool {
    headers.get_all(accepted).iter().any(|accepted| {
        let mut names = accepted.as_bytes().split(|byte| *byte == b',');
        names.any(|name| name.trim_ascii() == b"gzip")
    })
}

/// Whether what comes in may be compressed: the other side's `grpc-encoding`.
///
/// # Errors
///
/// Where it is one that this side does not read.
pub(crate) fn is_gzip(encoding: Option<&HeaderValue>) -> Result<bool> {
    match encoding.map(HeaderValue::as_bytes) {
        None | Some(b"identity") => Ok(false),
        Some(b"gzip") => Ok(true),
        Some(other) => Err(Error::new(
            "go.micro.transport",
            501,
            format!(
                "grpc-encoding {:?} is not read here; use gzip or identity",
                String::from_utf8_lossy(other)
            ),
        )),
    }
}

/// Puts messages together from what arrives of them.
pub(crate) struct Assembler {
    /// What arrived last and was not looked at.
    unread: Bytes,
    /// As much as is there of a prefix that did not come whole.
    prefix: [u8; PREFIX],
    prefix_length: usize,
    partial: Option<Partial>,
    limit: usize,
    is_gzip: bool,
}

/// A message of which a part is there.
struct Partial {
    bytes: Vec<u8>,
    length: usize,
    is_compressed: bool,
}

impl Assembler {
    pub(crate) fn new(limit: usize, is_gzip: bool) -> Self {
        Self {
            unread: Bytes::new(),
            prefix: [0; PREFIX],
            prefix_length: 0,
            partial: None,
            limit,
            is_gzip,
        }
    }

    /// Takes what arrived. [`next`](Self::next) must have returned `None` before.
    pub(crate) fn push(&mut self, bytes: Bytes) {
        self.unread = bytes;
    }

    /// Whether something of a message is there that is not whole.
    pub(crate) fn is_mid_message(&self) -> bool {
        self.partial.is_some() || self.prefix_length > 0
    }

    /// Whether there is nothing left to look at.
    pub(crate) fn is_empty(&self) -> bool {
        self.unread.is_empty() && !self.is_mid_message()
    }

    /// The next message that is whole.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>> {
        let partial = match &mut self.partial {
            Some(partial) => partial,
            None => {
                let Some(prefix) = self.take_prefix() else {
                    return Ok(None);
                };
                let (length, is_compressed) = self.check(prefix)?;
                if self.unread.len() >= length {
                    let message = self.unread.split_to(length);
                    return self.finished(message, is_compressed).map(Some);
                }
                self.partial.insert(Partial {
                    bytes: Vec::with_capacity(length.min(RESERVE)),
                    length,
                    is_compressed,
                })
            }
        };
        partial.fill(&mut self.unread);
        if partial.bytes.len() < partial.length {
            return Ok(None);
        }
        match self.partial.take() {
            Some(whole) => self.finished(whole.bytes.into(), whole.is_compressed).map(Some),
            None => Ok(None),
        }
    }

    /// The next messages that are whole: those that came together and uncompressed at once, others one by one.
    pub(crate) fn next_lot(&mut self) -> Result<Option<Lot>> {
        if !self.is_mid_message() {
            let packed = Packed::take(&mut self.unread, self.limit);
            if !packed.is_empty() {
                return Ok(Some(Lot::Several(packed)));
            }
        }
        Ok(self.next()?.map(Lot::One))
    }

    fn take_prefix(&mut self) -> Option<[u8; PREFIX]> {
        if self.prefix_length == 0
            && let Some(prefix) = self.unread.first_chunk()
        {
            let prefix = *prefix;
            let _ = self.unread.split_to(PREFIX);
            return Some(prefix);
        }
        let count = self.unread.len().min(PREFIX - self.prefix_length);
        let part = self.unread.split_to(count);
        self.prefix[self.prefix_length..self.prefix_length + count].copy_from_slice(&part);
        self.prefix_length += count;
        if self.prefix_length < PREFIX {
            return None;
        }
        self.prefix_length = 0;
        Some(self.prefix)
    }

    fn check(&self, [flag, length @ ..]: [u8; PREFIX]) -> Result<(usize, bool)> {
        let length = u32::from_be_bytes(length) as usize;
        if length > self.limit {
            return Err(self.too_large(format_args!("a message of {length} bytes")));
        }
        match flag {
            0 => Ok((length, false)),
            1 if self.is_gzip => Ok((length, true)),
            1 => Err(malformed(
                "a message is compressed, but its sender did not say how in grpc-encoding",
            )),
            _ => Err(malformed(
                "a message begins with neither 0 nor 1: this is not gRPC's framing",
            )),
        }
    }

    fn too_large(&self, what: impl std::fmt::Display) -> Error {
        let limit = self.limit;
        Error::too_large(
            "go.micro.transport",
            format!(
                "{what} exceeds {limit} bytes, the limit message_size; raise it in GrpcConfig::limits of the reader"
            ),
        )
    }

    fn finished(&self, message: Bytes, is_compressed: bool) -> Result<Bytes> {
        if is_compressed {
            return self.decompressed(&message);
        }
        if message.len() <= COPIED {
            return Ok(Bytes::copy_from_slice(&message));
        }
        Ok(message)
    }

    fn decompressed(&self, compressed: &[u8]) -> Result<Bytes> {
        let mut message = Vec::with_capacity((compressed.len() * 3).min(self.limit));
        // One more than may be there, so that too much is noticed and no more of it is made.
        let most = u64::try_from(self.limit).unwrap_or(u64::MAX).saturating_add(1);
        GzDecoder::new(compressed)
            .take(most)
            .read_to_end(&mut message)
            .map_err(|problem| malformed(&format!("a message cannot be decompressed: {problem}")))?;
        if message.len() > self.limit {
            return Err(self.too_large("a decompressed message"));
        }
        Ok(message.into())
    }
}

impl Partial {
    fn fill(&mut self, unread: &mut Bytes) {
        let count = unread.len().min(self.length - self.bytes.len());
        if self.bytes.capacity() - self.bytes.len() < count {
            // Grows with what arrives, and not with what was promised.
            let more = (self.bytes.len() * 3).clamp(count, self.length - self.bytes.len());
            self.bytes.reserve_exact(more);
        }
        self.bytes.extend_from_slice(&unread.split_to(count));
    }
}

pub(crate) fn malformed(problem: &str) -> Error {
    Error::bad_request("go.micro.transport", problem.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(messages: &[Bytes], compression: Compression) -> Bytes {
        let mut buffer = BytesMut::new();
        for message in messages {
            let (message, is_compressed) = compression.compress(message.clone());
            put_message(&mut buffer, &message, is_compressed).unwrap();
        }
        buffer.freeze()
    }

    fn read(bytes: &Bytes, piece: usize, assembler: &mut Assembler) -> Result<Vec<Bytes>> {
        let mut read = Vec::new();
        let mut rest = bytes.clone();
        while !rest.is_empty() {
            assembler.push(rest.split_to(piece.min(rest.len())));
            while let Some(message) = assembler.next()? {
                read.push(message);
            }
        }
        Ok(read)
    }

    #[test]
    fn messages_come_out_whole_however_they_were_cut() {
        let lengths = [0, 1, 5, 0, 300, COPIED, COPIED + 1, 70_000];
        let messages: Vec<Bytes> = lengths.iter().map(|length| vec![7; *length].into()).collect();
        for compression in [Compression::None, Compression::Gzip { from: 4 }] {
            let bytes = framed(&messages, compression);
            for piece in [1, 2, 4, 5, 6, 7, 1000, bytes.len()] {
                let mut assembler = Assembler::new(70_000, compression.is_on());
                assert_eq!(
                    read(&bytes, piece, &mut assembler).unwrap(),
                    messages,
                    "pieces of {piece}"
                );
                assert!(assembler.is_empty());
            }
        }
    }

    #[test]
    fn a_message_that_was_cut_off_is_not_whole() {
        let bytes = framed(&[Bytes::from_static(b"hello")], Compression::None);
        for length in 1..bytes.len() {
            let mut assembler = Assembler::new(100, false);
            assert!(
                read(&bytes.slice(..length), 100, &mut assembler)
                    .unwrap()
                    .is_empty()
            );
            assert!(assembler.is_mid_message() && !assembler.is_empty());
        }
    }

    #[test]
    fn what_is_too_large_names_the_limit_and_is_not_reserved() {
        let mut assembler = Assembler::new(1000, true);
        let error = read(&Bytes::from_static(b"\0\xff\xff\xff\xff"), 5, &mut assembler).unwrap_err();
        assert!(
            error.code() == 413 && error.detail().contains("message_size"),
            "{error}"
        );
        let bomb = framed(&[vec![0; 10_000_000].into()], Compression::Gzip { from: 0 });
        let mut assembler = Assembler::new(bomb.len(), true);
        let error = read(&bomb, 100, &mut assembler).unwrap_err();
        assert!(
            error.code() == 413 && error.detail().contains("message_size"),
            "{error}"
        );
        // A promise alone reserves little.
        let mut assembler = Assembler::new(usize::MAX, false);
        assert!(
            read(&Bytes::from_static(b"\0\x7f\xff\xff\xff12"), 9, &mut assembler)
                .unwrap()
                .is_empty()
        );
        assert!(assembler.partial.unwrap().bytes.capacity() <= RESERVE);
    }

    #[test]
    fn bytes_that_are_no_framing_are_an_error() {
        for bytes in [&b"\x02\0\0\0\0"[..], b"POST / HTTP/1.1", b"\x01\0\0\0\x01x"] {
            let mut assembler = Assembler::new(1 << 30, false);
            assert!(
                read(&Bytes::from_static(bytes), 100, &mut assembler).is_err(),
                "{bytes:?}"
            );
        }
        let mut assembler = Assembler::new(1000, true);
        let error = read(&Bytes::from_static(b"\x01\0\0\0\x03abc"), 100, &mut assembler).unwrap_err();
        assert_eq!(error.code(), 400);
    }
}
