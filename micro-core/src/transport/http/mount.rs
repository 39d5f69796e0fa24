//! What hyper serves on the listener's port: HTTP/2 without encryption, and mounted routes.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, BodyStream, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use super::HttpLimits;
use super::connection::Io;
use super::listener::Server;
use super::serve::{body_too_slow, http_status};
use crate::handler::{CallKind, Peer, RequestParts};
use crate::wire::{Field, field};
use crate::{Body, Error, Metadata, Request, Result, Text, wire};

/// The longest time that hyper is told, which would overflow on one without end.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Answers HTTP requests under a mounted path: a health page, a metrics page, a gateway.
#[async_trait]
pub trait Route: Send + Sync + 'static {
    /// Answers one request. The body's messages are pieces of the HTTP body, in no particular sizes.
    async fn serve(&self, request: http::Request<Body>) -> http::Response<Body>;
}

/// Refuses routes that would never be asked, or always.
pub(super) fn check(routes: &[(String, Arc<dyn Route>)]) -> Result<()> {
    let is_path = |prefix: &str| prefix.starts_with('/') && !prefix.trim_end_matches('/').is_empty();
    match routes.iter().find(|(prefix, _)| !is_path(prefix)) {
        None => Ok(()),
        Some((prefix, _)) => Err(Error::bad_request(
            "go.micro.transport",
            format!(
                "a route is mounted at {prefix:?}, but calls are served at \"/\"; mount it at a path such as \"/health\""
            ),
        )),
    }
}

/// The route mounted at a request target: at the path itself or above it; the longest counts.
pub(super) fn find<'a>(routes: &'a [(String, Arc<dyn Route>)], target: &str) -> Option<&'a Arc<dyn Route>> {
    let path = target.split('?').next().unwrap_or_default();
    let covers = |prefix: &str| {
        let prefix = prefix.trim_end_matches('/');
        path.strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let mounted = routes.iter().filter(|(prefix, _)| covers(prefix));
    mounted
        .max_by_key(|(prefix, _)| prefix.len())
        .map(|(_, route)| route)
}

/// Serves HTTP/1.1 by hyper, from bytes on that were already read.
pub(super) async fn serve_http1(io: Io, read: Bytes, peer: Peer, server: Arc<Server>) {
    let service = service_fn(|request| answer(request, peer, &server));
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(server.limits.head_timeout.min(LONGEST));
    let connection = builder.serve_connection(TokioIo::new(Rewound { read, io }), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = server.drained() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// Serves HTTP/2 by hyper, from bytes on that were already read.
pub(super) async fn serve_http2(io: Io, read: Bytes, peer: Peer, server: Arc<Server>) {
    let service = {
        let server = server.clone();
        service_fn(move |request| {
            let server = server.clone();
            async move { answer(request, peer, &server).await }
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
    let connection = builder.serve_connection(TokioIo::new(Rewound { read, io }), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = server.drained() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
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

type HttpResponse = http::Response<BoxBody<Bytes, Error>>;

async fn answer(
    request: http::Request<Incoming>,
    peer: Peer,
    server: &Server,
) -> Result<HttpResponse, Error> {
    if let Some(route) = find(&server.routes, request.uri().path()) {
        let request = request.map(|body| {
            let frames = BodyStream::new(body).try_filter_map(|frame| async { Ok(frame.into_data().ok()) });
            Body::stream(frames.map_err(|problem| Error::bad_request("go.micro.server", problem.to_string())))
        });
        return Ok(route.serve(request).await.map(http_body));
    }
    Ok(match call(request, peer, server).await {
        Ok(response) => response,
        Err(error) => failure(&error),
    })
}

/// A call that came as an ordinary HTTP request.
async fn call(request: http::Request<Incoming>, peer: Peer, server: &Server) -> Result<HttpResponse> {
    let (head, body) = request.into_parts();
    let HttpLimits {
        message_size,
        body_timeout,
        ..
    } = server.limits;
    let body = timeout(body_timeout, whole(body, message_size)).await;
    let body = body.map_err(|_| body_too_slow(body_timeout))??;
    let request = to_request(&head.headers, body, peer);
    let content_type = request.content_type.clone();
    let response = server.handler.handle(request).await?;
    let content_type = if response.content_type.is_empty() {
        content_type
    } else {
        response.content_type
    };
    let mut answer = http::Response::new(http_body(response.body));
    if let Ok(content_type) = HeaderValue::from_str(&content_type) {
        answer.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    for (name, value) in response.metadata.iter() {
        if field(name.as_bytes()) != Field::Other {
            continue;
        }
        let name = http::HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            answer.headers_mut().insert(name, value);
        }
    }
    Ok(answer)
}

async fn whole(mut body: Incoming, limit: usize) -> Result<Bytes> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|problem| Error::bad_request("go.micro.server", problem.to_string()))?;
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > limit {
                return Err(Error::too_large(
                    "go.micro.server",
                    format!("the body exceeds {limit} bytes, the limit message_size"),
                ));
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.freeze())
}

fn to_request(headers: &http::HeaderMap, body: Bytes, peer: Peer) -> Request {
    let mut parts = RequestParts {
        service: Text::new(),
        endpoint: Text::new(),
        content_type: Text::new(),
        metadata: Metadata::new(),
        deadline: None,
        kind: CallKind::Unary,
        idempotent: false,
        id: Text::new(),
        peer: Some(peer),
        extensions: http::Extensions::new(),
        body: body.into(),
    };
    let (mut method, mut service, mut endpoint, mut legacy_method) = Default::default();
    for name in headers.keys() {
        // One value a name: the first counts.
        let value = headers
            .get(name)
            .map(|value| std::str::from_utf8(value.as_bytes()));
        let Some(Ok(value)) = value else { continue };
        match field(name.as_str().as_bytes()) {
            Field::Service => parts.service = value.into(),
            Field::Endpoint => parts.endpoint = value.into(),
            Field::Method => method = Text::from(value),
            Field::LegacyService => service = Text::from(value),
            Field::LegacyEndpoint => endpoint = Text::from(value),
            Field::LegacyMethod => legacy_method = Text::from(value),
            Field::ContentType => parts.content_type = value.into(),
            Field::Timeout => parts.deadline = wire::deadline(value, Instant::now()),
            Field::Id => parts.id = value.into(),
            Field::Topic | Field::Protocol | Field::Other => parts.metadata.insert(name.as_str(), value),
            _ => {}
        }
    }
    if parts.service.is_empty() {
        parts.service = service;
    }
    for candidate in [method, endpoint, legacy_method] {
        if parts.endpoint.is_empty() {
            parts.endpoint = candidate;
        }
    }
    Request::from_parts(parts)
}

fn failure(error: &Error) -> HttpResponse {
    let body = Full::new(Bytes::from(error.to_json() + "\n"))
        .map_err(|never| match never {})
        .boxed();
    let mut answer = http::Response::new(body);
    *answer.status_mut() = http_status(error);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let text: String = wire::error_text(error)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if let Ok(text) = HeaderValue::from_str(&text) {
        headers.insert("micro-error", text);
    }
    answer
}

fn http_body(body: Body) -> BoxBody<Bytes, Error> {
    match body.as_single() {
        Some(message) => Full::new(message.clone()).map_err(|never| match never {}).boxed(),
        None => {
            let frames = SyncStream(std::sync::Mutex::new(body)).map(|chunk| chunk.map(Frame::data));
            BodyExt::boxed(StreamBody::new(frames))
        }
    }
}

/// A body that may be shared between threads, as hyper's boxed body must be; nobody ever does.
struct SyncStream(std::sync::Mutex<Body>);

impl futures_core::Stream for SyncStream {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0
            .get_mut()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .poll_message(context)
    }
}

/// A connection of which some bytes were already read.
struct Rewound {
    read: Bytes,
    io: Io,
}

impl AsyncRead for Rewound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.io).poll_read(context, buffer);
        }
        let count = self.read.len().min(buffer.remaining());
        buffer.put_slice(&self.read.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
