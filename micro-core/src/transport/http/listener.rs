//! The serving end: accepts connections, serves them, and lets go of them in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsStream};
use tokio_util::task::AbortOnDropHandle;

use super::connection::{Io, prepare};
use super::mount::{self, Route, Tasks};
use super::{HttpConfig, HttpLimits, serve};
use crate::error::SERVER;
use crate::handler::{Peer, handler_fn};
use crate::transport::Listener;
use crate::{Error, Handler, Request, Result};

/// What all connections of a listener share.
pub(super) struct Server {
    pub(super) handler: Arc<dyn Handler>,
    pub(super) limits: HttpLimits,
    pub(super) routes: Vec<(String, Arc<dyn Route>)>,
    /// Whether `/` is where calls go.
    pub(super) serves_calls: bool,
    draining: AtomicBool,
    /// The calls that came over HTTP/2.
    pub(super) tasks: Tasks,
    /// Wakes idle connections when draining begins.
    pub(super) drain: Notify,
}

impl Server {
    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Returns once draining has begun.
    pub(super) async fn drained(&self) {
        // Asked for before the look at the flag, so that a beginning in between is not missed.
        let drain = self.drain.notified();
        if !self.is_draining() {
            drain.await;
        }
    }

    fn start_draining(&self) {
        self.draining.store(true, Ordering::Release);
        self.drain.notify_waiters();
    }
}

pub(super) async fn listen(
    address: &str,
    handler: Arc<dyn Handler>,
    config: &HttpConfig,
    acceptor: Option<TlsAcceptor>,
) -> Result<HttpListener> {
    mount::check(&config.routes)
        .map_err(|error| error.context(format_args!("cannot listen at {address}")))?;
    start(address, handler, config.routes.clone(), config, acceptor).await
}

/// Serves a route at every path, and no calls.
pub(super) async fn serve(
    address: &str,
    route: Arc<dyn Route>,
    config: &HttpConfig,
    acceptor: Option<TlsAcceptor>,
) -> Result<HttpListener> {
    let no_calls = handler_fn(|request: Request| async move {
        Err(Error::not_found(
            SERVER,
            format!("{}: no calls are served at this address", request.endpoint),
        ))
    });
    let routes = vec![("/".to_owned(), route)];
    start(address, Arc::new(no_calls), routes, config, acceptor).await
}

async fn start(
    address: &str,
    handler: Arc<dyn Handler>,
    routes: Vec<(String, Arc<dyn Route>)>,
    config: &HttpConfig,
    acceptor: Option<TlsAcceptor>,
) -> Result<HttpListener> {
    if config.tls.is_some() && acceptor.is_none() {
        return Err(Error::bad_request(
            "go.micro.transport",
            format!(
                "cannot listen at {address}: TLS is on but has no identity; give it a certificate and key"
            ),
        ));
    }
    let listener = bind(address).await?;
    let bound = listener
        .local_addr()
        .map_err(|problem| cannot_listen(address, &problem))?;
    let server = Arc::new(Server {
        handler,
        limits: config.limits,
        serves_calls: mount::find(&routes, "/").is_none(),
        routes,
        tasks: Tasks::default(),
        draining: AtomicBool::new(false),
        drain: Notify::new(),
    });
    let (close, closing) = oneshot::channel();
    let accept = Accept {
        listener,
        acceptor,
        server,
        slots: Arc::new(Semaphore::new(
            config.limits.connections.min(Semaphore::MAX_PERMITS),
        )),
    };
    let task = AbortOnDropHandle::new(tokio::spawn(accept.run(closing)));
    Ok(HttpListener {
        address: bound.to_string(),
        close,
        task,
    })
}

/// Binds `host:port`, `:port`, or the first free port of `host:first-last`.
pub(in crate::transport) async fn bind(address: &str) -> Result<TcpListener> {
    let wrong = |problem: &str| {
        Error::bad_request(
            "go.micro.transport",
            format!("cannot listen at {address:?}: {problem}; write host:port, :0 or host:first-last"),
        )
    };
    let (host, ports) = address
        .rsplit_once(':')
        .ok_or_else(|| wrong("there is no port"))?;
    let host = match host.trim_matches(['[', ']']) {
        "" => "0.0.0.0",
        host => host,
    };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let port = |text: &str| {
        text.parse::<u16>()
            .map_err(|_| wrong("the port is no number from 0 to 65535"))
    };
    let (first, last) = (port(first)?, port(last)?);
    let mut problem = std::io::Error::other("the range of ports is empty");
    for port in first..=last {
        let candidates: Vec<SocketAddr> = lookup_host((host, port))
            .await
            .map_err(|problem| cannot_listen(address, &problem))?
            .collect();
        match TcpListener::bind(candidates.as_slice()).await {
            Ok(listener) => return Ok(listener),
            Err(error) => problem = error,
        }
    }
    Err(cannot_listen(address, &problem))
}

fn cannot_listen(address: &str, problem: &std::io::Error) -> Error {
    Error::unavailable(
        "go.micro.transport",
        format!("cannot listen at {address}: {problem}; is another program there? port 0 takes a free one"),
    )
}

struct Accept {
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    server: Arc<Server>,
    slots: Arc<Semaphore>,
}

impl Accept {
    async fn run(self, mut closing: oneshot::Receiver<Duration>) {
        let mut connections = JoinSet::new();
        let grace = loop {
            tokio::select! {
                grace = &mut closing => break grace.unwrap_or_default(),
                // Without a pattern that can fail, for which select would not look at this branch again.
                connection = self.accept() => {
                    if let Some(connection) = connection {
                        connections.spawn(connection);
                    }
                }
                Some(_) = connections.join_next() => {}
            }
        };
        let server = self.server.clone();
        server.start_draining();
        self.take_queued(&mut connections);
        let all_gone = async { while connections.join_next().await.is_some() {} };
        if timeout(grace, all_gone).await.is_err() {
            tracing::warn!(
                cut_off = connections.len(),
                ?grace,
                "connections outlived the grace of a closing listener"
            );
        }
        connections.shutdown().await;
        server.tasks.finish().await;
    }

    /// Accepts one connection and returns what serves it. Cancelled, it has accepted none.
    async fn accept(&self) -> Option<impl Future<Output = ()> + Send + 'static> {
        let slot = self.slots.clone().acquire_owned().await.ok()?;
        match self.listener.accept().await {
            Ok((stream, remote)) => {
                let (acceptor, server) = (self.acceptor.clone(), self.server.clone());
                Some(serve_connection(stream, remote, acceptor, server, Some(slot)))
            }
            Err(problem) => {
                // Out of file descriptors, usually: trying again at once would only spin.
                tracing::warn!(%problem, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                None
            }
        }
    }

    /// Stops listening. Connections that the kernel made already would be reset: they are taken, to be answered or
    /// told to go elsewhere, whether there is a slot for them or not.
    fn take_queued(self, connections: &mut JoinSet<()>) {
        let Self {
            listener,
            acceptor,
            server,
            slots,
        } = self;
        // Asked directly, because the runtime need not have heard of the newest ones.
        let listener = match listener.into_std() {
            Ok(listener) => listener,
            Err(problem) => {
                tracing::warn!(%problem, "cannot accept the last connections of a closing listener");
                return;
            }
        };
        for _ in 0..QUEUED {
            let Ok((stream, remote)) = listener.accept() else {
                return;
            };
            let stream = stream
                .set_nonblocking(true)
                .and_then(|()| TcpStream::from_std(stream));
            if let Ok(stream) = stream {
                let slot = slots.clone().try_acquire_owned().ok();
                let (acceptor, server) = (acceptor.clone(), server.clone());
                connections.spawn(serve_connection(stream, remote, acceptor, server, slot));
            }
        }
    }
}

/// How many connections are taken from the queue of a listener that closes: somewhat more than it may hold.
const QUEUED: usize = 2048;

async fn serve_connection(
    stream: TcpStream,
    remote: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    server: Arc<Server>,
    _slot: Option<OwnedSemaphorePermit>,
) {
    let Ok(local) = stream.local_addr() else { return };
    if prepare(&stream).is_err() {
        return;
    }
    let io = match acceptor {
        None => Io::Tcp(stream),
        Some(acceptor) => match timeout(server.limits.head_timeout, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Io::Tls(Box::new(TlsStream::Server(stream))),
            Ok(Err(problem)) => {
                tracing::debug!(%remote, %problem, "TLS handshake failed");
                return;
            }
            Err(_) => return,
        },
    };
    serve::serve(io, Peer { remote, local }, server).await;
}

/// A port that is served over HTTP.
pub(super) struct HttpListener {
    address: String,
    close: oneshot::Sender<Duration>,
    task: AbortOnDropHandle<()>,
}

#[async_trait]
impl Listener for HttpListener {
    fn address(&self) -> &str {
        &self.address
    }

    async fn close(self: Box<Self>, grace: Duration) {
        let _ = self.close.send(grace);
        let _ = self.task.await;
    }
}
