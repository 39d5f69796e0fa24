//! The calling end: a node, its connections, and many calls on each.

mod call;
mod driver;
mod link;
mod links;
mod stream;

use std::sync::Arc;

use async_trait::async_trait;
use micro_core::handler::CallKind;
use micro_core::transport::socket::Connector;
use micro_core::{Error, Handler, Request, Response, Result, Text};

use self::links::{Links, Size};
use crate::config::TcpConfig;

/// The id of errors that are made here.
const CLIENT: &str = "go.micro.client";

/// A node that was dialled.
pub(crate) struct TcpPeer {
    address: Text,
    large_from: usize,
    /// The connections that calls share, and those where a large request has one to itself.
    shared: Arc<Links>,
    large: Arc<Links>,
}

impl TcpPeer {
    pub(crate) fn new(address: &str, config: &TcpConfig, connector: Connector) -> Result<Self> {
        let port = address
            .rsplit_once(':')
            .filter(|(host, _)| !host.is_empty() && !host.contains(char::is_whitespace))
            .map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(1..))) {
            return Err(Error::bad_request(
                CLIENT,
                format!("connection error: node address {address:?} is not host:port, which the tcp transport needs"),
            )
            .never_started());
        }
        let shared = Size {
            connections: config.connections.max(1),
            calls: config.calls_per_connection.max(1),
        };
        let large = Size {
            connections: config.large_connections.max(1),
            calls: 1,
        };
        Ok(Self {
            address: address.into(),
            large_from: config.large_from,
            shared: Links::new(address, config, connector.clone(), shared),
            large: Links::new(address, config, connector, large),
        })
    }

    /// The connections for a request.
    fn links(&self, request: &Request) -> &Arc<Links> {
        match request.body.as_single() {
            Some(message) if message.len() >= self.large_from => &self.large,
            _ => &self.shared,
        }
    }
}

#[async_trait]
impl Handler for TcpPeer {
    async fn handle(&self, mut request: Request) -> Result<Response> {
        if is_exchange(&request) {
            return call::exchange(self.links(&request), &mut request).await;
        }
        // Boxed, so that the future of a call of one message has no room for a stream's.
        Box::pin(stream::open(self.links(&request), request)).await
    }

    async fn handle_kept(&self, request: &mut Request) -> Result<Response> {
        if is_exchange(request) {
            return call::exchange(self.links(request), request).await;
        }
        match request.try_clone() {
            Some(copy) => self.handle(copy).await,
            None => Err(Error::bad_request(
                CLIENT,
                format!(
                    "{} {} at {}: a request whose body is a stream can be sent once only",
                    request.service, request.endpoint, self.address
                ),
            )
            .never_started()),
        }
    }
}

/// Whether one message goes out and one comes back.
fn is_exchange(request: &Request) -> bool {
    request.kind == CallKind::Unary && !request.body.is_stream()
}
