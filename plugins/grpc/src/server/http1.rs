//! Connections over HTTP/1.1: browsers, Connect's clients and plain JSON.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use micro_core::handler::Peer;
use micro_core::{Body, Error, Result};
use tokio::time::sleep;

use super::call::SERVER;
use super::opening::Opened;
use super::{LONGEST, Server, web};

/// The smallest buffer that hyper reads into, in bytes.
const SMALLEST_BUFFER: usize = 8 * 1024;

/// Serves one connection, until it ends, is too old, or the listener closes; the answer under way is finished then.
/// Dropped, it ends the connection and the call on it.
pub(super) async fn serve(socket: Opened, peer: Peer, server: Arc<Server>) {
    let mut drain = pin!(server.drain.notified());
    drain.as_mut().enable();
    let limits = &server.config.limits;
    let service = service_fn(|request: http::Request<Incoming>| {
        let request = request.map(|body| Body::stream(Arriving(body)));
        async {
            let response = web::serve(request, peer, &server).await;
            Ok::<_, Infallible>(response.map(Leaving))
        }
    });
    let connection = Builder::new()
        .timer(TokioTimer::new())
        // The time without a call counts, too: hyper waits for the next head from the end of the last answer on.
        .header_read_timeout(limits.idle_timeout.min(LONGEST))
        .max_buf_size((limits.head_size as usize).max(SMALLEST_BUFFER))
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = pin!(connection);
    if !server.is_draining() {
        let age = limits.max_age.unwrap_or(LONGEST).min(LONGEST);
        tokio::select! {
            end = connection.as_mut() => return ended(end, peer),
            () = drain => {}
            () = sleep(age) => {}
        }
    }
    connection.as_mut().graceful_shutdown();
    match limits.max_age_grace {
        Some(grace) if !server.is_draining() => {
            let _: Result<_, _> = tokio::time::timeout(grace.min(LONGEST), connection).await;
        }
        _ => ended(connection.await, peer),
    }
}

fn ended(end: hyper::Result<()>, peer: Peer) {
    if let Err(problem) = end {
        tracing::debug!(remote = %peer.remote, %problem, "a connection over HTTP/1.1 broke");
    }
}

/// What arrives of a request's body, in the pieces in which it does.
struct Arriving(Incoming);

impl Stream for Arriving {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            return Poll::Ready(match ready!(Pin::new(&mut self.0).poll_frame(context)) {
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
struct Leaving(Body);

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

    fn size_hint(&self) -> SizeHint {
        match self.0.as_single() {
            Some(bytes) => SizeHint::with_exact(bytes.len() as u64),
            None => SizeHint::default(),
        }
    }
}
