//! One connection to a node, on which many calls go on at once.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use http::HeaderMap;
use micro_core::transport::socket::Socket;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::links::Links;
use crate::config::{Compression, FRAME_SIZE, GrpcConfig};
use crate::framing::reads_gzip;
use crate::heartbeat::{Heard, Heartbeat, Listening};
use crate::metadata::GRPC_ACCEPT_ENCODING;

/// The longest time that is added to an instant, which would overflow on one without end.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// A connection. Dropped, it is closed.
pub(super) struct Link {
    requests: Mutex<SendRequest<Bytes>>,
    /// How many calls go on here.
    calls: AtomicUsize,
    /// A call began since this was looked at last.
    was_used: AtomicBool,
    /// What is wanted where the other side reads it.
    compression: Compression,
    reads_gzip: AtomicBool,
    heard: Arc<Heard>,
    _task: AbortOnDropHandle<()>,
}

/// A call's place on a connection, which stays open at least until this is dropped.
pub(super) struct Place(Arc<Link>);

/// A call that was begun, and how its messages are compressed.
pub(super) struct Begun {
    pub(super) response: ResponseFuture,
    pub(super) stream: SendStream<Bytes>,
    pub(super) compression: Compression,
}

impl Link {
    /// Begins to speak HTTP/2 on a connection.
    pub(super) async fn new(
        socket: Socket,
        config: &GrpcConfig,
        links: Weak<Links>,
    ) -> Result<Arc<Self>, h2::Error> {
        let heard = Arc::new(Heard::default());
        let (requests, mut http2) = h2::client::Builder::new()
            .enable_push(false)
            .initial_window_size(config.stream_window())
            .initial_connection_window_size(config.connection_window())
            .data_frame_budget(config.frame_budget())
            .max_frame_size(FRAME_SIZE)
            .max_header_list_size(config.limits.head_size)
            .max_send_buffer_size(config.stream_window() as usize)
            .handshake::<_, Bytes>(Listening::new(socket, heard.clone()))
            .await?;
        // Whoever listens says something first. Until it did, it may be a system's queue and nobody behind it, and calls
        // that were sent there would be lost without anybody knowing it.
        poll_fn(|context| match Pin::new(&mut http2).poll(context) {
            Poll::Ready(ended) => Poll::Ready(ended.and(Err(h2::Reason::REFUSED_STREAM.into()))),
            Poll::Pending if heard.is_anything() => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        })
        .await?;
        let now = Instant::now();
        let heartbeat = Heartbeat::new(config.keep_alive, http2.ping_pong(), heard.clone(), now);
        let idle_timeout = config.idle_timeout.min(LONGEST);
        Ok(Arc::new_cyclic(|link| {
            let driver = Driver {
                http2,
                heartbeat,
                links,
                link: link.clone(),
                used: now,
                idle_timeout,
            };
            Self {
                requests: Mutex::new(requests),
                calls: AtomicUsize::new(0),
                was_used: AtomicBool::new(true),
                compression: config.compression,
                reads_gzip: AtomicBool::new(config.assume_gzip),
                heard,
                _task: AbortOnDropHandle::new(tokio::spawn(driver.run())),
            }
        }))
    }

    /// How many calls go on here.
    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Takes a place for a call.
    pub(super) fn place(self: &Arc<Self>) -> Place {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if !self.was_used.load(Ordering::Relaxed) {
            self.was_used.store(true, Ordering::Relaxed);
        }
        Place(self.clone())
    }

    /// How the messages of a call that begins here are compressed: not at all before the other side said that it
    /// reads it.
    pub(super) fn compression(&self) -> Compression {
        match self.compression.is_on() && self.reads_gzip.load(Ordering::Relaxed) {
            true => self.compression,
            false => Compression::None,
        }
    }

    /// Notes what the head of an answer says of what the other side reads.
    pub(super) fn note(&self, answer: &HeaderMap) {
        let is_news = self.compression.is_on() && !self.reads_gzip.load(Ordering::Relaxed);
        if is_news && reads_gzip(answer, &GRPC_ACCEPT_ENCODING) {
            self.reads_gzip.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the other side refused this side's certificate.
    pub(super) fn is_refused(&self) -> bool {
        self.heard.is_refused()
    }
}

impl Place {
    pub(super) fn link(&self) -> &Arc<Link> {
        &self.0
    }

    /// Begins a call. An error means that the connection takes no calls any more, and that this one was not sent.
    pub(super) fn begin(
        &self,
        head: http::Request<()>,
        compression: Compression,
    ) -> Result<Begun, h2::Error> {
        let mut requests = self.0.requests.lock().unwrap_or_else(PoisonError::into_inner);
        // More calls than the other side wants at once: each waits in the connection for its turn. The one before is
        // known to this handle, and another handle does not wait for it.
        let is_ready = poll_once(|context| requests.poll_ready(context));
        if is_ready.is_pending() {
            *requests = requests.clone();
        }
        let (response, stream) = requests.send_request(head, false)?;
        Ok(Begun {
            response,
            stream,
            compression,
        })
    }
}

fn poll_once<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    poll(&mut Context::from_waker(std::task::Waker::noop()))
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What moves a connection.
struct Driver {
    http2: h2::client::Connection<Listening, Bytes>,
    heartbeat: Heartbeat,
    links: Weak<Links>,
    link: Weak<Link>,
    used: Instant,
    idle_timeout: Duration,
}

impl Driver {
    async fn run(mut self) {
        let mut alarm = pin!(sleep_until(self.next()));
        // Registered once: from now on it wakes this task, and is asked only by looking at a flag.
        poll_fn(|context| {
            let _ = alarm.as_mut().poll(context);
            Poll::Ready(())
        })
        .await;
        poll_fn(|context| self.poll(alarm.as_mut(), context)).await;
        if let Some(links) = self.links.upgrade() {
            links.remove(&self.link);
        }
    }

    fn poll(&mut self, mut alarm: Pin<&mut Sleep>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Poll::Ready(ended) = Pin::new(&mut self.http2).poll(context) {
                if let Err(problem) = ended {
                    tracing::debug!(%problem, "a connection ended");
                }
                return Poll::Ready(());
            }
            if !alarm.is_elapsed() {
                return Poll::Pending;
            }
            if !self.look_after(Instant::now(), context) {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(self.next());
            let _ = alarm.as_mut().poll(context);
        }
    }

    /// Does what is due. False: the connection is to be closed.
    fn look_after(&mut self, now: Instant, context: &mut Context<'_>) -> bool {
        let Some(link) = self.link.upgrade() else {
            return false;
        };
        let is_busy = link.calls() > 0;
        if is_busy || link.was_used.swap(false, Ordering::Relaxed) {
            self.used = now;
        }
        if !self.heartbeat.is_alive(now, is_busy, context) {
            tracing::debug!("a node does not answer any more");
            return false;
        }
        let is_idle = now >= self.used + self.idle_timeout;
        !(is_idle && self.links.upgrade().is_none_or(|links| links.remove_idle(&link)))
    }

    fn next(&self) -> Instant {
        let idle = self.used + self.idle_timeout;
        self.heartbeat.due.map_or(idle, |due| due.min(idle))
    }
}
