//! The framework's own stack, as a user has it: typed client, selector, transport, router, typed handler.

mod echo;

use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use micro_core::client::Method;
use micro_core::registry::{MemoryRegistry, Node, RegisterOptions, ServiceRecord};
use micro_core::transport::HttpTransport;
use micro_core::transport::http::HttpConfig;
use micro_core::{Client, Registry, Service, Text, Transport};
use micro_grpc::{GrpcConfig, GrpcTransport};
use micro_tcp::{TcpConfig, TcpTransport};

use self::echo::{EchoServer, Payload};
use super::{Caller, Peer};

const SERVICE: Text = Text::from_static("bench.echo");
const CALL: Method = Method::new("Echo.Call");
const STREAM: Method = Method::new("Echo.Stream");

/// The framework over a transport.
pub(crate) struct Micro<C>(PhantomData<C>);

/// A transport that the framework is measured over.
pub(crate) trait Carrier: Send + 'static {
    fn transport() -> Result<Arc<dyn Transport>>;
}

/// The default: HTTP/1.1, a connection for each call under way.
pub(crate) struct OverHttp;

/// gRPC as it is by default: a few connections, which calls share.
pub(crate) struct OverGrpc;

/// gRPC over one connection, as tonic's channel has it.
pub(crate) struct OverOneGrpc;

/// Our own frames over TCP, as they are by default.
pub(crate) struct OverTcp;

impl Carrier for OverTcp {
    fn transport() -> Result<Arc<dyn Transport>> {
        Ok(Arc::new(TcpTransport::new(TcpConfig::default())?))
    }
}

impl Carrier for OverHttp {
    fn transport() -> Result<Arc<dyn Transport>> {
        Ok(Arc::new(HttpTransport::new(HttpConfig::default())?))
    }
}

impl Carrier for OverGrpc {
    fn transport() -> Result<Arc<dyn Transport>> {
        Ok(Arc::new(GrpcTransport::new(GrpcConfig::default())?))
    }
}

impl Carrier for OverOneGrpc {
    fn transport() -> Result<Arc<dyn Transport>> {
        let config = GrpcConfig {
            connections: 1,
            ..GrpcConfig::default()
        };
        Ok(Arc::new(GrpcTransport::new(config)?))
    }
}

impl<C: Carrier> Peer for Micro<C> {
    type Caller = MicroCaller;

    const POOLS: bool = true;

    async fn serve(announce: fn(SocketAddr)) -> Result<()> {
        let service = Service::builder("bench.echo")
            .transport(C::transport()?)
            .address("127.0.0.1:0")
            .handler(EchoServer)
            .build()?;
        let running = service.start().await.context("micro cannot start")?;
        announce(running.address().parse()?);
        std::future::pending().await
    }

    async fn connect(address: SocketAddr, callers: usize) -> Result<Vec<MicroCaller>> {
        let registry = Arc::new(MemoryRegistry::new());
        let transport = C::transport()?;
        let node = Node::new("bench.echo-1", address.to_string())
            .with_metadata("protocol", transport.protocol())
            .with_metadata("transport", transport.name());
        let record = ServiceRecord::new("bench.echo", "latest").with_nodes(vec![node]);
        registry.register(&record, RegisterOptions::default()).await?;
        let client = Client::new(registry, transport);
        Ok((0..callers).map(|_| MicroCaller(client.clone())).collect())
    }
}

/// A caller on a client that it shares.
pub(crate) struct MicroCaller(Client);

impl Caller for MicroCaller {
    async fn call(&mut self, payload: Bytes) -> Result<Bytes> {
        let reply: Payload = self.0.unary(&SERVICE, CALL, &Payload { data: payload }).await?;
        Ok(reply.data)
    }

    async fn exchange(&mut self, outgoing: impl Stream<Item = Bytes> + Send + 'static) -> Result<u64> {
        let (sender, mut replies) = self
            .0
            .bidirectional_streaming::<Payload, Payload>(&SERVICE, STREAM)?;
        let send = async move {
            let mut outgoing = std::pin::pin!(outgoing);
            while let Some(data) = outgoing.next().await {
                sender.send(Payload { data }).await?;
            }
            Ok::<_, micro_core::Error>(())
        };
        let receive = async {
            let mut messages = 0;
            while replies.message().await?.is_some() {
                messages += 1;
            }
            Ok(messages)
        };
        let ((), messages) = tokio::try_join!(send, receive)?;
        Ok(messages)
    }
}
