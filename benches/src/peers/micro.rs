//! The framework's own stack, as a user has it: typed client, selector, transport, router, typed handler.

mod carriers;
mod echo;

use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use micro_core::client::Method;
use micro_core::registry::{MemoryRegistry, Node, RegisterOptions, ServiceRecord};
use micro_core::{Client, Registry, Service, Text};

use self::carriers::Carrier;
pub(crate) use self::carriers::{OverGrpc, OverHttp, OverNats, OverOneGrpc, OverRabbitmq, OverTcp, OverUdp};
use self::echo::{EchoServer, Payload};
use super::{Announce, Caller, Peer};

const SERVICE: Text = Text::from_static("bench.echo");
const CALL: Method = Method::new("Echo.Call");
const STREAM: Method = Method::new("Echo.Stream");

/// The framework over a transport.
pub(crate) struct Micro<C>(PhantomData<C>);

impl<C: Carrier> Peer for Micro<C> {
    type Caller = MicroCaller;

    const POOLS: bool = true;

    async fn serve(relay: Option<SocketAddr>, announce: Announce) -> Result<()> {
        let service = Service::builder("bench.echo")
            .transport(C::transport(relay).await?)
            .address("127.0.0.1:0")
            .handler(EchoServer)
            .build()?;
        let running = service.start().await.context("micro cannot start")?;
        announce(&running.address());
        std::future::pending().await
    }

    async fn connect(address: &str, relay: Option<SocketAddr>, callers: usize) -> Result<Vec<MicroCaller>> {
        let registry = Arc::new(MemoryRegistry::new());
        let transport = C::transport(relay).await?;
        let node = Node::new("bench.echo-1", address.to_owned())
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
