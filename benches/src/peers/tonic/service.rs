//! The echo service for tonic, as its code generator would write it; by hand, so that no generator is needed.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{self, Poll};

use bytes::Bytes;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, NamedService, StreamingService, UnaryService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

/// The path of the unary echo.
pub(super) const CALL: &str = "/bench.Echo/Call";

/// The path of the stream echo.
pub(super) const STREAM: &str = "/bench.Echo/Stream";

/// `message Payload { bytes data = 1; }`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Payload {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) data: Bytes,
}

/// `service Echo { rpc Call(Payload) returns (Payload); rpc Stream(stream Payload) returns (stream Payload); }`
#[derive(Clone)]
pub(super) struct EchoServer;

impl NamedService for EchoServer {
    const NAME: &'static str = "bench.Echo";
}

impl Service<http::Request<Body>> for EchoServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        match request.uri().path() {
            CALL => Box::pin(async move { Ok(grpc().unary(Call, request).await) }),
            STREAM => Box::pin(async move { Ok(grpc().streaming(Stream, request).await) }),
            _ => Box::pin(ready(Ok(Status::unimplemented(
                "the echo service has no such method",
            )
            .into_http()))),
        }
    }
}

fn grpc() -> Grpc<ProstCodec<Payload, Payload>> {
    Grpc::new(ProstCodec::default())
}

struct Call;

impl UnaryService<Payload> for Call {
    type Response = Payload;
    type Future = Ready<Result<Response<Payload>, Status>>;

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}

struct Stream;

impl StreamingService<Payload> for Stream {
    type Response = Payload;
    type ResponseStream = Streaming<Payload>;
    type Future = Ready<Result<Response<Streaming<Payload>>, Status>>;

    fn call(&mut self, request: Request<Streaming<Payload>>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}
