//! The transport: what dials and what listens.

use std::sync::Arc;

use async_trait::async_trait;
use micro_core::registry::Node;
use micro_core::transport::Listener;
use micro_core::{Handler, Result, Transport};

use crate::client::UdpPeer;
use crate::config::UdpConfig;
use crate::server;

/// The UDP transport. Clones share their configuration.
#[derive(Debug, Clone, Default)]
pub struct UdpTransport(Arc<UdpConfig>);

impl UdpTransport {
    /// A transport.
    pub fn new(config: UdpConfig) -> Self {
        Self(Arc::new(config))
    }
}

#[async_trait]
impl Transport for UdpTransport {
    fn name(&self) -> &str {
        "udp"
    }

    fn protocol(&self) -> &str {
        "micro-udp"
    }

    async fn dial(&self, node: &Node) -> Result<Arc<dyn Handler>> {
        Ok(Arc::new(UdpPeer::new(&node.address, self.0.clone())?))
    }

    async fn listen(&self, address: &str, handler: Arc<dyn Handler>) -> Result<Box<dyn Listener>> {
        Ok(Box::new(server::listen(address, handler, &self.0).await?))
    }
}
