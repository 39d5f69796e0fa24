//! The calling end of a stream: both sides send messages as they like.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use lapin::types::ShortString;
use micro_core::handler::CallKind;
use micro_core::wire::END_OF_STREAM;
use micro_core::{Body, Error, Metadata, Request, Response, Result};
use micro_rabbitmq_connection::Up;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::caller::{Caller, Inbox};
use crate::error::broken;
use crate::head::{Kind, Table};
use crate::peer::{Dialled, inbox_room};
use crate::window::{self, Taken, Window};

/// Opens a stream. The response is there once the stream is open: this wire has no head of an answer.
pub(crate) async fn open(dialled: Arc<Dialled>, mut request: Request) -> Result<Response> {
    let up = dialled.up().await?;
    let config = &dialled.shared.config;
    let inbox = up.open(inbox_room(config.window));
    let stream = dialled.next_id();
    let body = request.take_body();
    request.kind = CallKind::Stream;
    let content_type = request.content_type.clone();
    let (told, known) = watch::channel(window::Reader::Unknown);
    let mut outgoing = Outgoing {
        dialled: dialled.clone(),
        up: up.clone(),
        id: inbox.id.clone(),
        stream: stream.clone(),
        request,
    };
    let mut reader = Reader {
        dialled,
        up,
        inbox,
        stream,
        told,
        taken: Taken::new(outgoing.dialled.shared.config.window),
        is_open: false,
        is_over: false,
        writer: None,
    };
    // The far side discards the body of the message that opens the stream.
    let opened = outgoing.send(None, Bytes::new()).await;
    reader.is_over = opened.as_ref().is_err_and(Error::is_never_started);
    opened?;
    match body.try_into_single() {
        // What followed the opener may have arrived.
        Ok(message) => outgoing
            .send(None, message)
            .await
            .map_err(|error| match error.code() {
                413 => error,
                _ => broken(&outgoing.dialled.address, error.detail()),
            })?,
        Err(body) => {
            let window = Window::new(known, outgoing.dialled.shared.config.window);
            let writing = AbortOnDropHandle::new(tokio::spawn(outgoing.send_all(body, window)));
            reader.writer = Some(writing);
        }
    }
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

/// How the caller's messages end.
enum End<'a> {
    InOrder,
    Failed(&'a Error),
}

/// Sends what the caller has to say.
struct Outgoing {
    dialled: Arc<Dialled>,
    up: Arc<Up<Caller>>,
    id: ShortString,
    stream: String,
    request: Request,
}

impl Outgoing {
    // Exclusive, because a request cannot be shared by threads; it stays as it is.
    async fn send(&mut self, end: Option<End<'_>>, message: Bytes) -> Result<()> {
        let mut table = Table::of(&self.request, &self.stream, Some(&self.stream));
        match end {
            None => {}
            Some(End::InOrder) => table.insert("Micro-Error", END_OF_STREAM),
            Some(End::Failed(error)) => {
                table.insert_error(error, self.up.sender.longest_head);
            }
        }
        self.dialled
            .send(&self.up, &self.id, table, Kind::Message, message)
            .await
    }

    async fn send_all(mut self, mut body: Body, mut window: Window) {
        while let Some(message) = body.message().await {
            let sent = match message {
                Ok(message) if window.room().await => self.send(None, message).await,
                Ok(_) => return,
                Err(error) => {
                    let _ = self.send(Some(End::Failed(&error)), Bytes::new()).await;
                    return;
                }
            };
            if let Err(error) = sent {
                let _ = self.send(Some(End::Failed(&error)), Bytes::new()).await;
                return;
            }
        }
        let _ = self.send(Some(End::InOrder), Bytes::new()).await;
    }
}

/// Receives what the far side has to say. Dropped before its end, it cancels the call.
struct Reader {
    dialled: Arc<Dialled>,
    up: Arc<Up<Caller>>,
    inbox: Inbox,
    stream: String,
    /// What the far side told of how much it took.
    told: watch::Sender<window::Reader>,
    taken: Taken,
    /// Something of the stream was received.
    is_open: bool,
    is_over: bool,
    writer: Option<AbortOnDropHandle<()>>,
}

impl Reader {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let outcome = self.receive().await;
        if !matches!(outcome, Ok(Some(_))) {
            // A message that is too large is the one end that the far side does not know of.
            self.is_over = !outcome.as_ref().is_err_and(|error| error.code() == 413);
        }
        outcome
    }

    async fn receive(&mut self) -> Result<Option<Bytes>> {
        loop {
            let next = self.dialled.next(&self.up, &mut self.inbox).await;
            let (head, body) = next.map_err(|error| match error.is_never_started() && self.is_open {
                // A later message found nobody; the first one did.
                true => broken(&self.dialled.address, "it went away"),
                false => error,
            })?;
            self.is_open = true;
            if head.kind == Kind::Credit {
                let count = std::str::from_utf8(&body).ok().and_then(|text| text.parse().ok());
                self.told.send_replace(window::Reader::Took(count.unwrap_or(0)));
                continue;
            }
            match head.error.as_deref() {
                Some(END_OF_STREAM) => return Ok(None),
                Some(text) => return Err(Error::from_wire(text)),
                None => {}
            }
            match head.is_ours {
                true => self.tell_taken().await,
                false => {
                    self.told.send_replace(window::Reader::Silent);
                }
            }
            return Ok(Some(body));
        }
    }

    async fn tell_taken(&mut self) {
        if let Some(count) = self.taken.one() {
            let mut table = Table::default();
            table.insert("Micro-Stream", &self.stream);
            let body = Bytes::from(count.to_string());
            // What cannot be sent is found out by the next message that does not come.
            let _ = self
                .dialled
                .send(&self.up, &self.inbox.id, table, Kind::Credit, body)
                .await;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.writer = None;
        if !self.is_over {
            self.dialled.cancel(&self.up, &self.inbox.id, &self.stream);
        }
    }
}
