//! One connection of a listener: takes the calls that come by it, and ends them with it.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use micro_core::handler::Peer;
use micro_core::transport::socket::Socket;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::task::TaskTracker;

use super::{LONGEST, Server, call};
use crate::config::FRAME_SIZE;
use crate::heartbeat::{Heard, Heartbeat, Listening};
use crate::path::Paths;

/// How many calls that arrived together begin in one task.
const LOT: usize = 8;
/// How many streams that were refused are remembered, and how many may be given up before they are looked at: more
/// and the connection is closed.
const RESETS: usize = 64;
/// How long a caller without calls may take to acknowledge that it is to go elsewhere.
const FAREWELL: Duration = Duration::from_secs(1);

type Call = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(super) struct Connection {
    http2: h2::server::Connection<Listening, Bytes>,
    peer: Peer,
    server: Arc<Server>,
    paths: Paths,
    calls: Arc<Calls>,
    arrived: Vec<Call>,
    times: Times,
}

/// When what is due on a connection.
struct Times {
    heartbeat: Heartbeat,
    /// When there was a call last.
    busy: Instant,
    idle_timeout: Duration,
    max_age: Option<Instant>,
    /// When the connection is closed whatever happens on it.
    end: Option<Instant>,
    /// When a caller without calls that was told to go elsewhere is not waited for any more.
    farewell: Option<Instant>,
}

impl Connection {
    pub(super) async fn new(socket: Socket, peer: Peer, server: Arc<Server>) -> Result<Self, h2::Error> {
        let heard = Arc::new(Heard::default());
        let config = &server.config;
        let limits = &config.limits;
        let mut http2 = h2::server::Builder::new()
            .initial_window_size(config.stream_window())
            .initial_connection_window_size(config.connection_window())
            .data_frame_budget(config.frame_budget())
            .max_concurrent_streams(limits.streams.max(1))
            .max_frame_size(FRAME_SIZE)
            .max_header_list_size(limits.head_size)
            .max_concurrent_reset_streams(RESETS)
            .max_pending_accept_reset_streams(RESETS)
            .max_send_buffer_size(config.stream_window() as usize)
            .handshake(Listening::new(socket, heard.clone()))
            .await?;
        let now = Instant::now();
        let max_age = limits
            .max_age
            .map(|age| age.min(LONGEST).mul_f64(0.9 + 0.2 * fastrand::f64()));
        let times = Times {
            heartbeat: Heartbeat::new(limits.keep_alive, http2.ping_pong(), heard, now),
            busy: now,
            idle_timeout: limits.idle_timeout.min(LONGEST),
            max_age: max_age.map(|age| now + age),
            end: None,
            farewell: None,
        };
        let calls = Arc::new(Calls {
            tracker: server.calls.clone(),
            running: Mutex::default(),
        });
        Ok(Self {
            http2,
            peer,
            server,
            paths: Paths::default(),
            calls,
            arrived: Vec::new(),
            times,
        })
    }

    /// Serves until the connection ends. Dropped, it ends the connection and all calls on it.
    pub(super) async fn run(mut self) {
        let server = self.server.clone();
        let mut drain = pin!(server.draining.begun());
        let mut alarm = pin!(sleep_until(self.times.next()));
        // Registered once: from now on both wake this connection's task, and are asked only by looking at a flag.
        poll_fn(|context| {
            let _ = drain.as_mut().poll(context);
            let _ = alarm.as_mut().poll(context);
            Poll::Ready(())
        })
        .await;
        poll_fn(|context| self.poll(alarm.as_mut(), context)).await;
    }

    fn poll(&mut self, mut alarm: Pin<&mut Sleep>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.poll_calls(context).is_ready() {
                return Poll::Ready(());
            }
            if self.server.draining.has_begun() && self.times.farewell.is_none() {
                self.say_farewell(Instant::now());
                alarm.as_mut().reset(self.times.next());
            } else if alarm.is_elapsed() {
                if !self.look_after(Instant::now(), context) {
                    return Poll::Ready(());
                }
                alarm.as_mut().reset(self.times.next());
            } else {
                return Poll::Pending;
            }
            let _ = alarm.as_mut().poll(context);
        }
    }

    /// Takes what calls there are. Ready when the connection ended.
    fn poll_calls(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let ended = loop {
            match self.http2.poll_accept(context) {
                Poll::Ready(Some(Ok((request, respond)))) => self.take(request, respond),
                Poll::Ready(Some(Err(problem))) => {
                    tracing::debug!(remote = %self.peer.remote, %problem, "a connection broke");
                    break true;
                }
                Poll::Ready(None) => break true,
                Poll::Pending => break false,
            }
        };
        self.begin_arrived();
        match ended {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    fn take(&mut self, request: http::Request<RecvStream>, respond: SendResponse<Bytes>) {
        let (head, body) = request.into_parts();
        let named = head.uri.path_and_query().and_then(|path| self.paths.read(path));
        let call = call::serve(head, named, body, respond, self.peer, self.server.clone());
        self.arrived.push(Box::pin(call));
        if self.arrived.len() == LOT {
            self.begin_arrived();
        }
    }

    /// Begins the calls that arrived together in one task.
    fn begin_arrived(&mut self) {
        if self.arrived.is_empty() {
            return;
        }
        let lot = std::mem::take(&mut self.arrived);
        self.calls.spawn(begin(lot, Arc::downgrade(&self.calls)));
    }

    fn say_farewell(&mut self, now: Instant) {
        self.http2.graceful_shutdown();
        self.times.farewell = Some(now + FAREWELL);
    }

    /// Does what is due. False: the connection is to be closed.
    fn look_after(&mut self, now: Instant, context: &mut Context<'_>) -> bool {
        let is_busy = self.http2.has_streams();
        if is_busy {
            self.times.busy = now;
        }
        let is_past = |time: Option<Instant>| time.is_some_and(|time| time <= now);
        if !self.times.heartbeat.is_alive(now, true, context) {
            tracing::debug!(remote = %self.peer.remote, "a caller does not answer any more");
            return false;
        }
        if is_past(self.times.end) {
            self.http2.abrupt_shutdown(Reason::NO_ERROR);
            return false;
        }
        if is_past(self.times.farewell) {
            self.times.farewell = Some(now + FAREWELL);
            return is_busy;
        }
        let is_old = is_past(self.times.max_age);
        if is_old {
            self.times.max_age = None;
            let grace = self.server.config.limits.max_age_grace;
            self.times.end = grace.map(|grace| now + grace.min(LONGEST));
        }
        if is_old || now >= self.times.busy + self.times.idle_timeout {
            self.say_farewell(now);
        }
        true
    }
}

impl Times {
    fn next(&self) -> Instant {
        let idle = self.farewell.is_none().then(|| self.busy + self.idle_timeout);
        let times = [self.heartbeat.due, idle, self.max_age, self.end, self.farewell];
        let far = self.busy + LONGEST;
        times.into_iter().flatten().min().unwrap_or(far)
    }
}

/// The tasks of a connection's calls, which end with it.
struct Calls {
    tracker: TaskTracker,
    running: Mutex<JoinSet<()>>,
}

impl Calls {
    fn spawn(&self, call: impl Future<Output = ()> + Send + 'static) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        while running.try_join_next().is_some() {}
        running.spawn(self.tracker.track_future(call));
    }
}

/// Begins calls one after the other. What is not done at once goes on in a task of its own, and the last one here.
async fn begin(mut lot: Vec<Call>, calls: Weak<Calls>) {
    poll_fn(|context| {
        lot.retain_mut(
            |call| match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(context))) {
                Ok(polled) => polled.is_pending(),
                // A panic fails one call: what it held is dropped, and the caller is told by a reset.
                Err(_) => false,
            },
        );
        Poll::Ready(())
    })
    .await;
    let Some(last) = lot.pop() else { return };
    if let Some(calls) = calls.upgrade() {
        lot.into_iter().for_each(|call| calls.spawn(call));
    }
    last.await;
}
