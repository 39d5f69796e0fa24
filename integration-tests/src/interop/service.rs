//! The tests' service, in Rust.

use std::sync::Arc;
use std::time::Duration;

use micro::handler::{StreamSender, Streaming, wrapper_fn};
use micro::registry::MemoryRegistry;
use micro::service::RunningService;
use micro::{Context, Error, Handler, Request, Result, Service, Transport};

use super::testing::{
    EchoStatus, Empty, Payload, SimpleRequest, SimpleResponse, StreamingInputCallRequest,
    StreamingInputCallResponse, StreamingOutputCallRequest, StreamingOutputCallResponse, TestService,
    TestServiceServer,
};
use super::{INITIAL, PACKAGE, TRAILING};

/// The largest payload that is made, in bytes: more than any case asks for.
const LARGEST: usize = 4 * 1024 * 1024;

/// Serves on loopback until it is stopped.
pub async fn serve(transport: Arc<dyn Transport>) -> Result<RunningService> {
    let service = Service::builder(PACKAGE)
        .registry(Arc::new(MemoryRegistry::new()))
        .transport(transport)
        .address("127.0.0.1:0")
        .handler(TestServiceServer::new(RustService))
        .wrap_server(wrapper_fn(echo_metadata));
    service.build()?.start().await
}

/// Sends the metadata back that are to be sent back, the ones before the messages and the others after them.
async fn echo_metadata(request: Request, next: Arc<dyn Handler>) -> Result<micro::Response> {
    let initial = request.metadata.get(INITIAL).map(str::to_owned);
    let trailing = request.metadata.get(TRAILING).map(str::to_owned);
    let mut response = next.handle(request).await?;
    if let Some(initial) = initial {
        response.metadata.insert(INITIAL, initial);
    }
    if let Some(trailing) = trailing {
        response
            .metadata
            .insert(format!("grpc-trailer-{TRAILING}"), trailing);
    }
    Ok(response)
}

struct RustService;

impl TestService for RustService {
    async fn empty_call(&self, _: &mut Context, _: Empty) -> Result<Empty> {
        Ok(Empty {})
    }

    async fn unary_call(&self, context: &mut Context, request: SimpleRequest) -> Result<SimpleResponse> {
        end_as(request.response_status)?;
        let server_id = match (request.fill_server_id, context.peer()) {
            (true, Some(peer)) => peer.local.to_string(),
            _ => String::new(),
        };
        Ok(SimpleResponse {
            payload: Some(payload(request.response_size)?),
            server_id,
        })
    }

    async fn streaming_output_call(
        &self,
        _: &mut Context,
        request: StreamingOutputCallRequest,
        replies: StreamSender<StreamingOutputCallResponse>,
    ) -> Result<()> {
        answer(&request, &replies).await
    }

    async fn streaming_input_call(
        &self,
        _: &mut Context,
        mut requests: Streaming<StreamingInputCallRequest>,
    ) -> Result<StreamingInputCallResponse> {
        let mut size = 0;
        while let Some(request) = requests.message().await? {
            size += request.payload.map_or(0, |payload| payload.body.len());
        }
        Ok(StreamingInputCallResponse {
            aggregated_payload_size: i32::try_from(size).unwrap_or(i32::MAX),
        })
    }

    async fn full_duplex_call(
        &self,
        _: &mut Context,
        mut requests: Streaming<StreamingOutputCallRequest>,
        replies: StreamSender<StreamingOutputCallResponse>,
    ) -> Result<()> {
        while let Some(request) = requests.message().await? {
            answer(&request, &replies).await?;
            end_as(request.response_status)?;
        }
        Ok(())
    }

    async fn half_duplex_call(
        &self,
        _: &mut Context,
        mut requests: Streaming<StreamingOutputCallRequest>,
        replies: StreamSender<StreamingOutputCallResponse>,
    ) -> Result<()> {
        let mut received = Vec::new();
        while let Some(request) = requests.message().await? {
            received.push(request);
        }
        for request in &received {
            answer(request, &replies).await?;
        }
        Ok(())
    }
}

/// Sends the messages that a request asks for.
async fn answer(
    request: &StreamingOutputCallRequest,
    replies: &StreamSender<StreamingOutputCallResponse>,
) -> Result<()> {
    for wanted in &request.response_parameters {
        let pause = u64::try_from(wanted.interval_us).unwrap_or_default();
        if pause > 0 {
            tokio::time::sleep(Duration::from_micros(pause)).await;
        }
        let payload = Some(payload(wanted.size)?);
        replies.send(StreamingOutputCallResponse { payload }).await?;
    }
    Ok(())
}

fn payload(size: i32) -> Result<Payload> {
    let size = usize::try_from(size).ok().filter(|size| *size <= LARGEST);
    let size = size
        .ok_or_else(|| Error::bad_request(PACKAGE, format!("a payload has between 0 and {LARGEST} bytes")))?;
    Ok(Payload {
        body: vec![0; size],
        ..Payload::default()
    })
}

/// Ends a call with the status that it asks for: 0, or 2 and a text, which is what the cases ask for.
fn end_as(status: Option<EchoStatus>) -> Result<()> {
    match status.unwrap_or_default() {
        EchoStatus { code: 0, .. } => Ok(()),
        EchoStatus { code: 2, message } => Err(Error::new("", 0, message)),
        EchoStatus { code, .. } => Err(Error::bad_request(
            PACKAGE,
            format!("calls end with status 0 or 2 here, and not with {code}"),
        )),
    }
}
