//! A stream: a socket of its own, on which both sides send messages as they like.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::{Message, Subject};
use bytes::Bytes;
use futures_util::stream;
use micro_core::handler::CallKind;
use micro_core::{Body, Error, Metadata, Request, Response, Result};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::PeerShared;
use super::exchange::refusal;
use crate::error;
use crate::flow::{Flow, Taken};
use crate::frame::{Frame, asked, asked_end, request_header};
use crate::mark::Mark;

/// How long a node in Go is listened to behind the caller's own end. Its handler ends without a word then.
const SILENT_END: Duration = Duration::from_secs(2);

/// Opens a stream. The response is there once the stream is open: this wire has no head of an answer.
pub(super) async fn open(peer: Arc<PeerShared>, mut request: Request) -> Result<Response> {
    let body = request.take_body();
    request.kind = CallKind::Stream;
    let header = request_header(&request, &peer.next_id().to_string(), true);
    peer.connected().await?;
    let (socket, inbox) = peer.shared.sockets.new_socket();
    let flow = Arc::new(Flow::unknown());
    let window = peer.shared.config.stream_window;
    let limit = peer.shared.config.stream_limit();
    let open = Open {
        messages: peer
            .shared
            .sockets
            .begin_stream(socket, peer.address.clone(), flow.clone(), limit),
        socket,
        inbox: inbox.clone(),
        flow: flow.clone(),
        peer: peer.clone(),
        has_ended: false,
    };
    // The far side discards the body of the message that opens the stream.
    let opener = asked(&header, Bytes::new());
    let client = peer.shared.connection.client();
    let headers = Mark::Window(window as u64).headers();
    let sent = client.publish_with_reply_and_headers(peer.subject.clone(), inbox.clone(), headers, opener);
    sent.await
        .map_err(|_| peer.shared.connection.gone().never_started())?;
    let has_spoken = Arc::new(AtomicBool::new(false));
    let mut writer = Writer {
        peer,
        header,
        inbox,
        flow,
        has_ended: has_spoken.clone(),
    };
    let task = match body.try_into_single() {
        Ok(message) => {
            writer.send(message).await?;
            None
        }
        Err(body) => Some(AbortOnDropHandle::new(tokio::spawn(writer.run(body)))),
    };
    let reader = Reader {
        open,
        taken: Taken::new(window),
        caller_ended: has_spoken,
        is_gos: false,
        _writer: task,
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
        content_type: request.content_type.clone(),
        metadata: Metadata::new(),
        body: Body::stream(messages),
    })
}

/// Sends what the caller has to say.
struct Writer {
    peer: Arc<PeerShared>,
    header: Metadata,
    inbox: Subject,
    flow: Arc<Flow>,
    has_ended: Arc<AtomicBool>,
}

impl Writer {
    async fn run(mut self, mut body: Body) {
        while let Some(message) = body.message().await {
            let sent = match message {
                Ok(message) => self.send(message).await,
                Err(error) => Err(error),
            };
            if let Err(error) = sent {
                return self.give_up(error).await;
            }
        }
        self.publish(asked_end(&self.header)).await;
        self.has_ended.store(true, Ordering::Release);
    }

    async fn send(&mut self, message: Bytes) -> Result<()> {
        self.flow.take().await;
        let payload = asked(&self.header, message);
        self.peer.check_size("a message of a stream", payload.len())?;
        self.publish(payload).await;
        Ok(())
    }

    async fn publish(&self, payload: Bytes) {
        let client = self.peer.shared.connection.client();
        // A connection that is lost is the reader's to report.
        let _ = client
            .publish_with_reply(self.peer.subject.clone(), self.inbox.clone(), payload)
            .await;
    }

    /// The far side gets the error in place of the message, and ends.
    async fn give_up(self, error: Error) {
        let mut header = self.header.clone();
        header.insert("Micro-Error", micro_core::wire::error_text(&error));
        self.publish(asked(&header, Bytes::new())).await;
        self.publish(asked_end(&self.header)).await;
        self.has_ended.store(true, Ordering::Release);
    }
}

/// A socket that is open. Dropped before the far side ended, it tells it to give up.
struct Open {
    peer: Arc<PeerShared>,
    socket: u64,
    inbox: Subject,
    flow: Arc<Flow>,
    messages: mpsc::Receiver<Message>,
    has_ended: bool,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.peer.shared.sockets.end(self.socket);
        if !self.has_ended {
            self.peer.close(self.inbox.clone());
        }
    }
}

/// Receives what the far side has to say.
struct Reader {
    open: Open,
    taken: Taken,
    caller_ended: Arc<AtomicBool>,
    is_gos: bool,
    _writer: Option<AbortOnDropHandle<()>>,
}

impl Reader {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let Some(message) = self.receive().await? else {
            return Ok(None);
        };
        let address = &self.open.peer.address;
        let frame = Frame::read(&message.payload).map_err(|problem| error::malformed(address, &problem))?;
        self.is_gos |= frame.is_gos;
        // A listener in Go holds its socket until it is told not to.
        self.open.has_ended = !self.is_gos && !frame.error.is_empty();
        if frame.is_end() {
            return Ok(None);
        }
        if let Some(error) = refusal(&frame, &message) {
            return Err(error);
        }
        if let Some(more) = self.taken.one()
            && self.open.flow.is_counted()
        {
            self.grant(more).await;
        }
        Ok(Some(frame.body))
    }

    async fn receive(&mut self) -> Result<Option<Message>> {
        loop {
            let message = match self.is_gos {
                false => self.open.messages.recv().await,
                true => match timeout(SILENT_END, self.open.messages.recv()).await {
                    Ok(message) => message,
                    Err(_) if self.caller_ended.load(Ordering::Acquire) => return Ok(None),
                    Err(_) => continue,
                },
            };
            if let Some(message) = message {
                return Ok(Some(message));
            }
            let peer = &self.open.peer;
            let cut = || error::gone(&peer.address, "the stream was cut");
            return Err(self.open.flow.failure().unwrap_or_else(cut));
        }
    }

    async fn grant(&self, more: u64) {
        let peer = &self.open.peer;
        let client = peer.shared.connection.client();
        let headers = Mark::Grant(more).headers();
        let _ = client
            .publish_with_reply_and_headers(
                peer.subject.clone(),
                self.open.inbox.clone(),
                headers,
                Bytes::new(),
            )
            .await;
    }
}
