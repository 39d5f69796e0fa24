//! The other dialects over HTTP/2, beside gRPC on the same connection.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONNECTION, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, Method, Response as HttpResponse, request};
use micro_core::handler::Peer;
use micro_core::{Body, Error, Result};
use tokio::time::timeout;

use super::super::Server;
use super::SERVER;

/// What pages may say that were written for HTTP/1.1, and HTTP/2 does not allow.
const OF_HTTP1: [HeaderName; 3] = [CONNECTION, TRANSFER_ENCODING, UPGRADE];

/// Answers one request. Dropped, it resets it.
pub(in crate::server) async fn serve(
    head: request::Parts,
    body: RecvStream,
    mut respond: SendResponse<Bytes>,
    peer: Peer,
    server: &Server,
) {
    let is_head = head.method == Method::HEAD;
    let request = http::Request::from_parts(head, Body::stream(Arriving(body)));
    let response = {
        let mut answering = pin!(server.others.answer(server, request, peer));
        poll_fn(|context| {
            if let Poll::Ready(response) = answering.as_mut().poll(context) {
                return Poll::Ready(Some(response));
            }
            respond.poll_reset(context).map(|_| None)
        })
        .await
    };
    // The caller is gone.
    let Some(response) = response else { return };
    let (mut head, body) = response.into_parts();
    for name in OF_HTTP1 {
        head.headers.remove(name);
    }
    let is_empty = is_head || body.as_single().is_some_and(Bytes::is_empty);
    let Ok(mut stream) = respond.send_response(HttpResponse::from_parts(head, ()), is_empty) else {
        return;
    };
    if is_empty {
        return;
    }
    let limit = body.as_single().map(|_| server.config.limits.write_timeout);
    let sending = send(&mut stream, body);
    let is_sent = match limit {
        Some(limit) => timeout(limit, sending).await.unwrap_or(false),
        None => sending.await,
    };
    if !is_sent {
        stream.send_reset(Reason::CANCEL);
    }
}

/// Sends a body as fast as the caller takes it. False: it could not be.
async fn send(stream: &mut SendStream<Bytes>, mut body: Body) -> bool {
    loop {
        let piece = poll_fn(|context| {
            if let Poll::Ready(piece) = body.poll_message(context) {
                return Poll::Ready(piece);
            }
            let gone = || Some(Err(Error::server(499, "the caller gave up the call")));
            stream.poll_reset(context).map(|_| gone())
        })
        .await;
        let Some(piece) = piece else {
            return stream.send_data(Bytes::new(), true).is_ok();
        };
        let Ok(mut piece) = piece else { return false };
        while !piece.is_empty() {
            stream.reserve_capacity(piece.len());
            let room = match stream.capacity() {
                0 => match poll_fn(|context| stream.poll_capacity(context)).await {
                    Some(Ok(room)) => room,
                    Some(Err(_)) | None => return false,
                },
                room => room,
            };
            let part = piece.split_to(room.min(piece.len()));
            if stream.send_data(part, false).is_err() {
                return false;
            }
        }
    }
}

/// What arrives of a request's body, in the pieces in which it does.
struct Arriving(RecvStream);

impl Stream for Arriving {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let piece = ready!(self.0.poll_data(context));
        Poll::Ready(piece.map(|piece| match piece {
            Ok(piece) => {
                // Fails only for more than was received.
                let _ = self.0.flow_control().release_capacity(piece.len());
                Ok(piece)
            }
            Err(problem) => Err(Error::new(
                SERVER,
                499,
                format!("the caller gave up the call: {problem}"),
            )),
        }))
    }
}
