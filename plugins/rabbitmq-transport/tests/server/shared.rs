//! The RabbitMQ that is there for all tests, and what all tests do with transports.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use micro_core::handler::handler_fn;
use micro_core::registry::Node;
use micro_core::{Handler, Request, Response, Result, Transport};
use micro_rabbitmq_transport::{RabbitmqServer, RabbitmqTransport, RabbitmqTransportConfig};
use tokio::time::timeout;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The RabbitMQ that `MICRO_RABBITMQ` names as `host:port`, or else that of this machine.
pub(crate) fn shared() -> SocketAddr {
    let named = std::env::var("MICRO_RABBITMQ").unwrap_or_else(|_| "127.0.0.1:5672".into());
    named.to_socket_addrs().unwrap().next().unwrap()
}

pub(crate) fn at(address: SocketAddr) -> RabbitmqTransportConfig {
    RabbitmqTransportConfig {
        server: RabbitmqServer {
            addresses: vec![address.to_string()],
            heartbeat: Duration::from_secs(2),
            ..RabbitmqServer::default()
        },
        presence_interval: Duration::from_millis(500),
        ..RabbitmqTransportConfig::default()
    }
}

pub(crate) async fn connect(config: RabbitmqTransportConfig) -> RabbitmqTransport {
    RabbitmqTransport::connect(config).await.unwrap()
}

pub(crate) fn echo() -> Arc<dyn Handler> {
    Arc::new(handler_fn(|mut request: Request| async move {
        Ok(Response::new(request.take_body()))
    }))
}

pub(crate) fn never() -> Arc<dyn Handler> {
    Arc::new(handler_fn(|_| std::future::pending::<Result<Response>>()))
}

pub(crate) async fn dial(transport: &RabbitmqTransport, address: &str) -> Arc<dyn Handler> {
    transport.dial(&Node::new("node-1", address)).await.unwrap()
}

pub(crate) async fn call(peer: &Arc<dyn Handler>, body: &'static str) -> Result<Bytes> {
    let answer = async {
        peer.handle(Request::new("kit", "Kit.Call", body))
            .await?
            .body
            .single()
            .await
    };
    timeout(PATIENCE, answer).await.expect("an answer in time")
}
