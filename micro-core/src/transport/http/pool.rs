//! Idle connections of one node, last in first out.

use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::task::coop::unconstrained;
use tokio::time::Instant;

use super::connection::{Io, ReadBuffer};
use super::head::Beginning;

/// Buffers that grew past this are given back while a connection idles, in bytes.
const KEPT_BUFFER: usize = 64 * 1024;

/// The longest age that is told apart from none.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// A connection with its buffers.
pub(super) struct Connection {
    pub(super) io: Io,
    pub(super) input: ReadBuffer,
    pub(super) output: Vec<u8>,
    pub(super) beginning: Beginning,
    expires: Instant,
    idle_since: Instant,
}

impl Connection {
    pub(super) fn new(io: Io, max_age: Duration) -> Box<Self> {
        let now = Instant::now();
        // Connections that were made together shall not all expire together.
        let jitter = 0.9 + 0.2 * fastrand::f64();
        let expires = now + max_age.min(YEAR).mul_f64(jitter);
        Box::new(Self {
            io,
            input: ReadBuffer::default(),
            output: Vec::with_capacity(512),
            beginning: Beginning::default(),
            expires,
            idle_since: now,
        })
    }

    /// Whether the connection is still good. While it idles nothing may arrive: neither bytes nor an end.
    fn is_alive(&mut self) -> bool {
        let Self { io, input, .. } = self;
        match io {
            // Costs no system call and no lock, because the runtime already knows when there is nothing.
            Io::Tcp(stream) => stream
                .try_read(&mut [0])
                .is_err_and(|error| error.kind() == ErrorKind::WouldBlock),
            Io::Tls(_) => {
                // Unconstrained, because a task that has done much at a stretch is told that nothing is there,
                // whatever is.
                let filled = unconstrained(poll_fn(|context| input.poll_fill(io, context)));
                pin!(filled)
                    .poll(&mut Context::from_waker(Waker::noop()))
                    .is_pending()
            }
        }
    }

    fn is_expired(&self, now: Instant, idle_timeout: Duration) -> bool {
        now >= self.expires || now.saturating_duration_since(self.idle_since) >= idle_timeout
    }
}

// Boxed, because a connection is some 200 bytes and moves at every call.
type Idle = Vec<Box<Connection>>;

pub(super) struct Pool {
    idle: Mutex<Idle>,
    size: usize,
    idle_timeout: Duration,
}

impl Pool {
    pub(super) fn new(size: usize, idle_timeout: Duration) -> Self {
        Self {
            idle: Mutex::default(),
            size,
            idle_timeout,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that was used last and is still good.
    pub(super) fn take(&self, now: Instant) -> Option<Box<Connection>> {
        loop {
            // Bound first, so that the lock is not held while the connection is asked or closed.
            let connection = self.lock().pop();
            let mut connection = connection?;
            if !connection.is_expired(now, self.idle_timeout) && connection.is_alive() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection, which idles from now on.
    pub(super) fn put(&self, mut connection: Box<Connection>) {
        connection.idle_since = Instant::now();
        if connection.output.capacity() > KEPT_BUFFER {
            connection.output = Vec::new();
        }
        connection.input.shrink(KEPT_BUFFER);
        let mut idle = self.lock();
        if idle.len() < self.size {
            idle.push(connection);
        }
    }

    /// Closes what has idled too long or become too old.
    pub(super) fn drop_expired(&self) {
        let now = Instant::now();
        let expired: Vec<_> = self
            .lock()
            .extract_if(.., |connection| connection.is_expired(now, self.idle_timeout))
            .collect();
        drop(expired);
    }
}
