//! The serving end: what the connections of a port share.

mod call;
mod connection;

use std::sync::Arc;

use micro_core::handler::Peer;
use micro_core::transport::Listener;
use micro_core::transport::socket::{self, Acceptor, Draining, Serve, Socket};
use micro_core::{Handler, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use self::connection::Connection;
use crate::config::{LONGEST, TcpConfig};
use crate::preamble::{self, Stranger, Terms};

/// What all connections of a listener share.
struct Server {
    handler: Arc<dyn Handler>,
    config: TcpConfig,
    acceptor: Acceptor,
    draining: Draining,
    /// The calls of all connections. Each belongs to its connection, which ends it.
    calls: TaskTracker,
}

pub(crate) async fn listen(
    address: &str,
    handler: Arc<dyn Handler>,
    config: &TcpConfig,
    acceptor: Acceptor,
) -> Result<Box<dyn Listener>> {
    acceptor.check(address)?;
    let server = Server {
        handler,
        config: config.clone(),
        acceptor,
        draining: Draining::default(),
        calls: TaskTracker::new(),
    };
    socket::listen(address, config.limits.connections, Arc::new(server)).await
}

impl Serve for Server {
    async fn serve(self: Arc<Self>, stream: TcpStream, peer: Peer) {
        let remote = peer.remote;
        let until = Instant::now() + self.config.limits.handshake_timeout.min(LONGEST);
        let terms = Terms::of(&self.config);
        let begin = async {
            let socket = self.acceptor.accept(stream).await.map_err(Stranger::Gone)?;
            greet(socket, &terms).await
        };
        match timeout_at(until, begin).await {
            Ok(Ok((socket, caller))) => Connection::new(socket, peer, terms, caller, self).run().await,
            Ok(Err(stranger)) => tracing::debug!(%remote, "a connection is not used: {stranger}"),
            Err(_) => tracing::debug!(%remote, "a caller did not say in time what it speaks"),
        }
    }

    fn draining(&self) -> &Draining {
        &self.draining
    }

    async fn finish(&self) {
        self.calls.close();
        self.calls.wait().await;
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
