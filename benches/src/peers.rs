//! The peers that are compared, and what each must be able to do.

mod hyper;
mod lapin;
mod micro;
mod nats;
mod tarpc;
mod tonic;
mod udp;

use std::fmt;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clap::ValueEnum;
use futures_util::Stream;
use servers::Kind;

pub(crate) use self::hyper::Hyper;
pub(crate) use self::lapin::Lapin;
pub(crate) use self::micro::{
    Micro, OverGrpc, OverHttp, OverNats, OverOneGrpc, OverRabbitmq, OverTcp, OverUdp,
};
pub(crate) use self::nats::Nats;
pub(crate) use self::tarpc::Tarpc;
pub(crate) use self::tonic::Tonic;
pub(crate) use self::udp::Udp;

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
    /// Datagrams with a number each, one socket per caller
    UdpRaw,
    /// This framework over its UDP transport
    Udp,
    /// async-nats: requests, and a queue that answers them, one connection
    NatsRaw,
    /// This framework over NATS
    Nats,
    /// lapin: a queue of requests and one of answers, one connection
    RabbitmqRaw,
    /// This framework over RabbitMQ
    Rabbitmq,
}

impl PeerName {
    /// Whether the peer's callers can [exchange](Caller::exchange) streams.
    pub(crate) fn has_streams(self) -> bool {
        match self {
            Self::Hyper | Self::Tarpc | Self::UdpRaw | Self::Udp | Self::NatsRaw | Self::RabbitmqRaw => false,
            Self::Tonic
            | Self::Micro
            | Self::Grpc
            | Self::GrpcOne
            | Self::Tcp
            | Self::Nats
            | Self::Rabbitmq => true,
        }
    }

    /// Whether the peer carries messages of so many bytes, as it is by default.
    pub(crate) fn carries(self, size: usize) -> bool {
        match self {
            // What fits into a datagram, beside what each of them says of its own.
            Self::Udp => size <= 1024,
            Self::UdpRaw => size <= udp::LARGEST,
            // NATS takes a MiB, and ours is a third more in Go Micro's message.
            Self::Nats => size <= 700 * 1024,
            _ => true,
        }
    }

    /// The server that stands between the peer's processes, where one does.
    pub(crate) fn relay(self) -> Option<Kind> {
        match self {
            Self::Nats | Self::NatsRaw => Some(Kind::Nats),
            Self::Rabbitmq | Self::RabbitmqRaw => Some(Kind::Rabbitmq),
            _ => None,
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
            Self::UdpRaw => "udp-raw",
            Self::Udp => "udp",
            Self::NatsRaw => "nats-raw",
            Self::Nats => "nats",
            Self::RabbitmqRaw => "rabbitmq-raw",
            Self::Rabbitmq => "rabbitmq",
        })
    }
}

/// Tells where a server is.
pub(crate) type Announce = fn(&dyn fmt::Display);

/// The address of the server in between.
fn required(relay: Option<SocketAddr>) -> Result<SocketAddr> {
    relay.context("this peer calls over a server: say where it is with --relay ADDRESS")
}

/// A server that echoes, and callers for it.
///
/// The `relay` is the server that stands between both, of peers that have one.
pub(crate) trait Peer: 'static {
    /// One caller: it waits for its answer before it calls again.
    type Caller: Caller;

    /// Whether the callers of one [`connect`](Self::connect) share a pool of connections.
    const POOLS: bool = false;

    /// Listens on a free port of the loopback address or at a name of its own, announces where, and serves until it is
    /// dropped.
    fn serve(relay: Option<SocketAddr>, announce: Announce) -> impl Future<Output = Result<()>> + Send;

    /// Makes so many callers, with their connections as far as the peer opens those in advance.
    ///
    /// What a peer's user would share between callers, such as a channel or a pool, the callers of one `connect` share.
    fn connect(
        address: &str,
        relay: Option<SocketAddr>,
        callers: usize,
    ) -> impl Future<Output = Result<Vec<Self::Caller>>> + Send;
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
