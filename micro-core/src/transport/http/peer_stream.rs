//! The calling end of a stream: a connection of its own, on which both sides send messages as they like.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream;
use tokio::io::{ReadHalf, WriteHalf};
use tokio_util::task::AbortOnDropHandle;

use super::connection::{Io, Message, ReadBuffer, ReadError, Side, write_message};
use super::head::{str_of, write_request};
use super::peer::PeerShared;
use crate::handler::CallKind;
use crate::wire::{END_OF_STREAM, error_text};
use crate::{Body, Error, Metadata, Request, Response, Result, Text};

/// How many bytes of messages that are ready together go out in one write.
pub(super) const BATCH: usize = 32 * 1024;

/// Opens a stream. The response is there once the stream is open: this wire has no head of an answer.
pub(super) async fn open(peer: Arc<PeerShared>, mut request: Request) -> Result<Response> {
    let connection = peer.connect().await?;
    let (mut io, input, mut output) = (connection.io, connection.input, connection.output);
    let id = peer.next_id();
    let body = request.take_body();
    request.kind = CallKind::Stream;
    // The far side discards the body of the message that opens the stream.
    write_request(&mut output, &peer.lead, &request, id, true, None, 0)?;
    let whole = body.as_single().cloned();
    if let Some(message) = &whole {
        write_request(&mut output, &peer.lead, &request, id, true, None, message.len())?;
    }
    write_message(&mut io, &mut output, whole.as_deref().unwrap_or_default())
        .await
        .map_err(|problem| peer.broken(&problem.to_string()).never_started())?;
    let (read, write) = tokio::io::split(io);
    let content_type = request.content_type.clone();
    let writer = whole.is_none().then(|| {
        let writer = Writer {
            peer: peer.clone(),
            request,
            id,
            output,
        };
        AbortOnDropHandle::new(tokio::spawn(writer.run(body, write)))
    });
    let reader = Reader {
        peer,
        content_type: content_type.clone(),
        read,
        input,
        writer,
        seen: Seen::Nothing,
    };
    let messages = stream::unfold(Some(reader), |reader| async {
        let mut reader = reader?;
        match reader.next().await {
            Ok(Some(message)) => Some((Ok(message), Some(reader))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    });
    Ok(Response {
        content_type,
        metadata: Metadata::new(),
        body: Body::stream(messages),
    })
}

/// Sends what the caller has to say.
struct Writer {
    peer: Arc<PeerShared>,
    request: Request,
    id: u64,
    output: Vec<u8>,
}

impl Writer {
    /// True when the caller's messages ended and the far side was told so.
    async fn run(mut self, mut body: Body, mut write: WriteHalf<Io>) -> bool {
        loop {
            self.output.clear();
            let (large, end) = poll_fn(|context| self.gather(&mut body, context)).await;
            // A broken connection is the reader's to report.
            if write_message(&mut write, &mut self.output, &large).await.is_err() {
                return false;
            }
            if let Some(ended_well) = end {
                return ended_well;
            }
        }
    }

    /// Puts what is ready into the output, up to a batch. A large message is not copied but handed back, to follow
    /// the output. The end, when it has come, is true if it was one in order.
    fn gather(&mut self, body: &mut Body, context: &mut Context<'_>) -> Poll<(Bytes, Option<bool>)> {
        while self.output.len() < BATCH {
            match body.poll_message(context) {
                Poll::Ready(Some(Ok(message))) => {
                    self.push(None, message.len());
                    if message.len() > BATCH / 2 {
                        return Poll::Ready((message, None));
                    }
                    self.output.extend_from_slice(&message);
                }
                Poll::Ready(Some(Err(error))) => {
                    self.push(Some(&error_text(&error)), 0);
                    return Poll::Ready((Bytes::new(), Some(false)));
                }
                Poll::Ready(None) => {
                    self.push(Some(END_OF_STREAM), 0);
                    return Poll::Ready((Bytes::new(), Some(true)));
                }
                Poll::Pending if self.output.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready((Bytes::new(), None))
    }

    fn push(&mut self, end: Option<&str>, length: usize) {
        // The same head was written when the stream was opened, so nothing in it can be refused.
        let (output, lead) = (&mut self.output, &self.peer.lead);
        let _ = write_request(output, lead, &self.request, self.id, true, end, length);
    }
}

/// What the far side is known to be, by what it sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    /// A Go server, which says nothing at the end when its handler saw the caller's `EOS`.
    SilentAtEnd,
    /// A server that always ends a stream with `EOS`.
    Explicit,
}

/// Receives what the far side has to say. Dropping it closes the connection and ends the writer.
struct Reader {
    peer: Arc<PeerShared>,
    content_type: Text,
    read: ReadHalf<Io>,
    input: ReadBuffer,
    writer: Option<AbortOnDropHandle<bool>>,
    seen: Seen,
}

impl Reader {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        match self
            .input
            .message(Side::Responses, &mut self.read, &self.peer.limits)
            .await
        {
            Ok(Some(message)) => self.take(message),
            Ok(None) => self.closed().await,
            Err(ReadError::Bad(bad)) => Err(self.peer.malformed(&bad.detail)),
            Err(problem) => Err(self.cut(&problem.to_string())),
        }
    }

    fn take(&mut self, message: Message) -> Result<Option<Bytes>> {
        if str_of(&message.text, message.head.error) == END_OF_STREAM {
            return Ok(None);
        }
        if let Some(error) = self.peer.refusal(&message, &self.content_type) {
            return Err(error);
        }
        self.seen = if message.head.legacy {
            Seen::SilentAtEnd
        } else {
            Seen::Explicit
        };
        Ok(Some(message.body))
    }

    /// The connection ended without `EOS`: the end of the stream only where the far side is known to end so.
    async fn closed(&mut self) -> Result<Option<Bytes>> {
        let caller_ended = match self.writer.take() {
            Some(writer) if self.seen == Seen::SilentAtEnd => writer.await.unwrap_or(false),
            _ => false,
        };
        if caller_ended {
            Ok(None)
        } else {
            Err(self.cut("the connection was closed"))
        }
    }

    fn cut(&self, problem: &str) -> Error {
        Error::unavailable(
            crate::error::CLIENT,
            format!(
                "connection error: the stream from {} was cut: {problem}",
                self.peer.address
            ),
        )
        .unanswered()
    }
}
