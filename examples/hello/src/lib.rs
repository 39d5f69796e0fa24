//! What the three programs share: the generated code, and what answers a call.

#![allow(missing_docs, reason = "generated from the .proto")]

use micro::{Context, Result};

micro::include_proto!("hello");

/// Answers `Hello.Ping`.
pub struct Greeter;

impl Hello for Greeter {
    async fn ping(&self, _: &mut Context, request: PingRequest) -> Result<PingResponse> {
        Ok(PingResponse {
            message: format!("Hello {} ^_^", request.name),
        })
    }
}
