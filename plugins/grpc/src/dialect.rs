//! gRPC at the port of the HTTP transport.

use std::fmt;
use std::sync::Arc;

use micro_core::transport::http::{Dialect, Host, Speaker};

use crate::config::GrpcConfig;
use crate::server::Server;

/// Lets a listener of the HTTP transport answer callers that speak gRPC, gRPC-Web, Connect or plain JSON, at the same port
/// as those of Go Micro.
///
/// Of the configuration count what a listener does with calls: limits, windows, compression, origins, diagnostics.
/// Encryption, the number of connections and mounted routes are the HTTP transport's.
///
/// ```
/// use std::sync::Arc;
///
/// use micro_core::transport::HttpTransport;
/// use micro_core::transport::http::HttpConfig;
/// use micro_grpc::{GrpcConfig, GrpcDialect};
///
/// # fn example() -> micro_core::Result<HttpTransport> {
/// HttpTransport::new(HttpConfig {
///     dialect: Some(Arc::new(GrpcDialect::new(GrpcConfig::default()))),
///     ..HttpConfig::default()
/// })
/// # }
/// ```
#[derive(Clone)]
pub struct GrpcDialect(GrpcConfig);

impl GrpcDialect {
    /// The dialects of gRPC's port.
    pub fn new(config: GrpcConfig) -> Self {
        Self(config)
    }
}

impl Dialect for GrpcDialect {
    fn start(&self, host: Host) -> Arc<dyn Speaker> {
        Arc::new(Server::hosted(host, &self.0))
    }
}

impl fmt::Debug for GrpcDialect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("GrpcDialect").field(&self.0).finish()
    }
}
