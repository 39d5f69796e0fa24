//! What the tests against real peers share: the greeter that both languages have.

#![allow(missing_docs, reason = "generated from the .proto")]

pub mod interop;

use std::time::Duration;

use micro::handler::{StreamSender, Streaming};
use micro::{Context, Error, Result};

micro::include_proto!("greeter");

/// The greeter, in Rust: does what the one in Go does.
pub struct RustGreeter;

impl Greeter for RustGreeter {
    async fn hello(&self, context: &mut Context, request: HelloRequest) -> Result<HelloResponse> {
        let times = usize::try_from(request.times.max(1)).unwrap_or(1);
        let headers = context.metadata().iter();
        Ok(HelloResponse {
            greeting: vec![format!("Hello {}", request.name); times].join(", "),
            served_by: "micro-rust".to_owned(),
            headers: headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
            seq: 0,
        })
    }

    async fn fail(&self, _: &mut Context, request: FailRequest) -> Result<HelloResponse> {
        if request.plain {
            return Err(Error::new("", 0, request.detail));
        }
        Err(Error::new(request.id, request.code, request.detail))
    }

    async fn sleep(&self, context: &mut Context, request: SleepRequest) -> Result<HelloResponse> {
        let remaining = context
            .remaining()
            .map(|remaining| remaining.as_millis().to_string());
        tokio::time::sleep(Duration::from_millis(request.milliseconds.unsigned_abs())).await;
        Ok(HelloResponse {
            greeting: remaining.unwrap_or_default(),
            ..HelloResponse::default()
        })
    }

    async fn count(
        &self,
        _: &mut Context,
        request: CountRequest,
        replies: StreamSender<HelloResponse>,
    ) -> Result<()> {
        for seq in 1..=request.count {
            replies
                .send(HelloResponse {
                    greeting: format!("count {seq}"),
                    seq,
                    ..HelloResponse::default()
                })
                .await?;
        }
        Ok(())
    }

    async fn echo(
        &self,
        _: &mut Context,
        mut requests: Streaming<HelloRequest>,
        replies: StreamSender<HelloResponse>,
    ) -> Result<()> {
        let mut seq = 0;
        while let Some(request) = requests.message().await? {
            seq += 1;
            let greeting = format!("echo {}", request.name);
            replies
                .send(HelloResponse {
                    greeting,
                    seq,
                    ..HelloResponse::default()
                })
                .await?;
        }
        Ok(())
    }
}
