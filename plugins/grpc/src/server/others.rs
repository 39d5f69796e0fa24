//! What is served on the port beside calls.

use micro_core::Body;
use micro_core::handler::Peer;
use micro_core::transport::http::{Host, Routes, Speaker};

use super::Server;

/// What gets requests that are none of gRPC's own.
pub(super) enum Others {
    /// What is mounted on a port of gRPC.
    Routes(Routes),
    /// The listener whose port it is.
    Host(Host),
}

impl Others {
    /// Answers a request, by the server where it is a call in one of its dialects. Dropped, it ends what answers.
    pub(super) async fn answer(
        &self,
        server: &Server,
        request: http::Request<Body>,
        peer: Peer,
    ) -> http::Response<Body> {
        match self {
            Self::Host(host) => host.answer(server, request, peer).await,
            Self::Routes(routes) => match routes.find(request.uri().path()) {
                Some(route) => route.serve(request).await,
                None => server.answer(request, peer).await,
            },
        }
    }
}
