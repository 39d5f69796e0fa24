//! A client of tonic.

use tonic::client::Grpc;
use tonic::codec::CompressionEncoding;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::tokio_stream::Stream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::message::Payload;

/// A client, and the calls that tonic's generator would write for it.
#[derive(Clone)]
pub(crate) struct Caller(Grpc<Channel>);

fn codec() -> ProstCodec<Payload, Payload> {
    ProstCodec::default()
}

fn path(method: &str) -> PathAndQuery {
    PathAndQuery::try_from(format!("/interop.Echo/{method}")).unwrap()
}

impl Caller {
    pub(crate) async fn connect(address: &str) -> Self {
        Self::connect_with(address, None).await
    }

    /// With so many bytes on their way to it at once, which are its default where none are given.
    pub(crate) async fn connect_with(address: &str, window: Option<u32>) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let endpoint = endpoint.initial_connection_window_size(window);
        Self(Grpc::new(endpoint.connect().await.unwrap()))
    }

    pub(crate) fn over(channel: Channel) -> Self {
        Self(Grpc::new(channel))
    }

    pub(crate) fn compressed(self) -> Self {
        let grpc = self.0.send_compressed(CompressionEncoding::Gzip);
        Self(grpc.accept_compressed(CompressionEncoding::Gzip))
    }

    pub(crate) async fn unary(
        &mut self,
        method: &str,
        request: Request<Payload>,
    ) -> Result<Response<Payload>, Status> {
        self.0.ready().await.unwrap();
        self.0.unary(request, path(method), codec()).await
    }

    pub(crate) async fn server_streaming(
        &mut self,
        method: &str,
        request: Payload,
    ) -> Result<Response<Streaming<Payload>>, Status> {
        self.0.ready().await.unwrap();
        self.0
            .server_streaming(Request::new(request), path(method), codec())
            .await
    }

    pub(crate) async fn client_streaming(
        &mut self,
        method: &str,
        requests: impl Stream<Item = Payload> + Send + 'static,
    ) -> Result<Response<Payload>, Status> {
        self.0.ready().await.unwrap();
        self.0
            .client_streaming(Request::new(requests), path(method), codec())
            .await
    }

    pub(crate) async fn streaming(
        &mut self,
        method: &str,
        requests: impl Stream<Item = Payload> + Send + 'static,
    ) -> Result<Response<Streaming<Payload>>, Status> {
        self.0.ready().await.unwrap();
        self.0
            .streaming(Request::new(requests), path(method), codec())
            .await
    }
}
