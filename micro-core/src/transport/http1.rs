//! HTTP/1.1 with ordinary requests and answers, for pages and for protocols that come as such.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep, timeout};

use super::port::Draining;
use super::socket::Socket;
use crate::error::SERVER;
use crate::{Body, Error, Result};

/// The longest time that is waited for, which would overflow on one without end.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// The smallest buffer that hyper reads into, in bytes.
const SMALLEST_BUFFER: usize = 8 * 1024;

/// What a caller over HTTP/1.1 may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Http1 {
    /// Bytes of a head, at least 8 KiB; so much of an answer is held for a reader, too. Default: 64 KiB.
    pub head_size: usize,
    /// From the end of an answer to the end of the next head, without which the connection is closed. Default: 5 min.
    pub head_timeout: Duration,
    /// How long an answer that is one message may take to leave, and how long a reader of a streamed one may take
    /// nothing, without which the connection is closed. Default: 60 s.
    pub write_timeout: Duration,
    /// How old the connection may become before it is closed after the answer under way. Default: as old as it likes.
    pub max_age: Option<Duration>,
    /// How long that answer may take. Default: until it ends.
    pub max_age_grace: Option<Duration>,
}

impl Default for Http1 {
    fn default() -> Self {
        Self {
            head_size: 64 * 1024,
            head_timeout: Duration::from_secs(5 * 60),
            write_timeout: Duration::from_secs(60),
            max_age: None,
            max_age_grace: None,
        }
    }
}

/// Serves one connection until it ends, is too old, or its port closes; the answer under way is finished then. The
/// bodies of requests and answers are pieces of any size. Dropped, it ends the connection and what answers on it.
pub async fn serve_http1<F, Fut>(socket: Socket, terms: Http1, draining: &Draining, answer: F)
where
    F: Fn(http::Request<Body>) -> Fut,
    Fut: Future<Output = http::Response<Body>>,
{
    let is_whole = Arc::new(AtomicBool::new(false));
    let service = service_fn(|request: http::Request<Incoming>| {
        let answering = answer(request.map(arriving));
        let is_whole = &is_whole;
        async move {
            let answer = answering.await;
            is_whole.store(!answer.body().is_stream(), Ordering::Relaxed);
            Ok::<_, Infallible>(answer.map(Leaving))
        }
    });
    let socket = Watched {
        socket,
        limit: terms.write_timeout.min(LONGEST),
        is_whole: is_whole.clone(),
        stalled: None,
    };
    let connection = Builder::new()
        .timer(TokioTimer::new())
        // The time without a request counts, too: hyper waits for the next head from the end of the last answer on.
        .header_read_timeout(terms.head_timeout.min(LONGEST))
        .max_buf_size(terms.head_size.max(SMALLEST_BUFFER))
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = pin!(connection);
    if !draining.has_begun() {
        tokio::select! {
            end = connection.as_mut() => return ended(end),
            () = draining.begun() => {}
            () = sleep(terms.max_age.unwrap_or(LONGEST).min(LONGEST)) => {}
        }
    }
    connection.as_mut().graceful_shutdown();
    match terms.max_age_grace {
        Some(grace) if !draining.has_begun() => {
            if let Ok(end) = timeout(grace.min(LONGEST), connection).await {
                ended(end);
            }
        }
        _ => ended(connection.await),
    }
}

fn ended(end: hyper::Result<()>) {
    if let Err(problem) = end {
        tracing::debug!(%problem, "a connection over HTTP/1.1 broke");
    }
}

/// The body of a request.
pub(super) fn arriving(body: Incoming) -> Body {
    Body::stream(Arriving(body))
}

/// What arrives of a request's body, in the pieces in which it does.
struct Arriving(Incoming);

impl Stream for Arriving {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let frame = ready!(hyper::body::Body::poll_frame(Pin::new(&mut self.0), context));
            return Poll::Ready(match frame {
                None => None,
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => Some(Ok(bytes)),
                    // Trailers, which nobody asks for.
                    Err(_) => continue,
                },
                Some(Err(problem)) => Some(Err(Error::new(
                    SERVER,
                    499,
                    format!("the caller gave up the call: {problem}"),
                ))),
            });
        }
    }
}

/// The body of an answer.
pub(super) struct Leaving(pub(super) Body);

impl hyper::body::Body for Leaving {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let message = ready!(self.0.poll_message(context));
        Poll::Ready(message.map(|message| message.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_single().is_some_and(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        match self.0.as_single() {
            Some(bytes) => SizeHint::with_exact(bytes.len() as u64),
            None => SizeHint::default(),
        }
    }
}

/// A connection whose other side must read what it is sent.
struct Watched {
    socket: Socket,
    limit: Duration,
    /// Whether the answer under way is one message, which must leave as a whole within the limit.
    is_whole: Arc<AtomicBool>,
    /// Runs out when the other side did not read in time.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    /// Passes on what came of writing.
    fn watch<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        is_all: bool,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            if is_all || !self.is_whole.load(Ordering::Relaxed) {
                self.stalled = None;
            }
            return written;
        }
        let limit = self.limit;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
        stalled.as_mut().poll(context).map(|()| {
            let problem = format!("the answer was not read within {limit:?}, the limit write_timeout");
            Err(io::Error::new(io::ErrorKind::TimedOut, problem))
        })
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.watch(written, false, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.watch(written, false, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(context);
        self.watch(flushed, true, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.socket).poll_shutdown(context);
        self.watch(ended, true, context)
    }
}
