//! The peers that are compared, and what each must be able to do.

mod hyper;
mod micro;
mod tarpc;
mod tonic;

use std::fmt;
use std::net::SocketAddr;

use anyhow::{Result, bail};
use bytes::Bytes;
use clap::ValueEnum;
use futures_util::Stream;

pub(crate) use self::hyper::Hyper;
pub(crate) use self::micro::{Micro, OverGrpc, OverHttp, OverOneGrpc, OverTcp};
pub(crate) use self::tarpc::Tarpc;
pub(crate) use self::tonic::Tonic;

/// A peer's name: on the command line, in the tables, and for choosing its implementation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum PeerName {
    /// Raw hyper, HTTP/1.1, one connection per caller
    Hyper,
    /// Bare tonic, gRPC, one channel
    Tonic,
    /// This framework: typed client, selector, pool, HTTP/1.1, router, typed handler
    Micro,
    /// This framework over gRPC, with its default of a few connections
    Grpc,
    /// This framework over gRPC, with one connection
    GrpcOne,
    /// tarpc over TCP, in bincode, one connection
    Tarpc,
    /// This framework over its own TCP transport
    Tcp,
}

impl PeerName {
    /// Whether the peer's callers can [exchange](Caller::exchange) streams.
    pub(crate) fn has_streams(self) -> bool {
        match self {
            Self::Hyper | Self::Tarpc => false,
            Self::Tonic | Self::Micro | Self::Grpc | Self::GrpcOne | Self::Tcp => true,
        }
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Hyper => "hyper",
            Self::Tonic => "tonic",
            Self::Micro => "micro",
            Self::Grpc => "grpc",
            Self::GrpcOne => "grpc-one",
            Self::Tarpc => "tarpc",
            Self::Tcp => "tcp",
        })
    }
}

/// A server that echoes, and callers for it.
pub(crate) trait Peer: 'static {
    /// One caller: it waits for its answer before it calls again.
    type Caller: Caller;

    /// Whether the callers of one [`connect`](Self::connect) share a pool of connections.
    const POOLS: bool = false;

    /// Listens on a free port of the loopback address, announces the address, and serves until it is dropped.
    fn serve(announce: fn(SocketAddr)) -> impl Future<Output = Result<()>> + Send;

    /// Makes so many callers, with their connections as far as the peer opens those in advance.
    ///
    /// What a peer's user would share between callers, such as a channel or a pool, the callers of one `connect` share.
    fn connect(address: SocketAddr, callers: usize)
    -> impl Future<Output = Result<Vec<Self::Caller>>> + Send;
}

/// One caller of a [`Peer`].
pub(crate) trait Caller: Send + 'static {
    /// Sends one message and gives back the echo.
    fn call(&mut self, payload: Bytes) -> impl Future<Output = Result<Bytes>> + Send;

    /// Sends a stream of messages and, at the same time, counts the echoes until the server ends its own stream.
    fn exchange(
        &mut self,
        _outgoing: impl Stream<Item = Bytes> + Send + 'static,
    ) -> impl Future<Output = Result<u64>> + Send {
        async { bail!("this peer has no streams") }
    }
}
