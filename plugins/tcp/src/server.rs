//! The serving end: accepts connections, and lets go of them in order.

mod call;
mod connection;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use micro_core::handler::Peer;
use micro_core::transport::Listener;
use micro_core::transport::socket::{Acceptor, Socket, bind};
use micro_core::{Error, Handler, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use self::connection::Connection;
use crate::config::{LONGEST, TcpConfig};
use crate::preamble::{self, Stranger, Terms};

/// How many connections are taken from the queue of a listener that closes: somewhat more than it may hold.
const QUEUED: usize = 2048;

/// What all connections of a listener share.
struct Server {
    handler: Arc<dyn Handler>,
    config: TcpConfig,
    draining: AtomicBool,
    /// Wakes connections when draining begins.
    drain: Notify,
    /// The calls of all connections. Each belongs to its connection, which ends it.
    calls: TaskTracker,
}

impl Server {
    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    fn start_draining(&self) {
        self.draining.store(true, Ordering::Release);
        self.drain.notify_waiters();
    }
}

pub(crate) async fn listen(
    address: &str,
    handler: Arc<dyn Handler>,
    config: &TcpConfig,
    acceptor: Acceptor,
) -> Result<TcpAcceptor> {
    if config.tls.is_some() && !acceptor.is_encrypted() {
        return Err(Error::bad_request(
            "go.micro.transport",
            format!(
                "cannot listen at {address}: TLS is on but has no identity; give it a certificate and key"
            ),
        ));
    }
    let listener = bind(address).await?;
    let bound = listener.local_addr().map_err(|problem| {
        Error::unavailable(
            "go.micro.transport",
            format!("cannot listen at {address}: {problem}"),
        )
    })?;
    let server = Arc::new(Server {
        handler,
        config: config.clone(),
        draining: AtomicBool::new(false),
        drain: Notify::new(),
        calls: TaskTracker::new(),
    });
    let (close, closing) = oneshot::channel();
    let accept = Accept {
        listener,
        acceptor,
        slots: Arc::new(Semaphore::new(
            config.limits.connections.min(Semaphore::MAX_PERMITS),
        )),
        server,
    };
    let task = AbortOnDropHandle::new(tokio::spawn(accept.run(closing)));
    Ok(TcpAcceptor {
        address: bound.to_string(),
        close,
        task,
    })
}

struct Accept {
    listener: TcpListener,
    acceptor: Acceptor,
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
        server.calls.close();
        server.calls.wait().await;
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

async fn serve_connection(
    stream: TcpStream,
    remote: SocketAddr,
    acceptor: Acceptor,
    server: Arc<Server>,
    _slot: Option<OwnedSemaphorePermit>,
) {
    let Ok(local) = stream.local_addr() else { return };
    let until = Instant::now() + server.config.limits.handshake_timeout.min(LONGEST);
    let socket = match timeout_at(until, acceptor.accept(stream)).await {
        Ok(Ok(socket)) => socket,
        Ok(Err(problem)) => {
            tracing::debug!(%remote, %problem, "a connection could not be encrypted");
            return;
        }
        Err(_) => return,
    };
    let terms = Terms::of(&server.config);
    match timeout_at(until, greet(socket, &terms)).await {
        Ok(Ok((socket, caller))) => {
            let peer = Peer { remote, local };
            Connection::new(socket, peer, terms, caller, server).run().await;
        }
        Ok(Err(stranger)) => tracing::debug!(%remote, "a connection is not used: {stranger}"),
        Err(_) => tracing::debug!(%remote, "a caller did not say in time what it speaks"),
    }
}

/// Exchanges the first words. Whoever speaks something else is told so, in its own words where that can be.
async fn greet(mut socket: Socket, terms: &Terms) -> Result<(Socket, Terms), Stranger> {
    let caller = preamble::read(&mut socket).await;
    let answer = match &caller {
        Ok(_) => Some(terms.preamble().to_vec()),
        Err(stranger) => preamble::answer(stranger, terms),
    };
    if let Some(answer) = answer {
        let said = async {
            socket.write_all(&answer).await?;
            socket.flush().await
        };
        said.await.map_err(Stranger::Gone)?;
    }
    if caller.is_err() {
        // What it still sends is read, so that what it was told is not lost in a reset.
        let _ = socket.shutdown().await;
        let mut rest = [0; 1024];
        for _ in 0..64 {
            if !matches!(socket.read(&mut rest).await, Ok(1..)) {
                break;
            }
        }
    }
    caller.map(|caller| (socket, caller))
}

/// A port at which calls are served.
pub(crate) struct TcpAcceptor {
    address: String,
    close: oneshot::Sender<Duration>,
    task: AbortOnDropHandle<()>,
}

#[async_trait]
impl Listener for TcpAcceptor {
    fn address(&self) -> &str {
        &self.address
    }

    async fn close(self: Box<Self>, grace: Duration) {
        let _ = self.close.send(grace);
        let _ = self.task.await;
    }
}
