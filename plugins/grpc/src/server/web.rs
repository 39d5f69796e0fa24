//! What is spoken beside gRPC on the same port: gRPC-Web, Connect, and plain JSON, over both versions of HTTP.

mod base64;
mod connect;
mod cors;
mod dialect;
mod frames;
mod get;
mod http2;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_TYPE, VARY};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response as HttpResponse, StatusCode, Version, request,
};
use micro_core::handler::{CallKind, Peer, RequestParts};
use micro_core::{Body, Error, Request, Response, Result, Text};
use tokio::time::{Instant, timeout};

use self::dialect::{Dialect, Spoken};
use self::frames::{Arrived, Leaving};
use super::Server;
use super::call::{self, SERVER};
use crate::config::Compression;
use crate::framing::{GZIP, is_gzip, reads_gzip};
use crate::metadata::{self, GRPC_ACCEPT_ENCODING, GRPC_ENCODING};
use crate::{content_type, path};

pub(super) use self::http2::serve as serve_http2;

const CONNECT_TIMEOUT: HeaderName = HeaderName::from_static("connect-timeout-ms");
const CONNECT_VERSION: HeaderName = HeaderName::from_static("connect-protocol-version");
const CONNECT_ENCODING: HeaderName = HeaderName::from_static("connect-content-encoding");
const CONNECT_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("connect-accept-encoding");

/// Whether a request is a call in one of the dialects, or a browser's question about one: where others may be served on
/// the port, too.
pub(super) fn is_spoken(head: &request::Parts) -> bool {
    let headers = &head.headers;
    path::read(head.uri.path()).is_some()
        && (content_type::read(headers).is_some()
            || dialect::read(headers).is_some()
            || cors::is_preflight(head)
            || get::is_spoken(head))
}

/// Answers a request that is none of gRPC's own. Both bodies are pieces of any size. Dropped, it ends the call.
pub(super) async fn serve(request: http::Request<Body>, peer: Peer, server: &Server) -> HttpResponse<Body> {
    let (head, body) = request.into_parts();
    let origin = cors::allowed(&head.headers, &server.config.origins);
    if let Some(answer) = cors::preflight(&head, origin.as_ref()) {
        return answer;
    }
    let mut response = answer(head, body, peer, server).await;
    if let Some(origin) = origin {
        cors::allow(response.headers_mut(), origin);
    }
    response
}

async fn answer(mut head: request::Parts, mut body: Body, peer: Peer, server: &Server) -> HttpResponse<Body> {
    let is_get = head.method == Method::GET;
    if head.method != Method::POST {
        let may_get = path::read(head.uri.path()).is_some_and(|(_, endpoint)| server.may_get(&endpoint));
        if !is_get || !may_get {
            return not_allowed(may_get);
        }
        body = match get::into_post(&mut head) {
            Ok(message) => Body::from(message),
            Err(refusal) => return *refusal,
        };
    }
    let Some(spoken) = dialect::read(&head.headers) else {
        return match head.version < Version::HTTP_2 && content_type::read(&head.headers).is_some() {
            true => text(
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "gRPC needs HTTP/2; over HTTP/1.1 call with application/grpc-web or application/json\n",
            ),
            false => text(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "known here are application/json, application/proto, application/connect+json and +proto, \
                 application/grpc-web and application/grpc-web-text, with +json or +proto, and over HTTP/2 \
                 application/grpc\n",
            ),
        };
    };
    let caller = Caller::new(&head.headers, spoken, server.config.compression);
    let mut answer = match handle(head, body, peer, server, &caller).await {
        Ok(response) => caller.answer(response).await,
        Err(error) => caller.fail(&error),
    };
    if is_get {
        // Caches keep such answers.
        answer.headers_mut().append(VARY, ACCEPT_ENCODING.into());
    }
    answer
}

fn not_allowed(may_get: bool) -> HttpResponse<Body> {
    let (says, allowed) = match may_get {
        true => ("this method is called with POST or GET\n", "GET, POST"),
        false => ("a method is called with POST\n", "POST"),
    };
    let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, says);
    refusal
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    refusal
}

async fn handle(
    head: request::Parts,
    body: Body,
    peer: Peer,
    server: &Server,
    caller: &Caller,
) -> Result<Response> {
    let path = head.uri.path();
    let (service, endpoint) = path::read(path).ok_or_else(|| call::no_method(path))?;
    let (kind, body) = match begin(&head.headers, body, server, caller, &endpoint).await {
        Ok(begun) => begun,
        Err(error) => return Err(error.context(&endpoint)),
    };
    let request = Request::from_parts(RequestParts {
        deadline: deadline(&head.headers).map_err(|error| error.context(&endpoint))?,
        service,
        endpoint,
        content_type: caller.spoken.content_type.clone(),
        metadata: metadata::read(&only_metadata(head.headers)),
        kind,
        idempotent: false,
        id: Text::new(),
        peer: Some(peer),
        extensions: http::Extensions::new(),
        body,
    });
    server.handler.handle(request).await
}

/// Reads as much of a call as must be there before it is handled.
async fn begin(
    headers: &HeaderMap,
    body: Body,
    server: &Server,
    caller: &Caller,
    endpoint: &Text,
) -> Result<(CallKind, Body)> {
    let limits = &server.config.limits;
    if headers
        .get(CONNECT_VERSION)
        .is_some_and(|version| *version != "1")
    {
        return Err(Error::bad_request(
            SERVER,
            "connect-protocol-version is not read here; write 1, or leave it out",
        ));
    }
    let is_gzip = is_gzip(headers.get(caller.spoken.dialect.encoding()))?;
    let beginning = async {
        match caller.spoken.dialect {
            Dialect::ConnectUnary => {
                let message = whole(body, limits.message_size).await?;
                let message = frames::decompressed(message, is_gzip, limits.message_size)?;
                Ok((CallKind::Unary, message.into()))
            }
            Dialect::ConnectStream => {
                let arrived = Arrived::new(body, false, limits.message_size, is_gzip, endpoint.clone());
                Ok((CallKind::Stream, Body::stream(arrived)))
            }
            Dialect::GrpcWeb { is_text } => {
                let arrived = Arrived::new(body, is_text, limits.message_size, is_gzip, endpoint.clone());
                arrived.begin().await
            }
        }
    };
    timeout(limits.message_timeout, beginning)
        .await
        .unwrap_or_else(|_| {
            let limit = limits.message_timeout;
            Err(Error::server(
                408,
                format!("the first message took longer than {limit:?}, the limit message_timeout"),
            ))
        })
}

/// A body that is one message.
async fn whole(mut body: Body, limit: usize) -> Result<Bytes> {
    let mut bytes = BytesMut::new();
    while let Some(piece) = body.message().await {
        let piece = piece?;
        if piece.len() > limit - bytes.len() {
            return Err(Error::too_large(
                SERVER,
                format!("the message exceeds {limit} bytes, the limit message_size"),
            ));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}

/// When the caller stops waiting, by Connect's header or by those that gRPC's callers write.
fn deadline(headers: &HeaderMap) -> Result<Option<Instant>> {
    let Some(value) = headers.get(CONNECT_TIMEOUT) else {
        return call::deadline(headers);
    };
    let left = connect::timeout(value.as_bytes()).ok_or_else(|| {
        Error::bad_request(
            SERVER,
            format!("connect-timeout-ms {value:?} is none; write up to ten digits"),
        )
    })?;
    Ok(Instant::now().checked_add(left))
}

/// Leaves out what belongs to the dialects, to browsers and to HTTP.
fn only_metadata(mut headers: HeaderMap) -> HeaderMap {
    const FOREIGN: &[&str] = &[
        "accept-encoding",
        "accept-language",
        "content-encoding",
        "dnt",
        "origin",
        "priority",
        "referer",
        "x-grpc-web",
        "x-user-agent",
    ];
    let is_foreign = |name: &str| {
        FOREIGN.contains(&name)
            || ["connect-", "access-control-", "sec-"]
                .iter()
                .any(|start| name.starts_with(start))
    };
    let foreign: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_foreign(name.as_str()))
        .cloned()
        .collect();
    for name in foreign {
        headers.remove(name);
    }
    headers
}

/// How one caller is answered.
struct Caller {
    spoken: Spoken,
    compression: Compression,
}

impl Caller {
    fn new(headers: &HeaderMap, spoken: Spoken, compression: Compression) -> Self {
        let reads = reads_gzip(headers, &spoken.dialect.accepted_encoding());
        Self {
            spoken,
            compression: if reads { compression } else { Compression::None },
        }
    }

    async fn answer(&self, response: Response) -> HttpResponse<Body> {
        match self.answered(response).await {
            Ok(response) => response,
            Err(error) => self.fail(&error),
        }
    }

    async fn answered(&self, response: Response) -> Result<HttpResponse<Body>> {
        let content_type = match response.content_type.is_empty() {
            true => &self.spoken.content_type,
            false => &response.content_type,
        };
        let mut head = HeaderMap::new();
        head.insert(CONTENT_TYPE, self.spoken.dialect.header(content_type)?);
        metadata::write(&response.metadata, &mut head)
            .map_err(|error| Error::server(500, error.detail().to_owned()))?;
        let body = match self.spoken.dialect {
            Dialect::ConnectUnary => {
                let message = connect::only(response.body).await?;
                let (message, is_compressed) = self.compression.compress(message);
                if is_compressed {
                    head.insert(self.spoken.dialect.encoding(), GZIP);
                }
                message.into()
            }
            _ => {
                if self.compression.is_on() {
                    head.insert(self.spoken.dialect.encoding(), GZIP);
                }
                Leaving::new(response.body, self.spoken.dialect, self.compression).into_body()
            }
        };
        let mut answer = HttpResponse::new(body);
        *answer.headers_mut() = head;
        Ok(answer)
    }

    /// Answers with an error and nothing else.
    fn fail(&self, error: &Error) -> HttpResponse<Body> {
        let dialect = self.spoken.dialect;
        if let Dialect::ConnectUnary = dialect {
            return connect::failure(error);
        }
        let mut answer = HttpResponse::new(frames::failure(error, dialect).into());
        // The format of the request has a name, or it would not have been read.
        if let Ok(content_type) = dialect.header(&self.spoken.content_type) {
            answer.headers_mut().insert(CONTENT_TYPE, content_type);
        }
        answer
    }
}

/// Answers what is no call.
fn text(status: StatusCode, text: &'static str) -> HttpResponse<Body> {
    let mut response = HttpResponse::new(Body::from(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}
