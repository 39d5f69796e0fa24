//! The serving end: what the connections of a port share.

mod answer;
mod builtin;
mod call;
mod connection;
mod others;
mod web;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use micro_core::handler::Peer;
use micro_core::transport::Listener;
use micro_core::transport::http::{Host, Routes, Speaker};
use micro_core::transport::socket::{self, Draining, Http1, Serve, Socket, serve_http1};
use micro_core::{Body, Handler, Result};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use self::builtin::{Builtin, Files};
use self::connection::Connection;
use self::others::Others;
use crate::config::GrpcConfig;
use crate::security::Security;

/// What all connections of a listener share.
pub(crate) struct Server {
    handler: Arc<dyn Handler>,
    config: GrpcConfig,
    /// The endpoints that may be called by GET.
    get_calls: HashSet<String>,
    /// What else is served on the port.
    others: Others,
    draining: Draining,
    /// The calls of all connections. Each belongs to its connection, which ends it.
    calls: TaskTracker,
}

pub(crate) async fn listen(
    address: &str,
    handler: Arc<dyn Handler>,
    config: &GrpcConfig,
    security: Arc<Security>,
) -> Result<Box<dyn Listener>> {
    security.acceptor().check(address)?;
    let routes = Routes::new(config.routes.clone())
        .map_err(|error| error.context(format_args!("cannot listen at {address}")))?;
    let server = Server::new(handler, config, Others::Routes(routes), Draining::default());
    let port = Port {
        server: Arc::new(server),
        security,
    };
    socket::listen(address, config.limits.connections, Arc::new(port)).await
}

impl Server {
    /// Serves on the port of another listener.
    pub(crate) fn hosted(host: Host, config: &GrpcConfig) -> Self {
        let (handler, draining) = (host.handler.clone(), host.draining.clone());
        Self::new(handler, config, Others::Host(host), draining)
    }

    fn new(handler: Arc<dyn Handler>, config: &GrpcConfig, others: Others, draining: Draining) -> Self {
        let mut get_calls: HashSet<String> = config.get_calls.iter().cloned().collect();
        let handler = match &config.diagnostics {
            Some(diagnostics) => {
                let files = Arc::new(Files::read(&diagnostics.descriptors()));
                get_calls.extend(files.without_side_effects().map(str::to_owned));
                Arc::new(Builtin::new(diagnostics.clone(), files, handler))
            }
            None => handler,
        };
        Self {
            handler,
            config: config.clone(),
            get_calls,
            others,
            draining,
            calls: TaskTracker::new(),
        }
    }

    /// Serves a connection over HTTP/2 whose preface is there, or is by then.
    async fn http2(self: Arc<Self>, socket: Socket, peer: Peer, until: Instant) {
        let remote = peer.remote;
        match timeout_at(until, Connection::new(socket, peer, self)).await {
            Ok(Ok(connection)) => connection.run().await,
            Ok(Err(problem)) => tracing::debug!(%remote, %problem, "a caller does not speak HTTP/2"),
            Err(_) => tracing::debug!(%remote, "a caller did not begin to speak HTTP/2 in time"),
        }
    }

    /// Serves a connection over HTTP/1.1.
    async fn http1(&self, socket: Socket, peer: Peer) {
        let limits = &self.config.limits;
        let terms = Http1 {
            head_size: limits.head_size as usize,
            head_timeout: limits.idle_timeout,
            write_timeout: limits.write_timeout,
            max_age: limits.max_age,
            max_age_grace: limits.max_age_grace,
        };
        serve_http1(socket, terms, &self.draining, |request| {
            self.others.answer(self, request, peer)
        })
        .await;
    }

    /// Whether an endpoint may be called by GET.
    fn may_get(&self, endpoint: &str) -> bool {
        self.get_calls.contains(endpoint)
    }

    fn handshake_end(&self) -> Instant {
        Instant::now() + self.config.limits.handshake_timeout.min(LONGEST)
    }
}

#[async_trait]
impl Speaker for Server {
    fn speaks(&self, head: &http::request::Parts) -> bool {
        web::is_spoken(head)
    }

    async fn answer(&self, request: http::Request<Body>, peer: Peer) -> http::Response<Body> {
        web::serve(request, peer, self).await
    }

    async fn serve_http2(self: Arc<Self>, socket: Socket, peer: Peer) {
        let until = self.handshake_end();
        self.http2(socket, peer, until).await;
    }

    async fn finish(&self) {
        self.calls.close();
        self.calls.wait().await;
    }
}

/// A port of its own.
struct Port {
    server: Arc<Server>,
    security: Arc<Security>,
}

impl Serve for Port {
    async fn serve(self: Arc<Self>, stream: TcpStream, peer: Peer) {
        let (server, acceptor) = (self.server.clone(), self.security.acceptor());
        let (remote, until) = (peer.remote, server.handshake_end());
        let begin = async {
            let mut socket = acceptor.accept(stream).await?;
            let is_http2 = socket.begins_http2().await?;
            Ok::<_, std::io::Error>((socket, is_http2))
        };
        match timeout_at(until, begin).await {
            Ok(Ok((socket, true))) => server.http2(socket, peer, until).await,
            Ok(Ok((socket, false))) => server.http1(socket, peer).await,
            Ok(Err(problem)) => {
                tracing::debug!(%remote, %problem, "a connection ended before it began, or could not be encrypted");
            }
            Err(_) => tracing::debug!(%remote, "a caller did not begin to speak in time"),
        }
    }

    fn draining(&self) -> &Draining {
        &self.server.draining
    }

    async fn finish(&self) {
        Speaker::finish(&*self.server).await;
    }
}

/// The longest time that is added to an instant, which would overflow on one without end.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
