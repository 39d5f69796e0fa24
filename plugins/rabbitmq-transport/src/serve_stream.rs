//! Streams at the serving end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Poll, ready};

use bytes::Bytes;
use futures_util::stream;
use micro_core::handler::CallKind;
use micro_core::wire::{END_OF_STREAM, error_body};
use micro_core::{Body, Error, Metadata, Result, Text};
use tokio::sync::{Notify, mpsc, watch};

use crate::head::{Head, Kind, Table};
use crate::peer::inbox_room;
use crate::serve::{Caller, Serving, answered};
use crate::window::{Reader, Taken, Window};

/// How the caller's messages ended.
const OPEN: u8 = 0;
const ENDED: u8 = 1;
const OVERFLOWED: u8 = 2;

/// Where a running stream's messages go in.
pub(crate) struct Inlet {
    messages: Option<mpsc::Sender<Result<Bytes>>>,
    ended: Arc<AtomicU8>,
    told: watch::Sender<Reader>,
}

/// Where they come out.
pub(crate) struct Outlet {
    messages: mpsc::Receiver<Result<Bytes>>,
    ended: Arc<AtomicU8>,
    known: watch::Receiver<Reader>,
    is_ours: bool,
}

pub(crate) fn inlet(window: usize, is_ours: bool) -> (Inlet, Outlet) {
    let (sender, receiver) = mpsc::channel(inbox_room(window));
    let (told, known) = watch::channel(if is_ours { Reader::Took(0) } else { Reader::Silent });
    let ended = Arc::new(AtomicU8::new(OPEN));
    let inlet = Inlet {
        messages: Some(sender),
        ended: ended.clone(),
        told,
    };
    let outlet = Outlet {
        messages: receiver,
        ended,
        known,
        is_ours,
    };
    (inlet, outlet)
}

impl Inlet {
    pub(crate) fn take(&mut self, head: &Head, body: Bytes) {
        if head.kind == Kind::Credit {
            let count = std::str::from_utf8(&body).ok().and_then(|text| text.parse().ok());
            self.told.send_replace(Reader::Took(count.unwrap_or(0)));
            return;
        }
        match head.error.as_deref() {
            None => self.push(Ok(body)),
            Some(END_OF_STREAM) => self.end(ENDED),
            Some(text) => self.fail(Error::from_wire(text)),
        }
    }

    /// Ends the caller's messages with an error.
    pub(crate) fn fail(&mut self, error: Error) {
        self.push(Err(error));
        self.end(ENDED);
    }

    fn push(&mut self, message: Result<Bytes>) {
        let Some(messages) = &self.messages else { return };
        // A handler that stopped listening may still answer.
        if let Err(mpsc::error::TrySendError::Full(_)) = messages.try_send(message) {
            self.end(OVERFLOWED);
        }
    }

    fn end(&mut self, how: u8) {
        self.ended.store(how, Ordering::Release);
        self.messages = None;
    }
}

/// How many messages the handler took, for whoever tells the caller.
#[derive(Default)]
struct Progress {
    count: AtomicU64,
    changed: Notify,
}

/// Serves a stream until its answer has ended.
pub(crate) async fn serve(serving: &Serving, caller: &Caller, head: Head, outlet: Outlet) {
    let writer = Writer {
        serving,
        caller,
        content_type: head.content_type.clone(),
        id: head.id.clone(),
        stream: head.stream.clone().unwrap_or_default(),
    };
    let progress = Arc::new(Progress::default());
    let window = Window::new(outlet.known, serving.calls.window);
    let body = incoming(
        outlet.messages,
        outlet.ended,
        progress.clone(),
        serving.calls.window,
    );
    let mut request = head.request(body, CallKind::Stream);
    request.kind = CallKind::Stream;
    let answer = async {
        let body = match serving.calls.handler.handle(request).await {
            Ok(response) => response.body,
            Err(error) => Body::stream(stream::iter([Err(error)])),
        };
        writer.send_all(body, window).await;
    };
    let telling = async {
        // At once, so that the caller knows that room is granted here.
        writer.tell(0).await;
        let mut taken = Taken::new(serving.calls.window);
        let mut counted = 0;
        loop {
            progress.changed.notified().await;
            let mut tell = None;
            while counted < progress.count.load(Ordering::Acquire) {
                counted += 1;
                tell = taken.one().or(tell);
            }
            if let Some(count) = tell {
                writer.tell(count).await;
            }
        }
    };
    if !outlet.is_ours {
        return answer.await;
    }
    tokio::select! {
        biased;
        () = telling => {}
        () = answer => {}
    }
}

/// The caller's messages as the handler reads them.
fn incoming(
    mut messages: mpsc::Receiver<Result<Bytes>>,
    ended: Arc<AtomicU8>,
    progress: Arc<Progress>,
    window: usize,
) -> Body {
    let mut is_over = false;
    Body::stream(stream::poll_fn(move |context| {
        if is_over {
            return Poll::Ready(None);
        }
        let message = ready!(messages.poll_recv(context));
        if message.is_some() {
            progress.count.fetch_add(1, Ordering::AcqRel);
            progress.changed.notify_one();
            return Poll::Ready(message);
        }
        is_over = true;
        // What was cut short must not look whole, not even to who outlives the stream.
        Poll::Ready(match ended.load(Ordering::Acquire) {
            ENDED => None,
            OVERFLOWED => {
                let most = inbox_room(window);
                let detail = format!(
                    "the caller sent more than {most} messages that were not taken, sixteen times the `window` of \
                     RabbitmqTransportConfig"
                );
                Some(Err(Error::too_large("go.micro.server", detail)))
            }
            _ => Some(Err(Error::server(499, "the caller closed the stream"))),
        })
    }))
}

/// Sends what the handler has to say.
struct Writer<'a> {
    serving: &'a Serving,
    caller: &'a Caller,
    content_type: Text,
    id: Text,
    stream: Text,
}

impl Writer<'_> {
    async fn send_all(&self, mut body: Body, mut window: Window) {
        while let Some(message) = body.message().await {
            match message {
                Ok(message) if message.len() > self.serving.calls.max_message => {
                    let most = self.serving.calls.max_message;
                    let detail =
                        format!("a message of the answer is larger than `max_message`, {most} bytes");
                    return self.fail(&Error::too_large("go.micro.server", detail)).await;
                }
                Ok(message) => {
                    if !window.room().await || !self.send(Kind::Message, self.table(), message).await {
                        return;
                    }
                }
                Err(error) => return self.fail(&error).await,
            }
        }
        self.end().await;
    }

    async fn tell(&self, count: u64) {
        let body = Bytes::from(count.to_string());
        self.send(Kind::Credit, self.table(), body).await;
    }

    /// A format with an envelope says the end in its body as well.
    async fn end(&self) {
        let mut table = self.table();
        table.insert("Micro-Error", END_OF_STREAM);
        let body = error_body(&self.content_type, END_OF_STREAM);
        self.send(Kind::Message, table, body).await;
    }

    async fn fail(&self, error: &Error) {
        let mut table = self.table();
        let text = table.insert_error(error, self.serving.sender.longest_head);
        let body = error_body(&self.content_type, &text);
        self.send(Kind::Message, table, body).await;
    }

    fn table(&self) -> Table {
        let mut table = answered(&self.content_type, &self.id, &Metadata::new());
        table.insert("Micro-Stream", &self.stream);
        table
    }

    async fn send(&self, kind: Kind, table: Table, body: Bytes) -> bool {
        let most = self.serving.sender.longest_head;
        match self.caller.parcel(table, kind, body, most) {
            Ok(parcel) => self.serving.sender.send(parcel).await.is_ok(),
            Err(_) => false,
        }
    }
}
