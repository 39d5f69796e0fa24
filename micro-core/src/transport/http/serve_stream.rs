//! The serving end of a stream: both directions side by side on one connection.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::HttpLimits;
use super::connection::{Io, ReadBuffer, ReadError, Side, write_message};
use super::head::{BadHead, str_of, write_header, write_length};
use super::listener::Server;
use super::peer_stream::BATCH;
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
    request.body = Body::stream(stream::poll_fn(move |context| receiver.poll_recv(context)));
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
                writer.push_end(&error_text(&bad.into()));
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

struct Reader {
    read: ReadHalf<Io>,
    input: ReadBuffer,
    limits: HttpLimits,
}

impl Reader {
    /// Hands on what the caller sends. Returns when the caller is gone without having ended its direction, or with
    /// what is wrong with its bytes; after an end in order it never returns, because the handler may still work.
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
                drop(messages);
                return std::future::pending().await;
            }
            let message = if error.is_empty() {
                Ok(message.body)
            } else {
                Err(Error::from_wire(error))
            };
            // A handler that stopped listening does not stop the reading: its answer could not leave otherwise.
            let _ = messages.send(message).await;
        }
        let _ = messages
            .send(Err(Error::new(
                "go.micro.server",
                499,
                "the caller closed the stream",
            )))
            .await;
        None
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
            let (large, ended) = poll_fn(|context| self.gather(&mut body, context)).await;
            if !self.flush(&large).await {
                return false;
            }
            if ended {
                return true;
            }
        }
    }

    /// Puts what is ready into the output, up to a batch. A large message is not copied but handed back, to follow
    /// the output. True: the end is among it.
    fn gather(&mut self, body: &mut Body, context: &mut Context<'_>) -> Poll<(Bytes, bool)> {
        while self.output.len() < BATCH {
            match body.poll_message(context) {
                Poll::Ready(Some(Ok(message))) => {
                    self.push(message.len(), None);
                    if message.len() > BATCH / 2 {
                        return Poll::Ready((message, false));
                    }
                    self.output.extend_from_slice(&message);
                }
                Poll::Ready(Some(Err(error))) => {
                    self.push_end(&error_text(&error));
                    return Poll::Ready((Bytes::new(), true));
                }
                Poll::Ready(None) => {
                    self.push_end(END_OF_STREAM);
                    return Poll::Ready((Bytes::new(), true));
                }
                Poll::Pending if self.output.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready((Bytes::new(), false))
    }

    fn push_end(&mut self, text: &str) {
        let body = error_body(&self.content_type, text);
        self.push(body.len(), Some(text));
        self.output.extend_from_slice(&body);
    }

    fn push(&mut self, length: usize, error: Option<&str>) {
        self.output.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        write_length(&mut self.output, length);
        // Neither name nor value can be refused: both came in as headers, or are constants.
        if !self.content_type.is_empty() {
            let _ = write_header(&mut self.output, "Content-Type", &self.content_type);
        }
        let _ = write_header(&mut self.output, "Micro-Stream", &self.stream);
        if let Some(error) = error {
            let _ = write_header(&mut self.output, "Micro-Error", error);
        }
        self.output.extend_from_slice(b"\r\n");
    }

    async fn flush(&mut self, large: &[u8]) -> bool {
        let sent = write_message(&mut self.write, &mut self.output, large)
            .await
            .is_ok();
        self.output.clear();
        sent
    }
}
