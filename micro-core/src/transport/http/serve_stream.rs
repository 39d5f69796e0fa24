//! The serving end of a stream: both directions side by side on one connection.

use std::sync::Arc;
use std::task::Poll;
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
use crate::wire::{END_OF_STREAM, error_body, error_text};
use crate::{Body, Error, Request, Result, Text};

/// How many messages may wait for a handler.
const BUFFER: usize = 8;
/// How many bytes of messages that are ready together go out in one write.
const BATCH: usize = 32 * 1024;
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
        match server.handler.handle(request).await {
            Ok(response) => writer.send_all(response.body).await,
            Err(error) => Some(error_text(&error)),
        }
    };
    let end = tokio::select! {
        end = answer => end,
        // The caller went away or sent what cannot be read: the answer is dropped, and with it the handler.
        bad = reader.receive(messages) => match bad {
            Some(bad) if writer.output.is_empty() => Some(error_text(&bad.into())),
            _ => return,
        },
    };
    if let Some(end) = end {
        writer.end(&end).await;
    }
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
    /// Sends all messages. Returns the text to end with, or `None` when the connection broke.
    async fn send_all(&mut self, mut body: Body) -> Option<String> {
        loop {
            let mut end = None;
            let mut count = 0;
            std::future::poll_fn(|context| {
                while self.output.len() < BATCH {
                    match body.poll_message(context) {
                        Poll::Ready(Some(Ok(message))) => self.push(&message, None),
                        Poll::Ready(Some(Err(error))) => end = Some(error_text(&error)),
                        Poll::Ready(None) => end = Some(END_OF_STREAM.to_owned()),
                        Poll::Pending if count == 0 => return Poll::Pending,
                        Poll::Pending => break,
                    }
                    if end.is_some() {
                        break;
                    }
                    count += 1;
                }
                Poll::Ready(())
            })
            .await;
            if !self.flush().await {
                return None;
            }
            if end.is_some() {
                return end;
            }
        }
    }

    async fn end(&mut self, text: &str) {
        let body = error_body(&self.content_type, text);
        self.push(&body, Some(text));
        if self.flush().await {
            let _ = self.write.shutdown().await;
        }
    }

    fn push(&mut self, message: &[u8], error: Option<&str>) {
        self.output.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        write_length(&mut self.output, message.len());
        // Neither name nor value can be refused: both came in as headers, or are constants.
        if !self.content_type.is_empty() {
            let _ = write_header(&mut self.output, "Content-Type", &self.content_type);
        }
        let _ = write_header(&mut self.output, "Micro-Stream", &self.stream);
        if let Some(error) = error {
            let _ = write_header(&mut self.output, "Micro-Error", error);
        }
        self.output.extend_from_slice(b"\r\n");
        self.output.extend_from_slice(message);
    }

    async fn flush(&mut self) -> bool {
        let sent = write_message(&mut self.write, &mut self.output, &[])
            .await
            .is_ok();
        self.output.clear();
        sent
    }
}
