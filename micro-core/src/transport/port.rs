//! A port: accepts connections, has them served, and lets go of them in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::Listener;
use crate::handler::Peer;
use crate::{Error, Result};

/// How many connections are taken from the queue of a port that closes: somewhat more than it may hold.
const QUEUED: usize = 2048;

/// What is done with the connections of a port.
pub trait Serve: Send + Sync + 'static {
    /// Serves a connection until it ends. Dropped, it ends the connection.
    fn serve(self: Arc<Self>, stream: TcpStream, peer: Peer) -> impl Future<Output = ()> + Send;

    /// By which connections learn that the port closes.
    fn draining(&self) -> &Draining;

    /// Returns when nothing is left that connections began. They have all ended by then.
    fn finish(&self) -> impl Future<Output = ()> + Send;
}

/// Whether a port closes, so that its connections finish what they do and end. Clones are of the same port.
#[derive(Debug, Clone, Default)]
pub struct Draining(Arc<Drain>);

#[derive(Debug, Default)]
struct Drain {
    has_begun: AtomicBool,
    /// Wakes idle connections when it begins.
    begins: Notify,
}

impl Draining {
    /// Whether it closes.
    pub fn has_begun(&self) -> bool {
        self.0.has_begun.load(Ordering::Acquire)
    }

    /// Returns once it closes. Asked once, it wakes its task also where nobody asks it again.
    pub async fn begun(&self) {
        // Asked for before the look at the flag, so that a beginning in between is not missed.
        let begins = self.0.begins.notified();
        if !self.has_begun() {
            begins.await;
        }
    }

    fn begin(&self) {
        self.0.has_begun.store(true, Ordering::Release);
        self.0.begins.notify_waiters();
    }
}

/// Listens at an address and has so many connections served at once; more wait to be accepted.
///
/// # Errors
///
/// When the address is malformed or taken; the message says which.
pub async fn listen<S: Serve>(
    address: &str,
    connections: usize,
    server: Arc<S>,
) -> Result<Box<dyn Listener>> {
    let listener = bind(address).await?;
    let bound = listener
        .local_addr()
        .map_err(|problem| cannot_listen(address, &problem))?;
    let (close, closing) = oneshot::channel();
    let accept = Accept {
        listener,
        server,
        slots: Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS))),
    };
    let task = AbortOnDropHandle::new(tokio::spawn(accept.run(closing)));
    Ok(Box::new(Port {
        address: bound.to_string(),
        close,
        task,
    }))
}

/// Binds `host:port`, `:port`, or the first free port of `host:first-last`.
///
/// # Errors
///
/// When the address is malformed or taken; the message names it.
pub async fn bind(address: &str) -> Result<TcpListener> {
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

struct Accept<S> {
    listener: TcpListener,
    server: Arc<S>,
    slots: Arc<Semaphore>,
}

impl<S: Serve> Accept<S> {
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
        server.draining().begin();
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
        server.finish().await;
    }

    /// Accepts one connection and returns what serves it. Cancelled, it has accepted none.
    async fn accept(&self) -> Option<impl Future<Output = ()> + Send + 'static> {
        let slot = self.slots.clone().acquire_owned().await.ok()?;
        match self.listener.accept().await {
            Ok((stream, remote)) => Some(serve(stream, remote, self.server.clone(), Some(slot))),
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
                connections.spawn(serve(stream, remote, server.clone(), slot));
            }
        }
    }
}

async fn serve<S: Serve>(
    stream: TcpStream,
    remote: SocketAddr,
    server: Arc<S>,
    _slot: Option<OwnedSemaphorePermit>,
) {
    if let Ok(local) = stream.local_addr() {
        server.serve(stream, Peer { remote, local }).await;
    }
}

/// A port that is served.
struct Port {
    address: String,
    close: oneshot::Sender<Duration>,
    task: AbortOnDropHandle<()>,
}

#[async_trait]
impl Listener for Port {
    fn address(&self) -> &str {
        &self.address
    }

    async fn close(self: Box<Self>, grace: Duration) {
        let _ = self.close.send(grace);
        let _ = self.task.await;
    }
}
