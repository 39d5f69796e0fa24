//! The connection to etcd's members: one is used until it fails, then the next.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, future, stream};
use http::uri::PathAndQuery;
use micro_core::Result;
use micro_core::backend::Role;
use prost::Message;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tonic::client::Grpc;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::config::{EtcdServers, EtcdTls};
use crate::error::{self, ETCD};
use crate::keys::KeyRange;
use crate::proto::{
    AUTHENTICATE, AuthenticateRequest, AuthenticateResponse, KeyValue, RANGE, RangeRequest, RangeResponse,
    WATCH, WatchCreateRequest, WatchRequest, WatchResponse,
};

/// How many bytes one answer may have, such as the listing of all services.
const LARGEST_ANSWER: usize = 256 * 1024 * 1024;
/// A longer timeout is none; so it needs no more than this, which can still be added to any time.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
/// etcd hangs up on who pings more often than every 5 s.
const PING_EVERY: Duration = Duration::from_secs(10);
const PONG_WITHIN: Duration = Duration::from_secs(5);
/// What a watch that nobody reads may hold of its connection …
const WATCH_WINDOW: u32 = 64 * 1024;
/// … and all of them together. Beyond it they wait for each other; other requests have a connection of their own.
const WATCHES_WINDOW: u32 = 64 * 1024 * 1024;

/// A client of etcd's members, of which one is used until it fails, then the next. It connects when something is asked for.
///
/// All requests may be made several times, and dropping the future of one ends it.
pub struct EtcdClient {
    role: Role,
    members: Vec<Member>,
    current: AtomicUsize,
    login: Option<AuthenticateRequest>,
    token: Mutex<Token>,
    timeout: Duration,
}

struct Member {
    address: String,
    calls: Channel,
    watches: Channel,
}

#[derive(Clone)]
enum Token {
    Unknown,
    /// Authentication is off, at this side or at etcd.
    None,
    Given(AsciiMetadataValue),
}

/// A watch that has begun. Dropping it ends it.
pub struct WatchStream {
    responses: Streaming<WatchResponse>,
    member: usize,
    /// Ends the stream of requests when it is dropped.
    _open: oneshot::Sender<()>,
}

impl EtcdClient {
    /// A client that has not connected yet.
    ///
    /// # Errors
    ///
    /// When the configuration makes no sense.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O and time enabled.
    pub fn new(servers: &EtcdServers, role: Role) -> Result<Self> {
        let members = servers
            .uris(role)?
            .into_iter()
            .map(|address| Member::new(address, servers, role));
        Ok(Self {
            role,
            members: members.collect::<Result<_>>()?,
            current: AtomicUsize::new(0),
            login: servers.user.as_ref().map(|user| AuthenticateRequest {
                name: user.clone(),
                password: servers.password.clone(),
            }),
            token: Mutex::new(Token::Unknown),
            timeout: servers.request_timeout.min(LONGEST_TIMEOUT),
        })
    }

    /// Asks, and asks the next member where one is away. One more attempt than there are members is made,
    /// because a connection that broke while idle is noticed only then; every request here may be repeated.
    ///
    /// # Errors
    ///
    /// When no member answers in time, or one refuses.
    pub async fn call<Q, A>(&self, method: &'static str, request: Q) -> Result<A>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let deadline = Instant::now() + self.timeout;
        let mut attempts = self.members.len() + 1;
        let mut logged_in = false;
        loop {
            let (index, member) = self.member();
            let asked = timeout_at(deadline, self.ask(member, method, request.clone())).await;
            let status = match asked {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(status)) => status,
                Err(_) => {
                    self.leave(index);
                    return Err(ETCD.late(self.role, &member.address, self.timeout));
                }
            };
            if self.login.is_some() && !logged_in && error::wants_login(&status) {
                logged_in = true;
                *self.token() = Token::Unknown;
                continue;
            }
            attempts -= 1;
            if !may_pass(&status) || attempts == 0 {
                return Err(error::failed(self.role, &member.address, &status));
            }
            self.leave(index);
        }
    }

    /// All keys of a range, and the revision at which it was so. `fresh`: what the cluster agrees on now, else what one
    /// member knows, which works without a leader, too.
    ///
    /// # Errors
    ///
    /// When no member answers in time, or one refuses.
    pub async fn list(&self, range: &KeyRange, fresh: bool) -> Result<(Vec<KeyValue>, i64)> {
        let request = RangeRequest {
            serializable: !fresh,
            ..range.request()
        };
        let answer: RangeResponse = self.call(RANGE, request).await?;
        let revision = answer.header.map(|header| header.revision);
        let revision = revision
            .ok_or_else(|| ETCD.unexpected(self.role, &self.member().1.address, "told no revision"))?;
        Ok((answer.kvs, revision))
    }

    /// Watches all keys of a range from a revision on. The watch has begun when this returns.
    ///
    /// # Errors
    ///
    /// When the member does not answer in time, refuses, or has not come as far as just before that revision.
    pub async fn watch(&self, range: &KeyRange, start_revision: i64) -> Result<WatchStream> {
        let (index, member) = self.member();
        let began = self.begin(index, member, range, start_revision);
        let began = match timeout_at(Instant::now() + self.timeout, began).await {
            Ok(began) => began,
            Err(_) => Err(ETCD.late(self.role, &member.address, self.timeout)),
        };
        if began.is_err() {
            self.leave(index);
        }
        began
    }

    async fn begin(
        &self,
        index: usize,
        member: &Member,
        range: &KeyRange,
        revision: i64,
    ) -> Result<WatchStream> {
        let failed = |status: Status| error::failed(self.role, &member.address, &status);
        let create = WatchCreateRequest {
            key: range.start.clone(),
            range_end: range.end.clone(),
            start_revision: revision,
        };
        // The stream of requests stays open as long as the watch. If it did not end then, it would keep the HTTP/2 stream,
        // and with it etcd's watcher, though nobody reads the responses.
        let (open, closed) = oneshot::channel::<()>();
        let until_closed = stream::once(closed).filter_map(|_| future::ready(None));
        let requests = stream::iter([WatchRequest { create: Some(create) }]).chain(until_closed);
        let mut request = self.with_token(member, requests).await.map_err(failed)?;
        // A member that is cut off from the others ends the watch, where it would be silent.
        request
            .metadata_mut()
            .insert("hasleader", AsciiMetadataValue::from_static("true"));
        let mut grpc = ready(&member.watches).await.map_err(failed)?;
        let codec = ProstCodec::<WatchRequest, WatchResponse>::default();
        let answer = grpc
            .streaming(request, PathAndQuery::from_static(WATCH), codec)
            .await;
        let mut responses = answer.map_err(failed)?.into_inner();
        let Some(created) = responses.message().await.map_err(failed)? else {
            return Err(error::cancelled(self.role, &member.address, ""));
        };
        if created.canceled || !created.created {
            return Err(error::cancelled(
                self.role,
                &member.address,
                &created.cancel_reason,
            ));
        }
        if created.header.is_none_or(|header| header.revision < revision - 1) {
            let what = format!(
                "is behind revision {}, as after a restart without its data",
                revision - 1
            );
            return Err(error::cancelled(self.role, &member.address, &what));
        }
        Ok(WatchStream {
            responses,
            member: index,
            _open: open,
        })
    }

    /// The next response of a watch. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// When the watch has ended: the connection was lost, the member is cut off from the others, or the revisions were
    /// compacted. What happened since is to be listed then.
    pub async fn next(&self, watch: &mut WatchStream) -> Result<WatchResponse> {
        let address = &self.members[watch.member].address;
        let failed = match watch.responses.message().await {
            Ok(Some(response)) if !response.canceled => return Ok(response),
            Ok(Some(response)) if response.compact_revision != 0 => {
                // Nothing is wrong with the member.
                return Err(error::cancelled(
                    self.role,
                    address,
                    "its revisions were compacted",
                ));
            }
            Ok(Some(response)) => error::cancelled(self.role, address, &response.cancel_reason),
            Ok(None) => error::cancelled(self.role, address, ""),
            Err(status) => error::failed(self.role, address, &status),
        };
        self.leave(watch.member);
        Err(failed)
    }

    async fn ask<Q, A>(&self, member: &Member, method: &'static str, request: Q) -> Result<A, Status>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let request = self.with_token(member, request).await?;
        unary(member, method, request).await
    }

    async fn with_token<T>(&self, member: &Member, message: T) -> Result<Request<T>, Status> {
        let mut request = Request::new(message);
        let Some(login) = &self.login else {
            return Ok(request);
        };
        let known = self.token().clone();
        let token = match known {
            Token::Unknown => {
                let token = log_in(member, login).await?;
                *self.token() = token.clone();
                token
            }
            known => known,
        };
        if let Token::Given(token) = token {
            request.metadata_mut().insert("token", token);
        }
        Ok(request)
    }

    fn member(&self) -> (usize, &Member) {
        let index = self.current.load(Ordering::Relaxed) % self.members.len();
        (index, &self.members[index])
    }

    /// Uses the next member from now on, unless somebody else has left this one already.
    fn leave(&self, index: usize) {
        let next = (index + 1) % self.members.len();
        let _ = self
            .current
            .compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn token(&self) -> MutexGuard<'_, Token> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The addresses of all members, for errors.
    pub fn addresses(&self) -> String {
        let addresses: Vec<&str> = self
            .members
            .iter()
            .map(|member| member.address.as_str())
            .collect();
        addresses.join(", ")
    }
}

impl Member {
    fn new(address: String, servers: &EtcdServers, role: Role) -> Result<Self> {
        let wrong = |problem: tonic::transport::Error| {
            let cause = std::error::Error::source(&problem).map(ToString::to_string);
            let cause = cause.unwrap_or_else(|| problem.to_string());
            ETCD.misconfigured(
                role,
                format!("cannot use the endpoint {address}: {cause}; check its address and the TLS files"),
            )
        };
        let mut endpoint = Endpoint::from_shared(address.clone())
            .map_err(wrong)?
            .connect_timeout(servers.connect_timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PONG_WITHIN)
            // etcd hangs up on who pings without a request or a watch under way.
            .keep_alive_while_idle(false);
        if let Some(tls) = &servers.tls {
            endpoint = endpoint.tls_config(tls_config(tls)).map_err(wrong)?;
        }
        let watches = endpoint
            .clone()
            .initial_stream_window_size(WATCH_WINDOW)
            .initial_connection_window_size(WATCHES_WINDOW);
        Ok(Self {
            calls: endpoint.connect_lazy(),
            watches: watches.connect_lazy(),
            address,
        })
    }
}

fn tls_config(tls: &EtcdTls) -> ClientTlsConfig {
    let mut config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&tls.authorities));
    if let Some(identity) = &tls.identity {
        config = config.identity(Identity::from_pem(&identity.certificates, &identity.key));
    }
    if let Some(name) = &tls.server_name {
        config = config.domain_name(name);
    }
    config
}

/// Whether another attempt or another member may do better: the connection broke, or the member is in trouble.
fn may_pass(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::Cancelled | Code::Unknown | Code::Internal
    )
}

async fn log_in(member: &Member, login: &AuthenticateRequest) -> Result<Token, Status> {
    let answer: Result<AuthenticateResponse, Status> =
        unary(member, AUTHENTICATE, Request::new(login.clone())).await;
    match answer {
        Ok(answer) => match answer.token.parse() {
            Ok(token) => Ok(Token::Given(token)),
            Err(_) => Err(Status::internal("the token that etcd gave is no header value")),
        },
        // Whoever has a password may also use an etcd that asks for none.
        Err(status) if status.message().contains("authentication is not enabled") => Ok(Token::None),
        Err(status) => Err(status),
    }
}

async fn unary<Q, A>(member: &Member, method: &'static str, request: Request<Q>) -> Result<A, Status>
where
    Q: Message + 'static,
    A: Message + Default + 'static,
{
    let mut grpc = ready(&member.calls).await?;
    let path = PathAndQuery::from_static(method);
    let answer = grpc.unary(request, path, ProstCodec::<Q, A>::default()).await?;
    Ok(answer.into_inner())
}

async fn ready(channel: &Channel) -> Result<Grpc<Channel>, Status> {
    let mut grpc = Grpc::new(channel.clone()).max_decoding_message_size(LARGEST_ANSWER);
    match grpc.ready().await {
        Ok(()) => Ok(grpc),
        Err(problem) => Err(Status::from_error(Box::new(problem))),
    }
}

impl fmt::Debug for EtcdClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EtcdClient")
            .field("endpoints", &self.addresses())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for WatchStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("WatchStream").finish_non_exhaustive()
    }
}
