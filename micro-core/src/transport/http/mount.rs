//! What does not come in Go Micro's framing on the listener's port: hyper's HTTP/2 without encryption, and HTTP/1.1 for
//! mounted routes and other protocols.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use super::listener::Server;
use crate::Body;
use crate::handler::Peer;
use crate::transport::http1::{self, Http1};
use crate::transport::socket::Socket;

/// The longest time that hyper is told, which would overflow on one without end.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Serves HTTP/1.1 from a head on.
pub(super) async fn serve_http1(socket: Socket, peer: Peer, server: Arc<Server>) {
    let limits = &server.limits;
    let terms = Http1 {
        head_size: limits.head_size,
        head_timeout: match server.speaker {
            // Calls come over such connections, too, and with pauses between them.
            Some(_) => limits.idle_timeout,
            None => limits.head_timeout,
        },
        write_timeout: limits.write_timeout,
        ..Http1::default()
    };
    http1::serve_http1(socket, terms, &server.draining, |request| {
        answer(request, peer, &server)
    })
    .await;
}

/// Serves HTTP/2 from its first byte on.
pub(super) async fn serve_http2(socket: Socket, peer: Peer, server: Arc<Server>) {
    if let Some(speaker) = &server.speaker {
        return speaker.clone().serve_http2(socket, peer).await;
    }
    let service = {
        let server = server.clone();
        service_fn(move |request: http::Request<Incoming>| {
            let server = server.clone();
            async move {
                let answer = answer(request.map(http1::arriving), peer, &server).await;
                Ok::<_, Infallible>(answer.map(http1::Leaving))
            }
        })
    };
    // Dropped with the connection, and with it the calls that still run.
    let tasks = server.tasks.of_connection();
    let mut builder = hyper::server::conn::http2::Builder::new(Calls(Arc::downgrade(&tasks)));
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval((server.limits.idle_timeout / 4).min(LONGEST))
        .max_header_list_size(u32::try_from(server.limits.head_size).unwrap_or(u32::MAX))
        .max_concurrent_streams(256);
    let connection = builder.serve_connection(TokioIo::new(socket), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = server.draining.begun() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn answer(request: http::Request<Body>, peer: Peer, server: &Server) -> http::Response<Body> {
    match &server.speaker {
        Some(speaker) => server.host.answer(speaker.as_ref(), request, peer).await,
        None => server.host.plain.answer(request, peer).await,
    }
}

/// The tasks of a listener's HTTP/2 calls. Each belongs to its connection, which ends them; a listener that closes
/// waits until they are gone.
#[derive(Default)]
pub(super) struct Tasks(TaskTracker);

impl Tasks {
    fn of_connection(&self) -> Arc<ConnectionTasks> {
        Arc::new(ConnectionTasks {
            tracker: self.0.clone(),
            running: Mutex::default(),
        })
    }

    /// Returns when no task is left.
    pub(super) async fn finish(&self) {
        self.0.close();
        self.0.wait().await;
    }
}

struct ConnectionTasks {
    tracker: TaskTracker,
    running: Mutex<JoinSet<()>>,
}

/// Where hyper starts the calls of one connection.
#[derive(Clone)]
struct Calls(Weak<ConnectionTasks>);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Calls {
    fn execute(&self, call: F) {
        if let Some(tasks) = self.0.upgrade() {
            let mut running = tasks.running.lock().unwrap_or_else(PoisonError::into_inner);
            while running.try_join_next().is_some() {}
            running.spawn(tasks.tracker.track_future(call));
        }
    }
}
