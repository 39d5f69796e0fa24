//! Ends of HTTP/2 connections that know nothing of gRPC, and what listens for them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue};
use micro_core::handler::handler_fn;
use micro_core::registry::Node;
use micro_core::transport::Listener;
use micro_core::{Handler, Request, Response, Result, Transport};
use micro_grpc::{GrpcConfig, GrpcTransport};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// Waits for what should happen at once.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, future)
        .await
        .expect("not within 20 s")
}

/// Serves a function.
pub(crate) async fn serve<F, Fut>(config: GrpcConfig, function: F) -> Box<dyn Listener>
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response>> + Send + 'static,
{
    let transport = GrpcTransport::new(config).unwrap();
    transport
        .listen("127.0.0.1:0", Arc::new(handler_fn(function)))
        .await
        .unwrap()
}

/// Serves what answers each request with its own body.
pub(crate) async fn serve_echo(config: GrpcConfig) -> Box<dyn Listener> {
    serve(config, |mut request| async move {
        Ok(Response::new(request.take_body()))
    })
    .await
}

pub(crate) async fn dial(address: &str, config: GrpcConfig) -> Arc<dyn Handler> {
    let transport = GrpcTransport::new(config).unwrap();
    transport.dial(&Node::new("node-1", address)).await.unwrap()
}

/// A client's end of a connection.
pub(crate) struct RawCaller {
    pub(crate) requests: SendRequest<Bytes>,
    pub(crate) connection: AbortOnDropHandle<Result<(), h2::Error>>,
}

pub(crate) async fn connect(address: &str) -> RawCaller {
    let stream = TcpStream::connect(address).await.unwrap();
    let (requests, connection) = h2::client::handshake(stream).await.unwrap();
    RawCaller {
        requests,
        connection: AbortOnDropHandle::new(tokio::spawn(connection)),
    }
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: HeaderMap,
}

impl Answer {
    /// The status of gRPC, of the trailers or of the head where there are none.
    pub(crate) fn grpc_status(&self) -> &str {
        let status = self
            .trailers
            .get("grpc-status")
            .or(self.headers.get("grpc-status"));
        status.map_or("", |status| status.to_str().unwrap())
    }
}

/// The head of a call of gRPC.
pub(crate) fn head(path: &str, headers: &[(&'static str, &str)]) -> http::Request<()> {
    let mut head = http::Request::post(format!("http://wire{path}"))
        .body(())
        .unwrap();
    for (name, value) in headers {
        head.headers_mut()
            .append(*name, HeaderValue::from_str(value).unwrap());
    }
    head
}

impl RawCaller {
    pub(crate) async fn call(
        &mut self,
        head: http::Request<()>,
        body: &'static [u8],
    ) -> Result<Answer, h2::Error> {
        soon(async {
            std::future::poll_fn(|context| self.requests.poll_ready(context)).await?;
            let (response, mut stream) = self.requests.send_request(head, false)?;
            stream.send_data(Bytes::from_static(body), true)?;
            read(response.await?).await
        })
        .await
    }
}

pub(crate) async fn read(response: http::Response<h2::RecvStream>) -> Result<Answer, h2::Error> {
    let (head, mut stream) = response.into_parts();
    let mut body = Vec::new();
    while let Some(bytes) = stream.data().await {
        let bytes = bytes?;
        let _ = stream.flow_control().release_capacity(bytes.len());
        body.extend_from_slice(&bytes);
    }
    Ok(Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body,
        trailers: stream.trailers().await?.unwrap_or_default(),
    })
}

/// A server's end of one connection after the other, each given to a function.
pub(crate) async fn accept<F, Fut>(serve: F) -> (String, AbortOnDropHandle<()>)
where
    F: Fn(h2::server::Connection<TcpStream, Bytes>) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(connection) = h2::server::handshake(stream).await {
                serve(connection).await;
            }
        }
    });
    (address, AbortOnDropHandle::new(task))
}
