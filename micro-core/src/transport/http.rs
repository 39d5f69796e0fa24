//! The default transport: Go Micro's HTTP/1.1, one exchange at a time per connection, and its unpaired streams.
//!
//! The framing is this crate's own, because Go Micro's streams are messages that no HTTP library offers; HTTP/2
//! without encryption and [mounted routes](HttpConfig::routes) go to hyper on the same port, where a
//! [dialect](HttpConfig::dialect) may be spoken, too.

mod batch;
pub(super) mod connection;
mod dialect;
mod familiar;
mod head;
mod listener;
mod mount;
mod peer;
mod peer_stream;
mod plain;
mod pool;
mod post;
#[doc(hidden)]
pub mod probe;
mod routes;
mod serve;
mod serve_stream;
pub(crate) mod tls;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::task::AbortOnDropHandle;

use self::peer::{HttpPeer, PeerShared};
use self::tls::Connector;
use super::socket::Acceptor;
use super::{Listener, Transport};
use crate::registry::Node;
use crate::{Handler, Result};

pub use self::dialect::{Dialect, Host, Speaker};
pub(crate) use self::post::Post;
pub use self::routes::{Route, Routes};
pub use self::tls::{ClientCertificates, Identity, Tls};

/// How the HTTP transport works.
#[derive(Clone)]
pub struct HttpConfig {
    /// How long to connect to a node, TLS included. Default: 5 s.
    pub connect_timeout: Duration,
    /// How many idle connections are kept to each node. Default: 1024.
    pub pool_size: usize,
    /// How long a connection may idle before it is used no more; it is closed at most half as long after that. Shorter
    /// than the listener's [`idle_timeout`](HttpLimits::idle_timeout), so that it is the caller who closes. Default:
    /// 1 min.
    pub pool_idle_timeout: Duration,
    /// How old a connection may become before it is replaced, give or take a tenth, drawn for each so that they do not
    /// all go together; the call under way ends first. It is for what stands between the two ends, such as a balancer
    /// that has new nodes behind it: connections to a node that left the registry go at once. Default: 30 min.
    pub pool_max_age: Duration,
    /// What callers may ask of a listener.
    pub limits: HttpLimits,
    /// Encryption, of both ends. Default: none.
    pub tls: Option<Tls>,
    /// What else is served on the listener's port: path prefixes, such as `/health`, and what answers them. Not `/`,
    /// where calls are served: listening fails then.
    pub routes: Vec<(String, Arc<dyn Route>)>,
    /// Another protocol by which callers reach the listener's handler at the same port, such as gRPC. It gets requests over
    /// HTTP/1.1 that name no endpoint as Go Micro does, and all connections over HTTP/2. Default: none.
    pub dialect: Option<Arc<dyn Dialect>>,
}

/// Limits on what a peer may send. Each error that they cause names its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// Bytes of a head. Default: 64 KiB. It has at most 100 headers.
    pub head_size: usize,
    /// Bytes of one message's body. Default: 16 MiB.
    pub message_size: usize,
    /// Connections that a listener serves at once; more wait to be accepted. Default: 16,384.
    pub connections: usize,
    /// From a head's first byte to its last. Default: 5 s.
    pub head_timeout: Duration,
    /// From a head's end to the end of its body, without which the connection is closed. Default: 60 s.
    pub body_timeout: Duration,
    /// How long a connection may be silent between requests; then it is told to go elsewhere, and closed. Longer than
    /// the callers' [`pool_idle_timeout`](HttpConfig::pool_idle_timeout). Default: 5 min.
    pub idle_timeout: Duration,
    /// From an answer's first byte to its last, without which the connection is closed: a caller that does not read
    /// holds nothing for longer. Counts for each piece of a plain request's streamed answer, and not for streams,
    /// whose readers may be as slow as they like. Of a mounted route's streamed answer something must be taken for as long.
    /// Default: 60 s.
    pub write_timeout: Duration,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            pool_size: 1024,
            pool_idle_timeout: Duration::from_secs(60),
            pool_max_age: Duration::from_secs(30 * 60),
            limits: HttpLimits::default(),
            tls: None,
            routes: Vec::new(),
            dialect: None,
        }
    }
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            head_size: 64 * 1024,
            message_size: 16 * 1024 * 1024,
            connections: 16 * 1024,
            head_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(5 * 60),
            write_timeout: Duration::from_secs(60),
        }
    }
}

impl fmt::Debug for HttpConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HttpConfig")
            .field("connect_timeout", &self.connect_timeout)
            .field("pool_size", &self.pool_size)
            .field("limits", &self.limits)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// The HTTP transport. Clones share their configuration and the task that closes idle connections.
#[derive(Clone)]
pub struct HttpTransport(Arc<Shared>);

struct Shared {
    config: HttpConfig,
    connector: Connector,
    acceptor: Acceptor,
    peers: Mutex<Peers>,
}

#[derive(Default)]
struct Peers {
    dialled: Vec<Weak<PeerShared>>,
    sweeper: Option<AbortOnDropHandle<()>>,
}

impl HttpTransport {
    /// A transport.
    ///
    /// # Errors
    ///
    /// When certificates or keys of the configuration cannot be used.
    pub fn new(config: HttpConfig) -> Result<Self> {
        let connector = Connector::new(config.tls.as_ref(), &["http/1.1"])?;
        let acceptor = Acceptor::new(config.tls.as_ref(), &["h2", "http/1.1"])?;
        Ok(Self(Arc::new(Shared {
            config,
            connector,
            acceptor,
            peers: Mutex::default(),
        })))
    }

    /// A transport without encryption, whatever the configuration says of it; so nothing can fail.
    pub fn unencrypted(config: HttpConfig) -> Self {
        Self(Arc::new(Shared {
            config: HttpConfig { tls: None, ..config },
            connector: Connector::plain(),
            acceptor: Acceptor::plain(),
            peers: Mutex::default(),
        }))
    }

    /// Serves HTTP requests of any path by a route, with the limits and the encryption of this transport.
    ///
    /// # Errors
    ///
    /// When the address is malformed or taken; the message says which.
    pub async fn serve(&self, address: &str, route: Arc<dyn Route>) -> Result<Box<dyn Listener>> {
        listener::serve(address, route, &self.0.config, self.0.acceptor.clone()).await
    }

    /// Something that posts to an address, with pooled connections of its own.
    pub(crate) fn post(&self, address: &str) -> Result<Post> {
        Ok(Post::new(self.peer(address)?))
    }

    fn peer(&self, address: &str) -> Result<Arc<PeerShared>> {
        let peer = Arc::new(PeerShared::new(
            address,
            &self.0.config,
            self.0.connector.clone(),
        )?);
        self.watch_over(&peer);
        Ok(peer)
    }

    /// Keeps a peer in view of the task that closes its idle connections.
    fn watch_over(&self, peer: &Arc<PeerShared>) {
        let mut peers = self.0.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.dialled.retain(|peer| peer.strong_count() > 0);
        peers.dialled.push(Arc::downgrade(peer));
        if peers.sweeper.is_none() {
            let sweep = sweep(Arc::downgrade(&self.0), self.0.config.pool_idle_timeout);
            peers.sweeper = Some(AbortOnDropHandle::new(tokio::spawn(sweep)));
        }
    }
}

async fn sweep(transport: Weak<Shared>, idle_timeout: Duration) {
    let interval = (idle_timeout / 2).max(Duration::from_millis(10));
    loop {
        tokio::time::sleep(interval).await;
        let Some(transport) = transport.upgrade() else {
            return;
        };
        let peers = {
            let mut peers = transport.peers.lock().unwrap_or_else(PoisonError::into_inner);
            peers.dialled.retain(|peer| peer.strong_count() > 0);
            peers.dialled.clone()
        };
        for peer in peers.iter().filter_map(Weak::upgrade) {
            peer.drop_expired();
        }
    }
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("HttpTransport")
            .field(&self.0.config)
            .finish()
    }
}

#[async_trait]
impl Transport for HttpTransport {
    fn name(&self) -> &str {
        "http"
    }

    fn protocol(&self) -> &str {
        crate::wire::PROTOCOL
    }

    async fn dial(&self, node: &Node) -> Result<Arc<dyn Handler>> {
        Ok(Arc::new(HttpPeer(self.peer(&node.address)?)))
    }

    async fn listen(&self, address: &str, handler: Arc<dyn Handler>) -> Result<Box<dyn Listener>> {
        listener::listen(address, handler, &self.0.config, self.0.acceptor.clone()).await
    }
}
