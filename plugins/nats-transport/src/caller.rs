//! The calling end: a node, and its sockets.

mod exchange;
mod sockets;
mod stream;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::Subject;
use async_trait::async_trait;
use futures_util::FutureExt;
use micro_core::handler::CallKind;
use micro_core::{Error, Handler, Request, Response, Result, Text};
use tokio::time::{Instant, timeout};

use crate::mark::{Mark, farewell};
use crate::transport::Shared;

pub(crate) use self::sockets::Sockets;

/// A node that was dialled.
pub(crate) struct NatsPeer(Arc<PeerShared>);

pub(crate) struct PeerShared {
    shared: Arc<Shared>,
    address: Text,
    subject: Subject,
    next_id: AtomicU64,
    /// Whether the node is known to be one in Go, which holds something for each socket.
    is_gos: AtomicBool,
    idle: Mutex<Vec<Idle>>,
}

/// A socket that waits for the next call.
struct Idle {
    socket: u64,
    inbox: Subject,
    since: Instant,
}

impl NatsPeer {
    pub(crate) fn new(shared: Arc<Shared>, address: &str) -> Self {
        let peer = Arc::new(PeerShared {
            address: address.into(),
            subject: address.into(),
            next_id: AtomicU64::new(0),
            is_gos: AtomicBool::new(false),
            idle: Mutex::default(),
            shared,
        });
        peer.shared.sockets.watch_over(&peer);
        Self(peer)
    }
}

impl PeerShared {
    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Waits a little for a connection that was lost.
    async fn connected(&self) -> Result<()> {
        let connection = &self.shared.connection;
        if connection.is_up() {
            return Ok(());
        }
        let patience = self.shared.config.connect_timeout;
        let up = Box::pin(timeout(patience, connection.up())).await;
        up.map_err(|_| connection.gone().never_started())
    }

    fn check_size(&self, what: &str, bytes: usize) -> Result<()> {
        let limit = self.shared.connection.client().max_payload();
        match bytes > limit {
            true => Err(crate::error::too_large(
                what,
                bytes,
                limit,
                self.shared.connection.servers(),
            )),
            false => Ok(()),
        }
    }

    /// Tells the node that nobody listens at a socket any more, as far as that works without waiting.
    fn close(&self, inbox: Subject) {
        let client = self.shared.connection.client();
        let headers = Mark::Close.headers();
        let said = client.publish_with_reply_and_headers(self.subject.clone(), inbox, headers, farewell());
        let _ = said.now_or_never();
    }

    /// Closes the sockets that have waited for too long.
    pub(crate) fn drop_expired(&self, now: Instant) {
        let limit: Duration = self.shared.config.pool_idle_timeout;
        let expired: Vec<Idle> = {
            let mut idle = self.idle();
            let is_young = |socket: &Idle| now.saturating_duration_since(socket.since) < limit;
            let (young, expired) = std::mem::take(&mut *idle).into_iter().partition(is_young);
            *idle = young;
            expired
        };
        for socket in expired {
            self.close(socket.inbox);
        }
    }
}

impl Drop for PeerShared {
    fn drop(&mut self) {
        for socket in std::mem::take(&mut *self.idle()) {
            self.close(socket.inbox);
        }
    }
}

#[async_trait]
impl Handler for NatsPeer {
    async fn handle(&self, mut request: Request) -> Result<Response> {
        if is_exchange(&request) {
            return exchange::exchange(&self.0, &mut request).await;
        }
        // Boxed, so that the future of a call of one message has no room for a stream's.
        Box::pin(stream::open(self.0.clone(), request)).await
    }

    async fn handle_kept(&self, request: &mut Request) -> Result<Response> {
        if is_exchange(request) {
            return exchange::exchange(&self.0, request).await;
        }
        match request.try_clone() {
            Some(copy) => self.handle(copy).await,
            None => Err(Error::bad_request(
                "go.micro.client",
                format!(
                    "{} {}: a request whose body is a stream can be sent once only",
                    request.service, request.endpoint
                ),
            )
            .never_started()),
        }
    }
}

/// Whether one message goes out and one comes back.
fn is_exchange(request: &Request) -> bool {
    request.kind == CallKind::Unary && !request.body.is_stream()
}
