//! The calling end of a stream: a connection of its own, on which both sides send messages as they like.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use tokio::io::{ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use super::batch::{Heads, gather};
use super::connection::{Io, Message, ReadBuffer, ReadError, Side, write_message};
use super::head::{Kind, str_of, write_request};
use super::peer::{PeerShared, is_goodbye};
use crate::handler::CallKind;
use crate::wire::END_OF_STREAM;
use crate::{Body, Error, Metadata, Request, Response, Result, Text};

/// When a Go server is first asked whether a stream has ended, after the caller's own end; the pauses double …
const FIRST_QUESTION: Duration = Duration::from_millis(100);
/// … up to this.
const LAST_QUESTION: Duration = Duration::from_secs(5);

/// Opens a stream. The response is there once the stream is open: this wire has no head of an answer.
pub(super) async fn open(peer: Arc<PeerShared>, mut request: Request) -> Result<Response> {
    let connection = peer.connect().await?;
    let (mut io, input, mut output) = (connection.io, connection.input, connection.output);
    let id = peer.next_id();
    let now = Instant::now();
    let body = request.take_body();
    request.kind = CallKind::Stream;
    // The far side discards the body of the message that opens the stream.
    write_request(
        &mut output,
        &peer.lead,
        &request,
        id,
        now,
        Kind::Stream { end: None },
        0,
    )
    .map_err(Error::never_started)?;
    let whole = body.as_single().cloned();
    if let Some(message) = &whole {
        write_request(
            &mut output,
            &peer.lead,
            &request,
            id,
            now,
            Kind::Stream { end: None },
            message.len(),
        )
        .map_err(Error::never_started)?;
    }
    write_message(&mut io, &mut output, whole.as_deref().unwrap_or_default())
        .await
        .map_err(|problem| match whole {
            // An opener that was not sent whole opened nothing. One with a message behind it may have arrived.
            None => peer.unreachable(&format!("it took no request: {problem}")),
            Some(_) => peer.broken(&problem.to_string()),
        })?;
    let (read, write) = tokio::io::split(io);
    let content_type = request.content_type.clone();
    let ends = Arc::new(Ends::default());
    let writer = whole.is_none().then(|| {
        let writer = Writer {
            peer: peer.clone(),
            request,
            id,
            output,
            ends: ends.clone(),
        };
        AbortOnDropHandle::new(tokio::spawn(writer.run(body, write)))
    });
    let reader = Reader {
        peer,
        content_type: content_type.clone(),
        read,
        input,
        ends,
        is_explicit: false,
        is_open: false,
        _writer: writer,
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

/// How the two directions stand; the tasks of both look at it.
#[derive(Default)]
struct Ends {
    /// The caller's messages ended, and the far side was told.
    caller_ended: AtomicBool,
    /// The far side is a Go server, which says nothing at the end when its handler saw the caller's.
    silent_at_end: AtomicBool,
}

/// Sends what the caller has to say.
struct Writer {
    peer: Arc<PeerShared>,
    request: Request,
    id: u64,
    output: Vec<u8>,
    ends: Arc<Ends>,
}

impl Writer {
    async fn run(mut self, mut body: Body, mut write: WriteHalf<Io>) {
        loop {
            self.output.clear();
            let (large, end) = poll_fn(|context| gather(&mut self, &mut body, context)).await;
            // A broken connection is the reader's to report.
            if write_message(&mut write, &mut self.output, &large).await.is_err() {
                return;
            }
            match end {
                None => {}
                Some(false) => return,
                Some(true) => {
                    self.ends.caller_ended.store(true, Ordering::Release);
                    return self.ask_for_end(write).await;
                }
            }
        }
    }

    /// A Go server that says nothing at the end closes the connection when it gets `EOS` for a stream that it does
    /// not know any more. One that still works on the stream does not mind.
    async fn ask_for_end(mut self, mut write: WriteHalf<Io>) {
        let mut pause = FIRST_QUESTION;
        loop {
            sleep(pause).await;
            pause = (pause * 2).min(LAST_QUESTION);
            if !self.ends.silent_at_end.load(Ordering::Acquire) {
                continue;
            }
            self.output.clear();
            self.push(Some(END_OF_STREAM), 0);
            if write_message(&mut write, &mut self.output, &[]).await.is_err() {
                return;
            }
        }
    }
}

impl Heads for Writer {
    fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    fn push(&mut self, end: Option<&str>, length: usize) {
        // The same head was written when the stream was opened, so nothing in it can be refused.
        let (output, lead) = (&mut self.output, &self.peer.lead);
        let _ = write_request(
            output,
            lead,
            &self.request,
            self.id,
            Instant::now(),
            Kind::Stream { end },
            length,
        );
    }
}

/// Receives what the far side has to say. Dropping it closes the connection and ends the writer.
struct Reader {
    peer: Arc<PeerShared>,
    content_type: Text,
    read: ReadHalf<Io>,
    input: ReadBuffer,
    ends: Arc<Ends>,
    /// The far side is known to end every stream with `EOS`.
    is_explicit: bool,
    /// Something of the stream was received.
    is_open: bool,
    _writer: Option<AbortOnDropHandle<()>>,
}

impl Reader {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        match self
            .input
            .message(Side::Responses, &mut self.read, &self.peer.limits)
            .await
        {
            Ok(Some(message)) => self.take(message),
            Ok(None) => self.closed(),
            Err(ReadError::Bad(bad)) => Err(self.peer.unreadable(&bad)),
            Err(problem) => Err(self.cut(&problem.to_string())),
        }
    }

    fn take(&mut self, message: Message) -> Result<Option<Bytes>> {
        if str_of(&message.text, message.head.error) == END_OF_STREAM {
            return Ok(None);
        }
        // The connection was closed as an idle one while the stream was being opened.
        if !self.is_open && is_goodbye(&message) {
            return Err(self.peer.unreachable("it is going away"));
        }
        self.is_open = true;
        if let Some(error) = self.peer.refusal(&message, &self.content_type) {
            return Err(error);
        }
        // The doubles of old headers are written by Go servers alone.
        if !self.is_explicit {
            self.is_explicit = !message.head.legacy;
            self.ends
                .silent_at_end
                .store(message.head.legacy, Ordering::Release);
        }
        Ok(Some(message.body))
    }

    /// The connection ended without `EOS`: the end of the stream only where the far side is known to end so.
    fn closed(&self) -> Result<Option<Bytes>> {
        let Ends {
            caller_ended,
            silent_at_end,
        } = &*self.ends;
        if caller_ended.load(Ordering::Acquire) && silent_at_end.load(Ordering::Acquire) {
            return Ok(None);
        }
        Err(self.cut("the connection was closed"))
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
