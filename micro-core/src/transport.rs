//! Carries a request to an address and a response back.

pub mod http;
mod http1;
mod memory;
mod port;
pub mod socket;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::registry::Node;
use crate::{Handler, Result};

pub use self::http::HttpTransport;
pub use self::memory::MemoryTransport;

/// Carries requests to addresses and responses back. Connections, pools and framing are its own business.
///
/// # Contract
///
/// - What a dialled peer answers is what the handler at the far side answered: body, metadata, errors by id, code
///   and detail.
/// - An error is marked [never started](crate::Error::never_started) exactly when the far handler surely never ran.
/// - Dropping the future of a call, or the body of its response, drops the handler at the far side soon.
/// - A slow reader of a stream slows its writer; memory stays bounded.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// The name by which flags choose this transport and nodes state it, such as `http`.
    fn name(&self) -> &str;

    /// What is spoken over it, as nodes state it: `mucp` for the native protocol, `grpc` …
    fn protocol(&self) -> &str;

    /// A handler whose far end is that node. Need not connect before the first request.
    ///
    /// Dropping the handler closes its connections once running calls have ended.
    ///
    /// # Errors
    ///
    /// When the node's address is not one of this transport's.
    async fn dial(&self, node: &Node) -> Result<Arc<dyn Handler>>;

    /// Serves a handler at an address, such as `127.0.0.1:0` for a free port.
    ///
    /// # Errors
    ///
    /// When the address is malformed or taken; the message says which.
    async fn listen(&self, address: &str, handler: Arc<dyn Handler>) -> Result<Box<dyn Listener>>;
}

/// An address that is being served. Dropping it cuts everything off at once.
#[async_trait]
pub trait Listener: Send + Sync {
    /// The address, with the port that was found free.
    fn address(&self) -> &str;

    /// Stops well: accepts no more connections, answers what is running, tells callers to go elsewhere, and
    /// returns when all are gone or `grace` is over; what still runs then is cut off.
    async fn close(self: Box<Self>, grace: Duration);
}
