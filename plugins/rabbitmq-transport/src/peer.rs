//! The calling end: a node, and one message for one.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use lapin::options::QueueDeclareOptions;
use lapin::types::{FieldTable, ShortString};
use micro_core::handler::CallKind;
use micro_core::{Error, Handler, Request, Response, Result};
use micro_rabbitmq_connection::Up;
use tokio::sync::watch;
use tokio::time::{Instant, interval_at, timeout};

use crate::caller::{Caller, Inbox, Incoming};
use crate::error::{broken, unreachable};
use crate::head::{Head, Kind, Table};
use crate::peer_stream;
use crate::sender::Parcel;
use crate::transport::Shared;

/// A node that was dialled.
pub(crate) struct Peer(Arc<Dialled>);

pub(crate) struct Dialled {
    pub(crate) shared: Arc<Shared>,
    pub(crate) address: String,
    key: ShortString,
    next_id: AtomicU64,
    presence: watch::Sender<Presence>,
}

/// When it was last asked whether anybody listens, and how often the answer was no.
#[derive(Clone, Copy)]
struct Presence {
    asked: Instant,
    absences: u64,
}

impl Peer {
    pub(crate) fn new(shared: Arc<Shared>, address: &str) -> Self {
        let presence = Presence {
            asked: Instant::now(),
            absences: 0,
        };
        Self(Arc::new(Dialled {
            shared,
            address: address.to_owned(),
            key: address.into(),
            next_id: AtomicU64::new(0),
            presence: watch::Sender::new(presence),
        }))
    }
}

#[async_trait]
impl Handler for Peer {
    async fn handle(&self, mut request: Request) -> Result<Response> {
        if request.kind == CallKind::Stream || request.body.is_stream() {
            return peer_stream::open(self.0.clone(), request).await;
        }
        let body = request.take_body().as_single().cloned().unwrap_or_default();
        self.0.exchange(request, body).await
    }
}

impl Dialled {
    pub(crate) fn next_id(&self) -> String {
        self.next_id.fetch_add(1, Ordering::Relaxed).to_string()
    }

    /// The connection, which is waited for a while when it is lost.
    pub(crate) async fn up(&self) -> Result<Arc<Up<Caller>>> {
        if let Some(up) = self.shared.link.now() {
            return Ok(up);
        }
        let limit = self.shared.config.send_timeout;
        let late = |_| self.shared.link.late("sending a request", limit).never_started();
        timeout(limit, self.shared.link.up()).await.map_err(late)
    }

    /// Sends a message of a call.
    pub(crate) async fn send(
        &self,
        up: &Up<Caller>,
        id: &ShortString,
        table: Table,
        kind: Kind,
        body: Bytes,
    ) -> Result<()> {
        let most = self.shared.config.max_message;
        if body.len() > most {
            let detail = format!(
                "a message of {} bytes for {}: `max_message` of RabbitmqTransportConfig allows {most}",
                body.len(),
                self.address
            );
            return Err(Error::client(413, detail).never_started());
        }
        let parcel = self
            .parcel(up, id, table, kind, body)
            .map_err(Error::never_started)?;
        let limit = self.shared.config.send_timeout;
        match timeout(limit, up.sender.send(parcel)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(problem)) => Err(unreachable(&self.address, problem)),
            Err(_) => Err(self.shared.link.late("sending a request", limit).unanswered()),
        }
    }

    /// Tells the far side that nobody waits any more. To a server in Go it is the end of an unknown stream, which frees
    /// what the server keeps for the call.
    pub(crate) fn cancel(&self, up: &Up<Caller>, id: &ShortString, stream: &str) {
        let mut table = Table::default();
        table.insert("Micro-Stream", stream);
        table.insert("Micro-Error", micro_core::wire::END_OF_STREAM);
        if let Ok(parcel) = self.parcel(up, id, table, Kind::Cancel, Bytes::new()) {
            up.sender.send_soon(parcel);
        }
    }

    fn parcel(
        &self,
        up: &Up<Caller>,
        id: &ShortString,
        table: Table,
        kind: Kind,
        body: Bytes,
    ) -> Result<Parcel> {
        Ok(Parcel {
            exchange: self.shared.config.exchange.as_str().into(),
            key: self.key.clone(),
            properties: table
                .properties(id, kind, up.sender.longest_head)?
                .with_reply_to(up.reply_to.clone()),
            body,
        })
    }

    async fn exchange(&self, request: Request, body: Bytes) -> Result<Response> {
        let up = self.up().await?;
        // One answer, and what may come after it.
        let mut call = Call {
            inbox: up.open(4),
            dialled: self,
            up,
            is_over: false,
        };
        let table = Table::of(&request, &self.next_id(), None);
        let sent = self
            .send(&call.up, &call.inbox.id, table, Kind::Message, body)
            .await;
        if let Err(error) = sent {
            call.is_over = error.is_never_started();
            return Err(error);
        }
        let answer = loop {
            match self.next(&call.up, &mut call.inbox).await {
                Ok((
                    Head {
                        kind: Kind::Credit, ..
                    },
                    _,
                )) => {}
                other => break other,
            }
        };
        // A server in Go keeps something of the call until it is told that there is no more; an answer in a stream is of a
        // stream that is not wanted.
        call.is_over = answer
            .as_ref()
            .map_or(true, |(head, _)| head.stream.is_none() && head.is_ours);
        let (head, body) = answer?;
        match head.error {
            Some(text) => Err(Error::from_wire(&text)),
            None => Ok(Response {
                content_type: head.content_type,
                metadata: head.metadata,
                body: body.into(),
            }),
        }
    }

    /// What comes next for a call. Its failure says whether the call can have begun.
    pub(crate) async fn next(&self, up: &Up<Caller>, inbox: &mut Inbox) -> Result<(Head, Bytes)> {
        let every = self.shared.config.presence_interval;
        let mut presence = self.presence.subscribe();
        let absences = presence.borrow_and_update().absences;
        let mut absent = pin!(async {
            if presence
                .wait_for(|presence| presence.absences > absences)
                .await
                .is_err()
            {
                std::future::pending::<()>().await;
            }
        });
        // Beside what comes: the answer need not wait for RabbitMQ to say who listens.
        let mut asking = pin!(async {
            let mut due = interval_at(Instant::now() + every, every);
            loop {
                due.tick().await;
                self.ask(up).await;
            }
        });
        let incoming = tokio::select! {
            biased;
            incoming = inbox.next() => incoming,
            () = &mut absent => return Err(broken(&self.address, "nobody listens there any more")),
            never = &mut asking => never,
        };
        let (head, body) = match incoming {
            Some(Incoming::Message(head, body)) => (*head, body),
            Some(Incoming::Returned) => return Err(unreachable(&self.address, "nobody listens there")),
            None if inbox.is_lost() => {
                return Err(broken(&self.address, "the connection to RabbitMQ is lost"));
            }
            None => {
                let most = inbox_room(self.shared.config.window);
                let detail = format!(
                    "{} sent more than {most} messages that were not taken, sixteen times the `window` of \
                         RabbitmqTransportConfig",
                    self.address
                );
                return Err(Error::client(413, detail).unanswered());
            }
        };
        let text = head.error.as_deref().unwrap_or_default();
        match head.kind {
            Kind::Refused => Err(unreachable(&self.address, Error::from_wire(text).detail())),
            Kind::Gone => Err(broken(&self.address, "it went away")),
            _ if body.len() > self.shared.config.max_message => {
                let most = self.shared.config.max_message;
                let detail = format!(
                    "the answer of {} has {} bytes: `max_message` of RabbitmqTransportConfig allows {most}",
                    self.address,
                    body.len()
                );
                Err(Error::client(413, detail))
            }
            _ => Ok((head, body)),
        }
    }

    /// Asks whether anybody listens at the address, unless somebody else of this side just did, and tells all who wait
    /// if nobody does.
    async fn ask(&self, up: &Up<Caller>) {
        let every = self.shared.config.presence_interval;
        let is_due = self.presence.send_if_modified(|presence| {
            let is_due = presence.asked.elapsed() >= every / 2;
            if is_due {
                presence.asked = Instant::now();
            }
            is_due
        });
        if !is_due {
            return;
        }
        // Without an answer in time nothing is known, and it is asked again.
        if let Ok(true) = timeout(self.shared.config.send_timeout, self.is_absent(up)).await {
            self.presence.send_modify(|presence| presence.absences += 1);
        }
    }

    /// Whether RabbitMQ knows that nobody listens at the address.
    async fn is_absent(&self, up: &Up<Caller>) -> bool {
        let Ok(channel) = up.connection.channel().await else {
            return false;
        };
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let found = channel
            .queue_declare(self.key.clone(), passive, FieldTable::default())
            .await;
        matches!(found, Err(problem) if problem.is_amqp_soft_error() && up.connection.is_up())
    }
}

/// How many messages of a stream are kept for a reader that does not take them.
pub(crate) fn inbox_room(window: usize) -> usize {
    window.saturating_mul(16)
}

/// A call that was sent. Dropped before its answer, it is cancelled at the far side.
struct Call<'a> {
    inbox: Inbox,
    dialled: &'a Dialled,
    up: Arc<Up<Caller>>,
    is_over: bool,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.dialled.cancel(&self.up, &self.inbox.id, "0");
        }
    }
}
