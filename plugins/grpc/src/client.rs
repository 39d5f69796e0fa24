//! The calling end: a node, its connections, and many calls on each.

mod call;
mod head;
mod link;
mod links;
mod stream;
mod terms;

use std::sync::Arc;

use async_trait::async_trait;
use micro_core::handler::CallKind;
use micro_core::registry::Node;
use micro_core::{Error, Handler, Request, Response, Result, Text};

use self::head::Heads;
use self::links::Links;
use crate::config::GrpcConfig;
use crate::security::Security;
use crate::transport::AUTHORITY;

/// The id of errors that are made here.
const CLIENT: &str = "go.micro.client";

/// A node that was dialled.
pub(crate) struct GrpcPeer(Arc<PeerShared>);

struct PeerShared {
    address: Text,
    config: GrpcConfig,
    heads: Heads,
    links: Arc<Links>,
}

impl GrpcPeer {
    pub(crate) fn new(node: &Node, config: &GrpcConfig, security: Arc<Security>) -> Result<Self> {
        let address = node.address.as_str();
        let authority = node.metadata.get(AUTHORITY).map_or(address, String::as_str);
        let port = address
            .rsplit_once(':')
            .filter(|(host, _)| !host.is_empty())
            .map(|(_, port)| port.parse::<u16>());
        let is_host_and_port = matches!(port, Some(Ok(1..)));
        let heads =
            Heads::new(authority, security.is_encrypted())
                .filter(|_| is_host_and_port)
                .ok_or_else(|| {
                    let (what, said) = match authority == address {
                        true => ("node address", address),
                        false => ("a node's grpc-authority", authority),
                    };
                    Error::bad_request(
                CLIENT,
                format!("connection error: {what} {said:?} is not host:port, which the grpc transport needs"),
            )
            .never_started()
                })?;
        Ok(Self(Arc::new(PeerShared {
            address: address.into(),
            config: config.clone(),
            heads,
            links: Links::new(address, authority, config, security),
        })))
    }
}

#[async_trait]
impl Handler for GrpcPeer {
    async fn handle(&self, mut request: Request) -> Result<Response> {
        if is_exchange(&request) {
            return call::exchange(&self.0, &mut request).await;
        }
        // Boxed, so that the future of a call of one message has no room for a stream's.
        Box::pin(stream::open(&self.0, request)).await
    }

    async fn handle_kept(&self, request: &mut Request) -> Result<Response> {
        if is_exchange(request) {
            return call::exchange(&self.0, request).await;
        }
        match request.try_clone() {
            Some(copy) => self.handle(copy).await,
            None => Err(Error::bad_request(
                CLIENT,
                format!(
                    "{} {}: a request whose body is a stream can be sent once only",
                    request.service, request.endpoint
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
