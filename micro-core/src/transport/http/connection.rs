//! A connection's bytes, and how messages are read from them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use super::HttpLimits;
use super::familiar::Familiar;
use super::head::{BadHead, Framing, Head, Start, head_too_large, is_token, message_too_large, text};
use crate::{Text, wire};

/// First size of a read buffer, in bytes: a call with a body of 1 KiB and more fits.
const READ_BUFFER: usize = 4 * 1024;
/// Messages up to this size are copied out of the read buffer in one piece; larger bodies are read where they stay.
const SMALL: usize = 16 * 1024;
/// How much of a body is reserved before it arrives, whatever its head promises.
const RESERVE: usize = 256 * 1024;
/// Room to read a little more than a body: the runtime knows that a read which did not fill its room has taken all
/// there was, and need not ask the system again.
const SLACK: usize = 64;
/// The longest line with a chunk's size, extensions included.
const CHUNK_LINE: usize = 1024;

/// How long a connection is silent before the kernel asks whether the other machine is still there …
const KEEP_ALIVE_TIME: Duration = Duration::from_secs(60);
/// … and how long until it asks again.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// Sets what every connection has, on both ends: nothing waits to be sent, and a machine that vanished is noticed.
pub(in crate::transport) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keep_alive = TcpKeepalive::new()
        .with_time(KEEP_ALIVE_TIME)
        .with_interval(KEEP_ALIVE_INTERVAL);
    SockRef::from(stream).set_tcp_keepalive(&keep_alive)
}

/// A byte stream: plain or encrypted.
pub(in crate::transport) enum Io {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// A message that was read whole.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) head: Box<Head>,
    /// As much of the head as is needed of it.
    pub(super) text: Text,
    pub(super) content_type: Text,
    pub(super) body: Bytes,
}

impl Message {
    pub(super) fn status(&self) -> u16 {
        match self.head.start {
            Start::Response { status } => status,
            _ => 0,
        }
    }
}

/// Which messages come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Requests,
    Responses,
}

/// Why no message could be read.
#[derive(Debug)]
pub(super) enum ReadError {
    Io(io::Error),
    /// The connection ended inside a message.
    Cut,
    Bad(BadHead),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<BadHead> for ReadError {
    fn from(bad: BadHead) -> Self {
        Self::Bad(bad)
    }
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(formatter),
            Self::Cut => formatter.write_str("the connection ended inside a message"),
            Self::Bad(bad) => formatter.write_str(&bad.detail),
        }
    }
}

/// What was received and not yet used.
#[derive(Debug, Default)]
pub(super) struct ReadBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// Up to where an incomplete head was searched for its end.
    searched: usize,
    familiar: Familiar,
}

impl ReadBuffer {
    pub(super) fn unread(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether the peer has sent as much ahead as is kept.
    pub(super) fn is_full(&self) -> bool {
        self.end - self.start >= READ_BUFFER
    }

    /// Gives memory back that only an unusually long head needed.
    pub(super) fn shrink(&mut self, kept: usize) {
        if self.is_empty() && self.bytes.len() > kept {
            *self = Self::default();
        }
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
        self.searched = 0;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Takes all bytes out, for another protocol.
    pub(super) fn take(&mut self) -> Bytes {
        let unread = Bytes::copy_from_slice(self.unread());
        *self = Self::default();
        unread
    }

    /// Reads what is there. `Ready(0)` is the end of the connection.
    pub(super) fn poll_fill(
        &mut self,
        io: &mut (impl AsyncRead + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.make_room();
        let mut free = ReadBuf::new(self.bytes.get_mut(self.end..).unwrap_or_default());
        ready!(Pin::new(io).poll_read(context, &mut free))?;
        let count = free.filled().len();
        self.end += count;
        Poll::Ready(Ok(count))
    }

    pub(super) async fn fill(&mut self, io: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
        std::future::poll_fn(|context| self.poll_fill(io, context)).await
    }

    fn make_room(&mut self) {
        if self.bytes.is_empty() {
            self.bytes.resize(READ_BUFFER, 0);
        } else if self.end == self.bytes.len() {
            if self.start > 0 {
                self.bytes.copy_within(self.start..self.end, 0);
                (self.start, self.end, self.searched) = (0, self.end - self.start, 0);
            } else {
                // Callers stop at their limits before this grows past them.
                self.bytes.resize(self.bytes.len() * 2, 0);
            }
        }
    }

    /// The next head, if it is complete.
    pub(super) fn head(&mut self, side: Side, limits: &HttpLimits) -> Result<Option<Box<Head>>, BadHead> {
        if self.is_empty() {
            return Ok(None);
        }
        // A head that dribbles in is parsed again only once an empty line has come.
        if self.searched > 0 && !self.has_empty_line() {
            return if self.unread().len() > limits.head_size {
                Err(head_too_large(limits))
            } else {
                Ok(None)
            };
        }
        let unread = self.bytes.get(self.start..self.end).unwrap_or_default();
        let head = self.familiar.head(side, unread, limits)?;
        if head.is_none() {
            self.searched = self.unread().len();
        }
        Ok(head)
    }

    fn has_empty_line(&mut self) -> bool {
        let unread = self.unread();
        let from = self.searched.saturating_sub(3).min(unread.len());
        let news = unread.get(from..).unwrap_or_default();
        let found =
            news.windows(3).any(|bytes| bytes == b"\n\r\n") || news.windows(2).any(|bytes| bytes == b"\n\n");
        self.searched = unread.len();
        found
    }

    /// The whole message, if it is here and small; else the head comes back.
    pub(super) fn whole(
        &mut self,
        head: Box<Head>,
        side: Side,
    ) -> Result<Result<Message, Box<Head>>, BadHead> {
        let body = match head.framing {
            Framing::Length(length) => length,
            Framing::None if side == Side::Requests => 0,
            _ => return Ok(Err(head)),
        };
        let total = head.length.saturating_add(body);
        let Some(bytes) = self.unread().get(..total).filter(|_| total <= SMALL) else {
            return Ok(Err(head));
        };
        let content_type = known_content_type(&head, bytes);
        let message = match self.familiar.text(&head, head.needed(content_type.is_some())) {
            Some(text) => Message {
                content_type: content_type.unwrap_or_else(|| self::text(&text, head.content_type)),
                body: Bytes::copy_from_slice(bytes.get(head.length..).unwrap_or_default()),
                text,
                head,
            },
            None => {
                let bytes = Bytes::copy_from_slice(bytes);
                let text = head_text(bytes.slice(..head.length))?;
                Message {
                    content_type: content_type.unwrap_or_else(|| self::text(&text, head.content_type)),
                    body: bytes.slice(head.length..),
                    text,
                    head,
                }
            }
        };
        self.consume(total);
        Ok(Ok(message))
    }

    /// Reads the rest of a message whose head is known and that is not [whole](Self::whole).
    pub(super) async fn rest(
        &mut self,
        head: Box<Head>,
        io: &mut (impl AsyncRead + Unpin),
        limits: &HttpLimits,
    ) -> Result<Message, ReadError> {
        let side = match head.start {
            Start::Response { .. } => Side::Responses,
            _ => Side::Requests,
        };
        let bytes = self.unread().get(..head.length).unwrap_or_default();
        let content_type = known_content_type(&head, bytes);
        let text = match self.familiar.text(&head, head.needed(content_type.is_some())) {
            Some(text) => text,
            None => head_text(Bytes::copy_from_slice(bytes))?,
        };
        let content_type = content_type.unwrap_or_else(|| self::text(&text, head.content_type));
        self.consume(head.length);
        let body = match head.framing {
            Framing::Length(length) => self.long_body(length, io).await?,
            Framing::Chunked => self.chunked_body(io, limits).await?,
            Framing::None if side == Side::Requests => Bytes::new(),
            Framing::None => self.body_until_end(io, limits).await?,
        };
        Ok(Message {
            content_type,
            body,
            text,
            head,
        })
    }

    /// The next message; `None` when the connection ended before it.
    pub(super) async fn message(
        &mut self,
        side: Side,
        io: &mut (impl AsyncRead + Unpin),
        limits: &HttpLimits,
    ) -> Result<Option<Message>, ReadError> {
        loop {
            if let Some(head) = self.head(side, limits)? {
                // Nobody asked for another protocol, so 101 is an answer, and a strange one.
                if let Start::Response {
                    status: 100 | 102..200,
                } = head.start
                {
                    self.consume(head.length);
                    continue;
                }
                return match self.whole(head, side)? {
                    Ok(message) => Ok(Some(message)),
                    // Boxed, so that what is rare does not make every call's future larger.
                    Err(head) => Box::pin(self.rest(head, io, limits)).await.map(Some),
                };
            }
            if self.fill(io).await? == 0 {
                return if self.is_empty() {
                    Ok(None)
                } else {
                    Err(ReadError::Cut)
                };
            }
        }
    }

    async fn long_body(
        &mut self,
        length: usize,
        io: &mut (impl AsyncRead + Unpin),
    ) -> Result<Bytes, ReadError> {
        let mut body = BytesMut::with_capacity(length.min(RESERVE) + SLACK);
        let here = self.unread().len().min(length);
        body.extend_from_slice(self.unread().get(..here).unwrap_or_default());
        self.consume(here);
        while body.len() < length {
            let missing = length - body.len();
            if body.capacity() - body.len() <= SLACK {
                body.reserve(missing.min(body.len().max(RESERVE)) + SLACK);
            }
            if io.read_buf(&mut (&mut body).limit(missing + SLACK)).await? == 0 {
                return Err(ReadError::Cut);
            }
        }
        if body.len() > length {
            self.give_back(&body.split_off(length));
        }
        Ok(body.freeze())
    }

    /// Puts back the beginning of the next message, which was read along with the end of a body. All else was read.
    fn give_back(&mut self, next: &[u8]) {
        self.make_room();
        if let Some(room) = self.bytes.get_mut(..next.len()) {
            room.copy_from_slice(next);
            (self.start, self.end) = (0, next.len());
        }
    }

    async fn body_until_end(
        &mut self,
        io: &mut (impl AsyncRead + Unpin),
        limits: &HttpLimits,
    ) -> Result<Bytes, ReadError> {
        let mut body = BytesMut::new();
        loop {
            body.extend_from_slice(self.unread());
            self.consume(self.unread().len());
            if body.len() > limits.message_size {
                return Err(message_too_large(limits).into());
            }
            if self.fill(io).await? == 0 {
                return Ok(body.freeze());
            }
        }
    }

    async fn chunked_body(
        &mut self,
        io: &mut (impl AsyncRead + Unpin),
        limits: &HttpLimits,
    ) -> Result<Bytes, ReadError> {
        let mut body = BytesMut::new();
        loop {
            let length = chunk_size(self.line(io, CHUNK_LINE).await?)?;
            if length == 0 {
                break;
            }
            if length > limits.message_size - body.len() {
                return Err(message_too_large(limits).into());
            }
            self.chunk(length, &mut body, io).await?;
            if !self.line(io, CHUNK_LINE).await?.is_empty() {
                return Err(BadHead::new(400, "a chunk is longer than its size says").into());
            }
        }
        // Trailers say nothing that is known here.
        let mut room = limits.head_size;
        loop {
            let line = self.line(io, room).await?;
            if line.is_empty() {
                return Ok(body.freeze());
            }
            check_trailer(&line)?;
            room = room.saturating_sub(line.len() + 2);
        }
    }

    async fn chunk(
        &mut self,
        mut length: usize,
        body: &mut BytesMut,
        io: &mut (impl AsyncRead + Unpin),
    ) -> Result<(), ReadError> {
        while length > 0 {
            if self.is_empty() && self.fill(io).await? == 0 {
                return Err(ReadError::Cut);
            }
            let here = self.unread().len().min(length);
            body.extend_from_slice(self.unread().get(..here).unwrap_or_default());
            self.consume(here);
            length -= here;
        }
        Ok(())
    }

    /// Takes a line that ends with CR LF, and returns it without them.
    async fn line(&mut self, io: &mut (impl AsyncRead + Unpin), limit: usize) -> Result<Vec<u8>, ReadError> {
        loop {
            if let Some(end) = self.unread().iter().position(|byte| *byte == b'\n') {
                let line = self.unread().get(..end).unwrap_or_default();
                let line = line
                    .strip_suffix(b"\r")
                    .ok_or_else(|| BadHead::new(400, "a line ends without CR"))?
                    .to_vec();
                if line.len() > limit {
                    return Err(line_too_long(limit));
                }
                self.consume(end + 1);
                return Ok(line);
            }
            if self.unread().len() > limit.saturating_add(2) {
                return Err(line_too_long(limit));
            }
            if self.fill(io).await? == 0 {
                return Err(ReadError::Cut);
            }
        }
    }
}

fn line_too_long(limit: usize) -> ReadError {
    BadHead::new(400, format!("a line between chunks exceeds {limit} bytes")).into()
}

/// A trailer must look like a header, or the end of the body may be disputed.
fn check_trailer(line: &[u8]) -> Result<(), BadHead> {
    let colon = line.iter().position(|byte| *byte == b':').unwrap_or_default();
    let (name, value) = line.split_at_checked(colon).unwrap_or_default();
    if name.is_empty() || !name.iter().copied().all(is_token) || value.iter().any(is_control) {
        return Err(BadHead::new(400, "a line after the last chunk is no trailer"));
    }
    Ok(())
}

fn is_control(byte: &u8) -> bool {
    byte.is_ascii_control() && *byte != b'\t'
}

/// The size before a chunk: hexadecimal digits, then extensions that mean nothing here.
fn chunk_size(line: Vec<u8>) -> Result<usize, BadHead> {
    let digits = line
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii_end();
    let wrong = || BadHead::new(400, "the size of a chunk is no hexadecimal number");
    if line.iter().any(is_control) {
        return Err(BadHead::new(
            400,
            "a control character stands behind the size of a chunk",
        ));
    }
    if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(wrong());
    }
    let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
    usize::from_str_radix(digits, 16).map_err(|_| wrong())
}

fn known_content_type(head: &Head, bytes: &[u8]) -> Option<Text> {
    let (start, end) = head.content_type;
    if start == end {
        return Some(Text::new());
    }
    wire::content_type(bytes.get(start as usize..end as usize)?)
}

fn head_text(bytes: Bytes) -> Result<Text, BadHead> {
    Text::from_utf8(bytes).map_err(|_| BadHead::new(400, "the head is not UTF-8"))
}

/// Writes a head and a body: in one piece when the body is small, else as two slices of one write.
pub(super) async fn write_message(
    io: &mut (impl AsyncWrite + Unpin),
    head: &mut Vec<u8>,
    mut body: &[u8],
) -> io::Result<()> {
    if body.len() <= SMALL {
        head.extend_from_slice(std::mem::take(&mut body));
    }
    let mut head = head.as_slice();
    std::future::poll_fn(|context| poll_write_all(io, context, &mut head, &mut body)).await
}

/// Writes all of two slices, of which the unwritten ends stay.
fn poll_write_all(
    io: &mut (impl AsyncWrite + Unpin),
    context: &mut Context<'_>,
    first: &mut &[u8],
    second: &mut &[u8],
) -> Poll<io::Result<()>> {
    while !first.is_empty() || !second.is_empty() {
        let written = ready!(match second.is_empty() {
            true => Pin::new(&mut *io).poll_write(context, first),
            false => {
                let slices = [io::IoSlice::new(first), io::IoSlice::new(second)];
                Pin::new(&mut *io).poll_write_vectored(context, &slices)
            }
        })?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        let of_first = written.min(first.len());
        *first = first.get(of_first..).unwrap_or_default();
        *second = second.get(written - of_first..).unwrap_or_default();
    }
    Pin::new(io).poll_flush(context)
}

#[cfg(test)]
mod tests {
    use super::super::head::str_of;
    use super::*;

    async fn read(text: &str, side: Side) -> Result<Option<Message>, ReadError> {
        ReadBuffer::default()
            .message(side, &mut text.as_bytes(), &HttpLimits::default())
            .await
    }

    fn code(result: Result<Option<Message>, ReadError>) -> i32 {
        match result {
            Err(ReadError::Bad(bad)) => bad.code,
            Err(ReadError::Cut) => -1,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn bodies_of_all_framings_are_read() {
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n";
        assert_eq!(
            read(chunked, Side::Requests).await.unwrap().unwrap().body,
            "abcde"
        );
        let empty = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        assert_eq!(read(empty, Side::Requests).await.unwrap().unwrap().body, "");
        let long = "x".repeat(100_000);
        let text = format!("POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n{long}");
        assert_eq!(read(&text, Side::Requests).await.unwrap().unwrap().body, long);
        let unframed = format!("HTTP/1.1 200 OK\r\n\r\n{long}");
        assert_eq!(
            read(&unframed, Side::Responses).await.unwrap().unwrap().body,
            long
        );
        assert_eq!(
            read("GET / HTTP/1.1\r\n\r\n", Side::Requests)
                .await
                .unwrap()
                .unwrap()
                .body,
            ""
        );
        assert!(read("", Side::Requests).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_header_that_nobody_needs_may_be_any_bytes_however_the_answer_arrives() {
        let bytes = b"HTTP/1.1 200 OK\r\nAccept: \xff\r\nContent-Length: 2\r\n\r\nok";
        let limits = HttpLimits::default();
        let (mut near, mut far) = tokio::io::duplex(1);
        let write = async {
            tokio::io::AsyncWriteExt::write_all(&mut far, bytes)
                .await
                .unwrap()
        };
        let mut cut = ReadBuffer::default();
        let (cut, ()) = tokio::join!(cut.message(Side::Responses, &mut near, &limits), write);
        let mut whole = ReadBuffer::default();
        let whole = whole.message(Side::Responses, &mut &bytes[..], &limits).await;
        for message in [cut, whole] {
            assert_eq!(message.unwrap().unwrap().body, "ok");
        }
    }

    #[tokio::test]
    async fn what_is_read_beyond_a_long_body_is_the_next_message() {
        for beyond in [1, 40, 64, 65, 500] {
            let long = "x".repeat(100_000);
            let next = format!("GET /{} HTTP/1.1\r\n\r\n", "y".repeat(beyond));
            let text = format!("POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n{long}{next}");
            let (mut buffer, mut bytes) = (ReadBuffer::default(), text.as_bytes());
            let limits = HttpLimits::default();
            let first = buffer
                .message(Side::Requests, &mut bytes, &limits)
                .await
                .unwrap()
                .unwrap();
            assert_eq!(first.body, long);
            let second = buffer
                .message(Side::Requests, &mut bytes, &limits)
                .await
                .unwrap()
                .unwrap();
            assert_eq!(second.head.length, next.len());
            assert!(
                buffer
                    .message(Side::Requests, &mut bytes, &limits)
                    .await
                    .unwrap()
                    .is_none()
            );
        }
    }

    #[tokio::test]
    async fn an_interim_answer_is_skipped() {
        let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let message = read(text, Side::Responses).await.unwrap().unwrap();
        assert_eq!((message.status(), &message.body[..]), (200, &b"ok"[..]));
    }

    #[tokio::test]
    async fn malformed_chunks_are_refused() {
        let body = |chunks: &str| format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        for chunks in [
            "x\r\n",
            "-1\r\n",
            "\r\n",
            "0x1\r\n",
            "1\nab",
            "1\r\nab\r\n",
            "ffffffffffffffffff\r\n",
            " 1\r\n",
            "1\r\r\na\r\n0\r\n\r\n",
            "1;a\rb\r\na\r\n0\r\n\r\n",
            "0\r\nno trailer\r\n\r\n",
            "0\r\nA: b\r\n folded\r\n\r\n",
        ] {
            assert_eq!(code(read(&body(chunks), Side::Requests).await), 400, "{chunks:?}");
        }
        assert_eq!(code(read(&body("fffffff\r\n"), Side::Requests).await), 413);
        let extension = format!("1;{}\r\n", "x".repeat(5000));
        assert_eq!(code(read(&body(&extension), Side::Requests).await), 400);
        assert_eq!(code(read(&body("5\r\nabc"), Side::Requests).await), -1);
        let trailers = format!("0\r\n{}", "A: b\r\n".repeat(100_000));
        assert_eq!(code(read(&body(&trailers), Side::Requests).await), 400);
    }

    #[tokio::test]
    async fn messages_that_arrive_byte_by_byte_are_the_same() {
        let text =
            "POST / HTTP/1.1\r\nMicro-Endpoint: A.B\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n";
        let (mut near, mut far) = tokio::io::duplex(1);
        let write = async {
            tokio::io::AsyncWriteExt::write_all(&mut far, text.as_bytes())
                .await
                .unwrap();
            drop(far);
        };
        let read = async {
            let mut buffer = ReadBuffer::default();
            let limits = HttpLimits::default();
            let first = buffer
                .message(Side::Requests, &mut near, &limits)
                .await
                .unwrap()
                .unwrap();
            assert_eq!(first.body, "abc");
            assert_eq!(str_of(&first.text, first.head.endpoint), "A.B");
            assert!(
                buffer
                    .message(Side::Requests, &mut near, &limits)
                    .await
                    .unwrap()
                    .is_some()
            );
            assert!(
                buffer
                    .message(Side::Requests, &mut near, &limits)
                    .await
                    .unwrap()
                    .is_none()
            );
        };
        tokio::join!(write, read);
    }
}
