//! The transports that the framework is measured over, each as it is by default.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use micro_core::Transport;
use micro_core::transport::HttpTransport;
use micro_core::transport::http::HttpConfig;
use micro_grpc::{GrpcConfig, GrpcTransport};
use micro_nats_transport::{NatsTransport, NatsTransportConfig};
use micro_rabbitmq_transport::{RabbitmqTransport, RabbitmqTransportConfig};
use micro_tcp::{TcpConfig, TcpTransport};
use micro_udp::{UdpConfig, UdpTransport};

use super::super::required;

/// A transport that the framework is measured over.
pub(crate) trait Carrier: Send + 'static {
    /// The `relay` is the server that it goes over, if it goes over one.
    fn transport(relay: Option<SocketAddr>) -> impl Future<Output = Result<Arc<dyn Transport>>> + Send;
}

/// The default: HTTP/1.1, a connection for each call under way.
pub(crate) struct OverHttp;

/// gRPC as it is by default: a few connections, which calls share.
pub(crate) struct OverGrpc;

/// gRPC over one connection, as tonic's channel has it.
pub(crate) struct OverOneGrpc;

/// Our own frames over TCP.
pub(crate) struct OverTcp;

/// Our own datagrams.
pub(crate) struct OverUdp;

/// NATS: one connection for all callers.
pub(crate) struct OverNats;

/// RabbitMQ: one connection for all callers.
pub(crate) struct OverRabbitmq;

impl Carrier for OverHttp {
    async fn transport(_: Option<SocketAddr>) -> Result<Arc<dyn Transport>> {
        Ok(Arc::new(HttpTransport::new(HttpConfig::default())?))
    }
}

impl Carrier for OverGrpc {
    async fn transport(_: Option<SocketAddr>) -> Result<Arc<dyn Transport>> {
        Ok(Arc::new(GrpcTransport::new(GrpcConfig::default())?))
    }
}

impl Carrier for OverOneGrpc {
    async fn transport(_: Option<SocketAddr>) -> Result<Arc<dyn Transport>> {
        let config = GrpcConfig {
            connections: 1,
            ..GrpcConfig::default()
        };
        Ok(Arc::new(GrpcTransport::new(config)?))
    }
}

impl Carrier for OverTcp {
    async fn transport(_: Option<SocketAddr>) -> Result<Arc<dyn Transport>> {
        Ok(Arc::new(TcpTransport::new(TcpConfig::default())?))
    }
}

impl Carrier for OverUdp {
    async fn transport(_: Option<SocketAddr>) -> Result<Arc<dyn Transport>> {
        Ok(Arc::new(UdpTransport::new(UdpConfig::default())))
    }
}

impl Carrier for OverNats {
    async fn transport(relay: Option<SocketAddr>) -> Result<Arc<dyn Transport>> {
        let config = NatsTransportConfig::from_addresses(&[required(relay)?.to_string()])?;
        Ok(Arc::new(NatsTransport::connect(config).await?))
    }
}

impl Carrier for OverRabbitmq {
    async fn transport(relay: Option<SocketAddr>) -> Result<Arc<dyn Transport>> {
        let config = RabbitmqTransportConfig::from_addresses(&[required(relay)?.to_string()])?;
        Ok(Arc::new(RabbitmqTransport::connect(config).await?))
    }
}
