//! What every gRPC server is asked about itself: whether it is well, and what there is to call.

mod health;
mod reflection;

use std::sync::Arc;

use async_trait::async_trait;
use micro_core::codec::PROTOBUF;
use micro_core::debug::Diagnostics;
use micro_core::{Error, Handler, Request, Response, Result};
use prost::Message;

pub(super) use self::reflection::Files;
use super::call::SERVER;

/// Answers what is asked about the service, and leaves the rest to it.
pub(super) struct Builtin {
    diagnostics: Diagnostics,
    files: Arc<Files>,
    service: Arc<dyn Handler>,
}

impl Builtin {
    pub(super) fn new(diagnostics: Diagnostics, files: Arc<Files>, service: Arc<dyn Handler>) -> Self {
        Self {
            files,
            diagnostics,
            service,
        }
    }
}

#[async_trait]
impl Handler for Builtin {
    async fn handle(&self, request: Request) -> Result<Response> {
        match (request.service.as_str(), request.endpoint.as_str()) {
            ("grpc.health.v1", endpoint) if endpoint.starts_with("Health.") => {
                health::answer(&self.diagnostics, &self.files, request).await
            }
            ("grpc.reflection.v1" | "grpc.reflection.v1alpha", "ServerReflection.ServerReflectionInfo") => {
                reflection::answer(&self.diagnostics, self.files.clone(), request)
            }
            _ => self.service.handle(request).await,
        }
    }
}

/// Refuses other formats than Protobuf.
fn check_format(request: &Request) -> Result<()> {
    match request.content_type == PROTOBUF {
        true => Ok(()),
        false => Err(Error::server(
            415,
            format!(
                "{}: {} is not read here; ask in Protobuf",
                request.endpoint, request.content_type
            ),
        )),
    }
}

fn decode<M: Message + Default>(message: &[u8], endpoint: &str) -> Result<M> {
    M::decode(message).map_err(|problem| {
        Error::bad_request(
            SERVER,
            format!("{endpoint}: the request cannot be read: {problem}"),
        )
    })
}
