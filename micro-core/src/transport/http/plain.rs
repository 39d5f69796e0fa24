//! Requests that any HTTP client makes: of mounted paths, and calls with Go Micro's headers.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use tokio::time::{Instant, timeout};

use super::HttpLimits;
use super::routes::Routes;
use super::serve::{body_too_slow, http_status};
use crate::handler::{CallKind, Peer, RequestParts};
use crate::wire::{Field, field};
use crate::{Body, Error, Handler, Metadata, Request, Result, Text, wire};

type Response = http::Response<Body>;

/// Answers requests whose framing is done elsewhere.
#[derive(Clone)]
pub(super) struct Plain {
    pub(super) handler: Arc<dyn Handler>,
    pub(super) limits: HttpLimits,
    pub(super) routes: Routes,
}

impl Plain {
    /// Whether a request is surely for here: its path is mounted, or it names an endpoint as Go Micro does.
    pub(super) fn claims(&self, head: &http::request::Parts) -> bool {
        let names_endpoint = |name: &http::HeaderName| {
            use Field::{Endpoint, LegacyEndpoint, LegacyMethod, Method};
            let field = field(name.as_str().as_bytes());
            matches!(field, Endpoint | Method | LegacyEndpoint | LegacyMethod)
        };
        head.headers.keys().any(names_endpoint) || self.routes.find(head.uri.path()).is_some()
    }

    /// Answers one request. Dropped, it ends the call.
    pub(super) async fn answer(&self, request: http::Request<Body>, peer: Peer) -> Response {
        if let Some(route) = self.routes.find(request.uri().path()) {
            return route.serve(request).await;
        }
        self.call(request, peer)
            .await
            .unwrap_or_else(|error| failure(&error))
    }

    /// A call that came as an ordinary HTTP request.
    async fn call(&self, request: http::Request<Body>, peer: Peer) -> Result<Response> {
        let (head, body) = request.into_parts();
        let HttpLimits {
            message_size,
            body_timeout,
            ..
        } = self.limits;
        let body = timeout(body_timeout, whole(body, message_size)).await;
        let body = body.map_err(|_| body_too_slow(body_timeout))??;
        let request = to_request(&head.headers, body, peer);
        let content_type = request.content_type.clone();
        let response = self.handler.handle(request).await?;
        let content_type = if response.content_type.is_empty() {
            content_type
        } else {
            response.content_type
        };
        let mut answer = http::Response::new(response.body);
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
}

async fn whole(mut body: Body, limit: usize) -> Result<Bytes> {
    let mut bytes = BytesMut::new();
    while let Some(piece) = body.message().await {
        let piece = piece?;
        if bytes.len() + piece.len() > limit {
            return Err(Error::too_large(
                "go.micro.server",
                format!("the body exceeds {limit} bytes, the limit message_size"),
            ));
        }
        bytes.extend_from_slice(&piece);
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

fn failure(error: &Error) -> Response {
    let mut answer = http::Response::new(Body::from(Bytes::from(error.to_json() + "\n")));
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
