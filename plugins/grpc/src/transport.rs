//! The transport: what dials and what listens.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use micro_core::registry::Node;
use micro_core::transport::Listener;
use micro_core::{Handler, Result, Transport};

use crate::client::GrpcPeer;
use crate::config::GrpcConfig;
use crate::security::Security;
use crate::server;

/// The metadata of a node that is called by another name than its address: `host:port`, for HTTP's `:authority` and for
/// the name that an encrypted server proves.
pub(crate) const AUTHORITY: &str = "grpc-authority";

/// The gRPC transport. Clones share their configuration.
#[derive(Clone)]
pub struct GrpcTransport(Arc<Shared>);

struct Shared {
    config: GrpcConfig,
    security: Arc<Security>,
}

impl GrpcTransport {
    /// A transport.
    ///
    /// # Errors
    ///
    /// When certificates or keys of the configuration cannot be used, or their files cannot be read.
    pub fn new(config: GrpcConfig) -> Result<Self> {
        let security = Arc::new(Security::new(&config)?);
        Ok(Self(Arc::new(Shared { config, security })))
    }
}

impl fmt::Debug for GrpcTransport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("GrpcTransport")
            .field(&self.0.config)
            .finish()
    }
}

#[async_trait]
impl Transport for GrpcTransport {
    fn name(&self) -> &str {
        "grpc"
    }

    fn protocol(&self) -> &str {
        "grpc"
    }

    async fn dial(&self, node: &Node) -> Result<Arc<dyn Handler>> {
        let peer = GrpcPeer::new(node, &self.0.config, self.0.security.clone())?;
        Ok(Arc::new(peer))
    }

    async fn listen(&self, address: &str, handler: Arc<dyn Handler>) -> Result<Box<dyn Listener>> {
        server::listen(address, handler, &self.0.config, self.0.security.clone()).await
    }
}
