//! The transport: what dials and what listens.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use micro_core::registry::Node;
use micro_core::transport::Listener;
use micro_core::transport::socket::{Acceptor, Connector};
use micro_core::{Handler, Result, Transport};

use crate::client::TcpPeer;
use crate::config::TcpConfig;
use crate::server;

/// What is spoken over encrypted connections, by ALPN.
const PROTOCOLS: &[&str] = &["micro-tcp"];

/// The TCP transport. Clones share their configuration.
#[derive(Clone)]
pub struct TcpTransport(Arc<Shared>);

struct Shared {
    config: TcpConfig,
    connector: Connector,
    acceptor: Acceptor,
}

impl TcpTransport {
    /// A transport.
    ///
    /// # Errors
    ///
    /// When certificates or keys of the configuration cannot be used.
    pub fn new(config: TcpConfig) -> Result<Self> {
        let tls = config.tls.as_ref();
        Ok(Self(Arc::new(Shared {
            connector: Connector::new(tls, PROTOCOLS)?,
            acceptor: Acceptor::new(tls, PROTOCOLS)?,
            config,
        })))
    }
}

impl fmt::Debug for TcpTransport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("TcpTransport")
            .field(&self.0.config)
            .finish()
    }
}

#[async_trait]
impl Transport for TcpTransport {
    fn name(&self) -> &str {
        "tcp"
    }

    fn protocol(&self) -> &str {
        "micro-tcp"
    }

    async fn dial(&self, node: &Node) -> Result<Arc<dyn Handler>> {
        let peer = TcpPeer::new(&node.address, &self.0.config, self.0.connector.clone())?;
        Ok(Arc::new(peer))
    }

    async fn listen(&self, address: &str, handler: Arc<dyn Handler>) -> Result<Box<dyn Listener>> {
        let shared = &self.0;
        server::listen(address, handler, &shared.config, shared.acceptor.clone()).await
    }
}
