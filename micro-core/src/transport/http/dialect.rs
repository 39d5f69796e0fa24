//! Other protocols on the listener's port.

use std::sync::Arc;

use async_trait::async_trait;

use super::plain::Plain;
use crate::handler::Peer;
use crate::transport::socket::{Draining, Socket};
use crate::{Body, Handler};

/// Another protocol over HTTP by which callers reach the same handler at the same port, such as gRPC.
pub trait Dialect: Send + Sync + 'static {
    /// Begins to speak at a listener.
    fn start(&self, host: Host) -> Arc<dyn Speaker>;
}

/// What speaks another protocol at one listener.
#[async_trait]
pub trait Speaker: Send + Sync + 'static {
    /// Whether a request is in this protocol.
    fn speaks(&self, head: &http::request::Parts) -> bool;

    /// Answers a request that [is](Self::speaks) in this protocol. Both bodies are pieces of any size. Dropped, it ends
    /// the call.
    async fn answer(&self, request: http::Request<Body>, peer: Peer) -> http::Response<Body>;

    /// Serves a connection over HTTP/2, from its first byte on, until it ends or, when the port
    /// [closes](Host::draining), what runs on it does. What is not in this protocol goes to [`Host::answer`]. Dropped, it
    /// ends the connection.
    async fn serve_http2(self: Arc<Self>, socket: Socket, peer: Peer);

    /// Returns when nothing is left that connections began. They have all ended by then.
    async fn finish(&self);
}

/// The listener at which another protocol is spoken.
#[derive(Clone)]
pub struct Host {
    /// Where calls go.
    pub handler: Arc<dyn Handler>,
    /// Whether the listener closes.
    pub draining: Draining,
    pub(super) plain: Plain,
}

impl Host {
    /// Answers an HTTP request by what is mounted at its path, as a call with Go Micro's headers, or else by the speaker
    /// where it is in its protocol.
    pub async fn answer(
        &self,
        speaker: &dyn Speaker,
        request: http::Request<Body>,
        peer: Peer,
    ) -> http::Response<Body> {
        let (head, body) = request.into_parts();
        let is_foreign = !self.plain.claims(&head) && speaker.speaks(&head);
        let request = http::Request::from_parts(head, body);
        match is_foreign {
            true => speaker.answer(request, peer).await,
            false => self.plain.answer(request, peer).await,
        }
    }
}
