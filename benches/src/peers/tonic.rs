//! Bare tonic: a unary echo and a stream echo, one channel for all callers.

mod service;

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::net::TcpListener;
use tonic::Request;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic_prost::ProstCodec;

use self::service::{CALL, EchoServer, Payload, STREAM};
use super::{Announce, Caller, Peer};

pub(crate) struct Tonic;

impl Peer for Tonic {
    type Caller = TonicCaller;

    async fn serve(_: Option<SocketAddr>, announce: Announce) -> Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("tonic cannot listen on loopback")?;
        announce(&listener.local_addr()?);
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        Server::builder()
            .add_service(EchoServer)
            .serve_with_incoming(incoming)
            .await
            .context("tonic's server failed")
    }

    async fn connect(address: &str, _: Option<SocketAddr>, callers: usize) -> Result<Vec<TonicCaller>> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
        let channel = endpoint
            .connect()
            .await
            .with_context(|| format!("tonic cannot connect to {address}"))?;
        Ok((0..callers)
            .map(|_| TonicCaller(Grpc::new(channel.clone())))
            .collect())
    }
}

/// A caller on a channel that it shares.
pub(crate) struct TonicCaller(Grpc<Channel>);

impl Caller for TonicCaller {
    async fn call(&mut self, payload: Bytes) -> Result<Bytes> {
        self.0.ready().await.context("tonic's channel is closed")?;
        let request = Request::new(Payload { data: payload });
        let path = PathAndQuery::from_static(CALL);
        let reply = self
            .0
            .unary(request, path, ProstCodec::<Payload, Payload>::default())
            .await;
        Ok(reply.context("a call with tonic failed")?.into_inner().data)
    }

    async fn exchange(&mut self, outgoing: impl Stream<Item = Bytes> + Send + 'static) -> Result<u64> {
        self.0.ready().await.context("tonic's channel is closed")?;
        let request = Request::new(outgoing.map(|data| Payload { data }));
        let path = PathAndQuery::from_static(STREAM);
        let reply = self
            .0
            .streaming(request, path, ProstCodec::<Payload, Payload>::default())
            .await;
        let mut incoming = reply
            .context("a stream with tonic cannot be opened")?
            .into_inner();
        let mut messages = 0;
        while incoming
            .message()
            .await
            .context("a stream with tonic broke off")?
            .is_some()
        {
            messages += 1;
        }
        Ok(messages)
    }
}
