//! A service of tonic, as its code generator would write it; by hand, so that no generator is needed.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{self, Poll};

use futures_util::{Stream, StreamExt, stream};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::metadata::MetadataMap;
use tonic::server::{
    ClientStreamingService, Grpc, NamedService, ServerStreamingService, StreamingService, UnaryService,
};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::message::{Dropped, Guard, Payload};

/// What the service saw and noticed.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) metadata: Arc<Mutex<MetadataMap>>,
    /// By what name each call came.
    pub(crate) authorities: Arc<Mutex<Vec<String>>>,
    pub(crate) began: Arc<Semaphore>,
    pub(crate) dropped: Dropped,
}

/// A service that runs until it is dropped.
pub(crate) struct Running {
    pub(crate) address: String,
    pub(crate) seen: Seen,
    _task: AbortOnDropHandle<()>,
}

pub(crate) async fn serve() -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let seen = Seen {
        metadata: Arc::default(),
        authorities: Arc::default(),
        began: Arc::new(Semaphore::new(0)),
        dropped: Dropped::new(),
    };
    let served = Server::builder()
        .add_service(EchoServer(seen.clone()))
        .serve_with_incoming(TcpIncoming::from(listener));
    let task = tokio::spawn(async move { served.await.unwrap() });
    Running {
        address,
        seen,
        _task: AbortOnDropHandle::new(task),
    }
}

#[derive(Clone)]
struct EchoServer(Seen);

impl NamedService for EchoServer {
    // Like a service of anybody: its package is a part of its name.
    const NAME: &'static str = "interop.Echo";
}

impl Service<http::Request<Body>> for EchoServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let authority = request.uri().authority().map(ToString::to_string);
        self.0.authorities.lock().unwrap().extend(authority);
        let methods = Methods(self.0.clone());
        let method = request
            .uri()
            .path()
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        Box::pin(async move {
            Ok(match method.as_str() {
                "Call" | "Fail" | "Hang" => grpc().unary(methods, request).await,
                "Count" | "HangLater" => grpc().server_streaming(methods, request).await,
                "Sum" => grpc().client_streaming(methods, request).await,
                "Stream" => grpc().streaming(methods, request).await,
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

fn grpc() -> Grpc<ProstCodec<Payload, Payload>> {
    Grpc::new(ProstCodec::default())
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip)
}

struct Methods(Seen);

type Messages = Pin<Box<dyn Stream<Item = Result<Payload, Status>> + Send>>;

impl UnaryService<Payload> for Methods {
    type Response = Payload;
    type Future = BoxFuture<Response<Payload>, Status>;

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        let seen = self.0.clone();
        *seen.metadata.lock().unwrap() = request.metadata().clone();
        Box::pin(async move {
            match &*request.get_ref().data {
                b"fail" => {
                    let mut metadata = MetadataMap::new();
                    metadata.insert("x-why", "asked".parse().unwrap());
                    Err(Status::with_metadata(
                        Code::NotFound,
                        "no such thing: 東京 100%",
                        metadata,
                    ))
                }
                b"hang" => {
                    let _guard = seen.dropped.guard();
                    seen.began.add_permits(1);
                    std::future::pending().await
                }
                data => {
                    let says_what_it_reads = data.starts_with(b"gzip?");
                    let mut response = Response::new(request.into_inner());
                    if says_what_it_reads {
                        let accepted = "identity, deflate, gzip".parse().unwrap();
                        response.metadata_mut().insert("grpc-accept-encoding", accepted);
                    }
                    response
                        .metadata_mut()
                        .insert("answered-by", "tonic".parse().unwrap());
                    Ok(response)
                }
            }
        })
    }
}

impl ServerStreamingService<Payload> for Methods {
    type Response = Payload;
    type ResponseStream = Messages;
    type Future = BoxFuture<Response<Messages>, Status>;

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        let guard: Guard = self.0.dropped.guard();
        Box::pin(async move {
            let messages: Messages = match &*request.get_ref().data {
                b"hang" => {
                    let first = stream::iter([Ok(Payload::number(1))]);
                    Box::pin(first.chain(stream::pending()).map(move |message| {
                        let _ = &guard;
                        message
                    }))
                }
                b"fail" => Box::pin(stream::iter([
                    Ok(Payload::number(1)),
                    Err(Status::permission_denied("enough")),
                ])),
                _ => Box::pin(stream::iter(
                    (0..request.get_ref().to_number()).map(|at| Ok(Payload::number(at))),
                )),
            };
            Ok(Response::new(messages))
        })
    }
}

impl ClientStreamingService<Payload> for Methods {
    type Response = Payload;
    type Future = BoxFuture<Response<Payload>, Status>;

    fn call(&mut self, request: Request<Streaming<Payload>>) -> Self::Future {
        Box::pin(async move {
            let mut messages = request.into_inner();
            let mut sum = 0;
            while let Some(message) = messages.message().await? {
                sum += message.to_number();
            }
            Ok(Response::new(Payload::number(sum)))
        })
    }
}

impl StreamingService<Payload> for Methods {
    type Response = Payload;
    type ResponseStream = Streaming<Payload>;
    type Future = BoxFuture<Response<Streaming<Payload>>, Status>;

    fn call(&mut self, request: Request<Streaming<Payload>>) -> Self::Future {
        Box::pin(async move { Ok(Response::new(request.into_inner())) })
    }
}
