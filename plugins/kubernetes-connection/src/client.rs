//! Requests to the API server: the few kinds that plugins make.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use micro_core::Result;
use micro_core::backend::Role;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use crate::config::KubernetesServer;
use crate::connect::Connector;
use crate::error::{self, KUBERNETES};
use crate::objects::Status;
use crate::token::Credentials;

/// Whole objects.
pub const OBJECT: &str = "application/json";
/// Metadata only, without specifications and statuses, which are most of a pod.
pub const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
/// The same of a listing.
pub const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

const AGENT: HeaderValue = HeaderValue::from_static(concat!("micro-kubernetes/", env!("CARGO_PKG_VERSION")));
/// How many bytes one answer may have, such as the listing of all services.
const LARGEST_ANSWER: usize = 256 * 1024 * 1024;
/// How many bytes of a failure are read.
const LARGEST_FAILURE: usize = 64 * 1024;
const PING_EVERY: Duration = Duration::from_secs(10);
const PONG_WITHIN: Duration = Duration::from_secs(5);
/// What a watch that nobody reads may hold of its connection …
const WATCH_WINDOW: u32 = 256 * 1024;
/// … and all of one connection together.
const WATCHES_WINDOW: u32 = 64 * 1024 * 1024;
/// An API server allows 100 requests at once on a connection; one more would wait for another's end.
const WATCHES_PER_CONNECTION: usize = 64;

/// A longer timeout is none; so it needs no more than this, which can still be added to any time.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

type Http = legacy::Client<Connector, Full<Bytes>>;

/// Speaks with one API server, over HTTP/2 where it is encrypted. It connects when something is asked for, and again
/// after a connection was lost; it has no task of its own but those of its connections, which end with it.
pub struct Client {
    role: Role,
    address: String,
    namespace: String,
    connector: Connector,
    credentials: Credentials,
    timeout: Duration,
    calls: Mutex<Http>,
    /// Each a connection. Those that no watch uses are closed.
    watches: Mutex<Vec<Arc<Http>>>,
}

/// What is asked, and what the answer should be like.
#[derive(Clone)]
struct Ask<'a> {
    method: Method,
    path: String,
    accept: &'static str,
    body: Option<(&'static str, Bytes)>,
    /// The rights that it needs, for who lacks them.
    grant: &'a str,
}

/// The body of a watch that has begun.
pub(crate) struct WatchBody {
    pub(crate) body: Incoming,
    /// Keeps the connection.
    _connection: Arc<Http>,
}

impl Client {
    /// Connects when something is asked for.
    ///
    /// # Errors
    ///
    /// When the configuration makes no sense.
    pub fn new(config: &KubernetesServer, role: Role) -> Result<Self> {
        let server = config.parsed(role)?;
        let tls = config.tls.as_ref().filter(|_| server.is_encrypted);
        let connector = Connector::new(server.host_and_port(), tls, config.connect_timeout, role)?;
        let credentials = Credentials::new(config.token.clone(), role);
        credentials.check()?;
        Ok(Self {
            role,
            address: server.to_string(),
            namespace: config.namespace.clone(),
            calls: Mutex::new(for_calls(&connector)),
            connector,
            credentials,
            timeout: config.request_timeout.min(LONGEST_TIMEOUT),
            watches: Mutex::default(),
        })
    }

    /// The server's address, for errors.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What it is asked for, for errors.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The path of one kind of objects of the namespace, with a query: `api/v1`, `pods`, `?limit=1`.
    pub fn path(&self, group: &str, resource: &str, query: &str) -> String {
        let namespace = &self.namespace;
        format!("/{group}/namespaces/{namespace}/{resource}{query}")
    }

    /// Asks for an object or a listing. May be cancelled.
    ///
    /// # Errors
    ///
    /// When the server does not answer within the request's timeout, refuses, or answers with something else. To who
    /// lacks the rights the error names those of `grant`.
    pub async fn get<T>(&self, path: String, accept: &'static str, grant: &str) -> Result<T>
    where
        T: for<'a> Deserialize<'a>,
    {
        let ask = Ask {
            method: Method::GET,
            path,
            accept,
            body: None,
            grant,
        };
        self.call(ask).await
    }

    /// Changes an object by a strategic merge patch, and returns its metadata. A patch may be sent twice, so it should
    /// name the version that it was made for.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), and of the kind `Conflict` where the object has another version by now.
    pub async fn patch<T: for<'a> Deserialize<'a>>(
        &self,
        path: String,
        patch: &(impl Serialize + Sync),
        grant: &str,
    ) -> Result<T> {
        let body = serde_json::to_vec(patch).map_err(|problem| {
            KUBERNETES
                .misconfigured(self.role, "the record is no JSON")
                .with_source(problem)
        })?;
        let ask = Ask {
            method: Method::PATCH,
            path,
            accept: METADATA,
            body: Some(("application/strategic-merge-patch+json", body.into())),
            grant,
        };
        self.call(ask).await
    }

    /// Begins a watch: returns when the server has agreed.
    pub(crate) async fn watch(&self, path: String, accept: &'static str, grant: &str) -> Result<WatchBody> {
        let ask = Ask {
            method: Method::GET,
            path,
            accept,
            body: None,
            grant,
        };
        let deadline = Instant::now() + self.timeout;
        let connection = self.connection();
        match timeout_at(deadline, self.send(&connection, &ask)).await {
            Ok(answer) => Ok(WatchBody {
                body: answer?.into_body(),
                _connection: connection,
            }),
            Err(_) => {
                // A connection that is silent is not for the next watch.
                self.lock_watches()
                    .retain(|known| !Arc::ptr_eq(known, &connection));
                Err(KUBERNETES.late(self.role, &self.address, self.timeout))
            }
        }
    }

    async fn call<T: for<'a> Deserialize<'a>>(&self, ask: Ask<'_>) -> Result<T> {
        let deadline = Instant::now() + self.timeout;
        let http = self.lock_calls().clone();
        let answering = async {
            let answer = self.send(&http, &ask).await?;
            match Limited::new(answer.into_body(), LARGEST_ANSWER).collect().await {
                Ok(body) => Ok(body.to_bytes()),
                Err(problem) => Err(error::away(self.role, &self.address, &*problem)),
            }
        };
        let Ok(answer) = timeout_at(deadline, answering).await else {
            // Nothing would tell a connection that is cut off from one that is slow; so it is not used again.
            *self.lock_calls() = for_calls(&self.connector);
            return Err(KUBERNETES.late(self.role, &self.address, self.timeout));
        };
        serde_json::from_slice(&answer?).map_err(|problem| {
            KUBERNETES.unexpected(
                self.role,
                &self.address,
                format_args!("answered with what is no object, {}", error::place(&problem)),
            )
        })
    }

    /// Sends a request, and sends it again where a connection that broke while it was idle is noticed only now, or the
    /// token has become another. Every request here may be repeated: a patch that took effect changes the version that
    /// it names, so that a second one is refused.
    async fn send(&self, http: &Http, ask: &Ask<'_>) -> Result<Response<Incoming>> {
        let mut again = true;
        loop {
            let may_repeat = std::mem::replace(&mut again, false);
            let answer = match http.request(self.request(ask).await?).await {
                Ok(answer) => answer,
                Err(problem) if may_repeat && !problem.is_connect() => {
                    tracing::debug!("kubernetes at {}: asked again after {problem}", self.address);
                    continue;
                }
                Err(problem) => return Err(error::away(self.role, &self.address, &problem)),
            };
            let status = answer.status();
            if status.is_success() {
                return Ok(answer);
            }
            let is_unknown = status == StatusCode::UNAUTHORIZED;
            if is_unknown && may_repeat && self.credentials.renew() {
                continue;
            }
            return Err(self.refused(answer, ask.grant).await);
        }
    }

    async fn request(&self, ask: &Ask<'_>) -> Result<Request<Full<Bytes>>> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(ask.accept));
        headers.insert(USER_AGENT, AGENT);
        if let Some(token) = self.credentials.header().await? {
            headers.insert(AUTHORIZATION, token);
        }
        let mut body = Bytes::new();
        if let Some((content_type, bytes)) = &ask.body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            body = bytes.clone();
        }
        let uri = format!("{}{}", self.address, ask.path);
        let request = Request::builder()
            .method(&ask.method)
            .uri(uri)
            .body(Full::new(body));
        let mut request = request
            .map_err(|problem| KUBERNETES.misconfigured(self.role, format!("{}: {problem}", ask.path)))?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    async fn refused(&self, answer: Response<Incoming>, grant: &str) -> micro_core::Error {
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), LARGEST_FAILURE).collect().await;
        let body = body.map_or_else(|_| Bytes::new(), |body| body.to_bytes());
        let said = serde_json::from_slice::<Status>(&body).unwrap_or_default();
        error::refused(self.role, &self.address, status, &said.message, grant)
    }

    /// A connection for one more watch.
    fn connection(&self) -> Arc<Http> {
        let mut watches = self.lock_watches();
        watches.retain(|connection| Arc::strong_count(connection) > 1);
        let free = watches
            .iter()
            .find(|connection| Arc::strong_count(connection) <= WATCHES_PER_CONNECTION);
        if let Some(connection) = free {
            return connection.clone();
        }
        let connection = Arc::new(for_watches(&self.connector));
        watches.push(connection.clone());
        connection
    }

    fn lock_calls(&self) -> MutexGuard<'_, Http> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_watches(&self) -> MutexGuard<'_, Vec<Arc<Http>>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn for_calls(connector: &Connector) -> Http {
    builder().build(connector.clone())
}

fn for_watches(connector: &Connector) -> Http {
    let mut builder = builder();
    builder
        .http2_initial_stream_window_size(WATCH_WINDOW)
        .http2_initial_connection_window_size(WATCHES_WINDOW);
    builder.build(connector.clone())
}

fn builder() -> legacy::Builder {
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .http2_keep_alive_interval(PING_EVERY)
        .http2_keep_alive_timeout(PONG_WITHIN)
        // So that the next request does not meet a connection that broke long before.
        .http2_keep_alive_while_idle(true);
    builder
}
