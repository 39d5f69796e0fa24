//! One call of a connection: from its head to its status.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Method, request};
use micro_core::handler::{CallKind, Lot, Lots, Peer, RequestParts};
use micro_core::{Body, Error, Request, Result, Text};
use tokio::time::{Instant, timeout};

use super::Server;
use super::answer::Answerer;
use super::web;
use crate::content_type::{self, Format};
use crate::framing::is_gzip;
use crate::metadata::{self, GRPC_ENCODING, GRPC_TIMEOUT, TIMEOUT};
use crate::receive::{Beginning, Broken, Incoming};
use crate::timeout;

/// The id of errors that are made here.
pub(super) const SERVER: &str = "go.micro.server";

/// Serves one call. Dropped, it ends the call.
pub(super) async fn serve(
    head: request::Parts,
    named: Option<(Text, Text)>,
    body: RecvStream,
    respond: SendResponse<Bytes>,
    peer: Peer,
    server: Arc<Server>,
) {
    let format = match content_type::read(&head.headers) {
        Some(format) if head.method == Method::POST => format,
        // Boxed, so that what is rare does not make every call's future larger.
        _ => return Box::pin(web::serve_http2(head, body, respond, peer, &server)).await,
    };
    let mut answerer = Answerer::new(respond, &head.headers, &server.config);
    let Some(begun) = begin(&head, named, body, &server, &mut answerer).await else {
        return;
    };
    let request = match begun {
        Ok(begun) => begun.into_request(&head.headers, &format, peer),
        Err(error) => return answerer.fail(&format, &error),
    };
    let request = match request {
        Ok(request) => request,
        Err(error) => return answerer.fail(&format, &error),
    };
    // The head is not needed any more, but would be kept for as long as the handler runs.
    drop(head);
    let mut handling = server.handler.handle(request);
    let result = poll_fn(|context| {
        if let Poll::Ready(result) = handling.as_mut().poll(context) {
            return Poll::Ready(Some(result));
        }
        answerer.poll_gone(context).map(|()| None)
    })
    .await;
    drop(handling);
    match result {
        None => {}
        Some(Ok(response)) => answerer.answer(&format, response).await,
        Some(Err(error)) => answerer.fail(&format, &error),
    }
}

/// A call of which the beginning is there.
struct Begun {
    service: Text,
    endpoint: Text,
    kind: CallKind,
    body: Body,
}

/// Waits for the beginning. `None`: the caller is gone.
async fn begin(
    head: &request::Parts,
    named: Option<(Text, Text)>,
    body: RecvStream,
    server: &Server,
    answerer: &mut Answerer,
) -> Option<Result<Begun>> {
    let Some((service, endpoint)) = named else {
        return Some(Err(no_method(head.uri.path())));
    };
    let is_gzip = match is_gzip(head.headers.get(GRPC_ENCODING)) {
        Ok(is_gzip) => is_gzip,
        Err(error) => return Some(Err(error.context(&endpoint))),
    };
    let limits = &server.config.limits;
    let mut incoming = Incoming::new(body, limits.message_size, is_gzip);
    let is_unary = metadata::is_unary(&head.headers);
    let beginning = match beginning(&mut incoming, is_unary, limits.message_timeout, answerer).await? {
        Ok(beginning) => beginning,
        Err(Broken::Ended(_)) => return None,
        Err(Broken::Bad(error)) => return Some(Err(error.context(&endpoint))),
    };
    let (kind, body) = match beginning {
        Beginning::Single(message) => (CallKind::Unary, message.into()),
        Beginning::Stream(first) => (
            CallKind::Stream,
            Body::lots(Messages {
                first,
                incoming: Some(incoming),
                endpoint: endpoint.clone(),
            }),
        ),
    };
    Some(Ok(Begun {
        service,
        endpoint,
        kind,
        body,
    }))
}

/// The error of a path that names no method.
pub(super) fn no_method(path: &str) -> Error {
    Error::server(
        501,
        format!("{path} is no path of a gRPC method; call /<service>.<Handler>/<Method>"),
    )
}

/// Nearly always there at once; what is not gets a timer.
async fn beginning(
    incoming: &mut Incoming,
    is_unary: bool,
    limit: Duration,
    answerer: &mut Answerer,
) -> Option<Result<Beginning, Broken>> {
    let mut first = None;
    let at_once =
        poll_fn(|context| Poll::Ready(incoming.poll_beginning(&mut first, is_unary, context))).await;
    if let Poll::Ready(beginning) = at_once {
        return Some(beginning);
    }
    let waited = poll_fn(|context| {
        if let Poll::Ready(beginning) = incoming.poll_beginning(&mut first, is_unary, context) {
            return Poll::Ready(Some(beginning));
        }
        answerer.poll_gone(context).map(|()| None)
    });
    // Boxed, so that what is rare does not make every call's future larger.
    Box::pin(timeout(limit, waited)).await.unwrap_or_else(|_| {
        Some(Err(Broken::Bad(Error::server(
            408,
            format!("the first message took longer than {limit:?}, the limit message_timeout"),
        ))))
    })
}

impl Begun {
    fn into_request(self, headers: &HeaderMap, format: &Format, peer: Peer) -> Result<Request> {
        Ok(Request::from_parts(RequestParts {
            deadline: deadline(headers).map_err(|error| error.context(&self.endpoint))?,
            service: self.service,
            endpoint: self.endpoint,
            content_type: format.content_type.clone(),
            metadata: metadata::read(headers),
            kind: self.kind,
            idempotent: false,
            id: Text::new(),
            peer: Some(peer),
            extensions: http::Extensions::new(),
            body: self.body,
        }))
    }
}

/// When the caller stops waiting, by gRPC's header or by Go Micro's.
pub(super) fn deadline(headers: &HeaderMap) -> Result<Option<Instant>> {
    if let Some(value) = headers.get(GRPC_TIMEOUT) {
        let left = timeout::read(value.as_bytes()).ok_or_else(|| {
            Error::bad_request(
                SERVER,
                format!(
                    "grpc-timeout {value:?} is none; write up to eight digits and one of n, u, m, S, M, H"
                ),
            )
        })?;
        return Ok(Instant::now().checked_add(left));
    }
    let nanoseconds = headers.get(TIMEOUT).and_then(|value| value.to_str().ok());
    Ok(nanoseconds.and_then(|text| micro_core::wire::deadline(text, Instant::now())))
}

/// The messages of a caller.
struct Messages {
    first: Option<Bytes>,
    /// `None` after the end.
    incoming: Option<Incoming>,
    endpoint: Text,
}

impl Lots for Messages {
    fn poll_lot(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Lot>>> {
        let messages = self.get_mut();
        if let Some(first) = messages.first.take() {
            return Poll::Ready(Some(Ok(Lot::One(first))));
        }
        let Some(incoming) = &mut messages.incoming else {
            return Poll::Ready(None);
        };
        let lot = std::task::ready!(incoming.poll_lot(context));
        Poll::Ready(lot.map(|lot| {
            lot.map_err(|broken| match broken {
                Broken::Bad(error) => error.context(&messages.endpoint),
                Broken::Ended(problem) => Error::server(
                    499,
                    format!("{}: the caller gave up the call: {problem}", messages.endpoint),
                ),
            })
        }))
    }
}
