//! The serving end of a stream: both directions side by side on one connection.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::HttpLimits;
use super::batch::{Heads, gather};
use super::connection::{Io, ReadBuffer, ReadError, Side, write_message};
use super::head::{BadHead, Framing, str_of, write_known_header, write_length};
use super::listener::Server;
use super::serve::write_content_type;
use crate::wire::{END_OF_STREAM, error_body, error_text};
use crate::{Body, Error, Request, Result, Text};

/// How many messages may wait for a handler.
const BUFFER: usize = 8;
/// How long the caller may take to notice the end before the connection is closed.
const LINGER: Duration = Duration::from_millis(500);

pub(super) async fn serve(
    io: Io,
    input: ReadBuffer,
    mut request: Request,
    stream: Text,
    server: Arc<Server>,
) {
    let (read, write) = tokio::io::split(io);
    let (messages, mut receiver) = mpsc::channel(BUFFER);
    let ended = Arc::new(AtomicBool::new(false));
    let is_ended = ended.clone();
    request.body = Body::stream(stream::poll_fn(move |context| {
        let message = ready!(receiver.poll_recv(context));
        // What was cut short must not look whole, not even to who outlives the stream.
        Poll::Ready(message.or_else(|| (!is_ended.swap(true, Ordering::AcqRel)).then(|| Err(caller_gone()))))
    }));
    let mut writer = Writer {
        write,
        output: Vec::new(),
        content_type: request.content_type.clone(),
        stream,
    };
    let mut reader = Reader {
        read,
        input,
        limits: server.limits,
        ended,
        // Go's clients always say who they are, and ours only when a caller asks for it.
        closes_early: request.metadata.contains("User-Agent"),
    };
    let answer = async {
        let body = match server.handler.handle(request).await {
            Ok(response) => response.body,
            Err(error) => Body::stream(stream::iter([Err(error)])),
        };
        writer.send_all(body).await
    };
    let is_sent = tokio::select! {
        is_sent = answer => is_sent,
        // The caller went away or sent what cannot be read: the answer is dropped, and with it the handler.
        bad = reader.receive(messages) => match bad {
            Some(bad) if writer.output.is_empty() => {
                writer.push(Some(&error_text(&bad.into())), 0);
                writer.flush(&[]).await
            }
            _ => false,
        },
    };
    if !is_sent {
        return;
    }
    let _ = writer.write.shutdown().await;
    let _ = timeout(LINGER, reader.discard()).await;
}

fn caller_gone() -> Error {
    Error::server(499, "the caller closed the stream")
}

struct Reader {
    read: ReadHalf<Io>,
    input: ReadBuffer,
    limits: HttpLimits,
    /// The caller ended its direction in order.
    ended: Arc<AtomicBool>,
    /// The caller may be one of Go, which closes the connection right behind its `EOS` and does not mean that it
    /// is gone.
    closes_early: bool,
}

impl Reader {
    /// Hands on what the caller sends. Returns when the caller is gone without having ended its direction, or with
    /// what is wrong with its bytes. After an end in order the handler may still work: then this returns when the
    /// connection ends, or never where that means nothing.
    async fn receive(&mut self, messages: mpsc::Sender<Result<Bytes>>) -> Option<BadHead> {
        loop {
            let read = self.input.message(Side::Requests, &mut self.read, &self.limits);
            let message = match read.await {
                Ok(Some(message)) => message,
                Err(ReadError::Bad(bad)) => return Some(bad),
                Ok(None) | Err(_) => break,
            };
            let error = str_of(&message.text, message.head.error);
            if error == END_OF_STREAM {
                self.ended.store(true, Ordering::Release);
                drop(messages);
                // How Go writes a message without a body, whatever it says of itself.
                if self.closes_early || message.head.framing == Framing::Chunked {
                    return std::future::pending().await;
                }
                self.discard().await;
                return None;
            }
            let message = if error.is_empty() {
                Ok(message.body)
            } else {
                Err(Error::from_wire(error))
            };
            if !self.hand_on(&messages, message).await {
                break;
            }
        }
        None
    }

    /// Hands on a message once there is room, and meanwhile watches for the caller's going: false if it is gone.
    async fn hand_on(&mut self, messages: &mpsc::Sender<Result<Bytes>>, message: Result<Bytes>) -> bool {
        let Err(mpsc::error::TrySendError::Full(message)) = messages.try_send(message) else {
            // A handler that stopped listening does not stop the reading: its answer could not leave otherwise.
            return true;
        };
        let Self {
            read,
            input,
            closes_early,
            ..
        } = self;
        let mut room = pin!(messages.reserve());
        let mut is_watched = true;
        poll_fn(|context| {
            if let Poll::Ready(room) = room.as_mut().poll(context) {
                return Poll::Ready(Some(room));
            }
            while is_watched && !input.is_full() {
                match input.poll_fill(read, context) {
                    Poll::Ready(Ok(1..)) => {}
                    // What came before the end may hold an end in order.
                    Poll::Ready(_) if *closes_early => is_watched = false,
                    Poll::Ready(_) => return Poll::Ready(None),
                    Poll::Pending => break,
                }
            }
            Poll::Pending
        })
        .await
        .map(|room| room.map(|room| room.send(message)))
        .is_some()
    }

    async fn discard(&mut self) {
        while let Ok(Some(_)) = self
            .input
            .message(Side::Requests, &mut self.read, &self.limits)
            .await
        {}
    }
}

struct Writer {
    write: WriteHalf<Io>,
    output: Vec<u8>,
    content_type: Text,
    stream: Text,
}

impl Writer {
    /// Sends all messages and their end. False when the connection broke.
    async fn send_all(&mut self, mut body: Body) -> bool {
        loop {
            let (large, end) = poll_fn(|context| gather(self, &mut body, context)).await;
            if !self.flush(&large).await {
                return false;
            }
            if end.is_some() {
                return true;
            }
        }
    }

    async fn flush(&mut self, large: &[u8]) -> bool {
        let sent = write_message(&mut self.write, &mut self.output, large)
            .await
            .is_ok();
        self.output.clear();
        sent
    }
}

impl Heads for Writer {
    fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    fn push(&mut self, end: Option<&str>, length: usize) {
        // A format with an envelope says the end in its body as well.
        let body = end
            .map(|text| error_body(&self.content_type, text))
            .unwrap_or_default();
        self.output.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        write_content_type(&mut self.output, &self.content_type);
        write_known_header(&mut self.output, "Micro-Stream", &self.stream);
        write_length(&mut self.output, length + body.len());
        if let Some(end) = end {
            write_known_header(&mut self.output, "Micro-Error", end);
        }
        self.output.extend_from_slice(b"\r\n");
        self.output.extend_from_slice(&body);
    }
}
