//! Notices that the other side of a connection is gone without a word.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use h2::{Ping, PingPong};
use micro_core::transport::socket::{Socket, is_refused_certificate};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::config::KeepAlive;

/// The shortest pause between two looks at a connection.
const SHORTEST: Duration = Duration::from_millis(10);

/// What was heard on a connection.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Something, since this was looked at last.
    something: AtomicBool,
    /// That the other side does not accept this side's certificate.
    refusal: AtomicBool,
}

impl Heard {
    pub(crate) fn is_refused(&self) -> bool {
        self.refusal.load(Ordering::Relaxed)
    }

    pub(crate) fn is_anything(&self) -> bool {
        self.something.load(Ordering::Relaxed)
    }

    fn take(&self) -> bool {
        self.something.swap(false, Ordering::Relaxed)
    }
}

/// A connection that tells what is heard on it.
pub(crate) struct Listening {
    socket: Socket,
    heard: Arc<Heard>,
}

impl Listening {
    pub(crate) fn new(socket: Socket, heard: Arc<Heard>) -> Self {
        Self { socket, heard }
    }
}

/// Asks a silent peer whether it is still there.
pub(crate) struct Heartbeat {
    config: KeepAlive,
    heard: Arc<Heard>,
    ping: Option<PingPong>,
    is_waiting: bool,
    /// When to look again.
    pub(crate) due: Option<Instant>,
}

impl Heartbeat {
    pub(crate) fn new(config: KeepAlive, ping: Option<PingPong>, heard: Arc<Heard>, now: Instant) -> Self {
        let config = KeepAlive {
            interval: config.interval.max(SHORTEST),
            timeout: config.timeout.max(SHORTEST),
        };
        Self {
            due: now.checked_add(config.interval),
            config,
            heard,
            ping,
            is_waiting: false,
        }
    }

    /// To be asked when it is due. False: the peer did not answer in time. A connection that is not `needed` is not
    /// asked.
    pub(crate) fn is_alive(&mut self, now: Instant, is_needed: bool, context: &mut Context<'_>) -> bool {
        if self.due.is_none_or(|due| now < due) {
            return true;
        }
        if self.heard.take() || !is_needed {
            self.is_waiting = false;
        } else if self.is_waiting {
            return false;
        } else if let Some(ping) = &mut self.ping {
            // Whatever comes back is a sign of life; the answer of the time before only makes room.
            let _ = ping.poll_pong(context);
            self.is_waiting = ping.send_ping(Ping::opaque()).is_ok();
        }
        let pause = match self.is_waiting {
            true => self.config.timeout,
            false => self.config.interval,
        };
        self.due = now.checked_add(pause);
        true
    }
}

impl AsyncRead for Listening {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.socket).poll_read(context, buffer);
        match &read {
            Poll::Ready(Ok(())) => self.heard.something.store(true, Ordering::Relaxed),
            Poll::Ready(Err(problem)) if is_refused_certificate(problem) => {
                self.heard.refusal.store(true, Ordering::Relaxed);
            }
            _ => {}
        }
        read
    }
}

impl AsyncWrite for Listening {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
