//! The cases, called from Rust.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures_util::future::try_join_all;
use micro::client::Method;
use micro::handler::{StreamSender, Streaming};
use micro::{Error, Metadata, Text};
use tokio::time::timeout;

use super::testing::{
    EchoStatus, Empty, Payload, ResponseParameters, SimpleRequest, StreamingInputCallRequest,
    StreamingInputCallResponse, StreamingOutputCallRequest, StreamingOutputCallResponse,
};
use super::{Caller, INITIAL, PACKAGE, TRAILING};

/// The names of the cases.
pub const CASES: &[&str] = &[
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "half_duplex",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
    "concurrent_large_unary",
    "rpc_soak",
];

/// How long one case may take.
const PATIENCE: Duration = Duration::from_secs(60);

const REQUEST_SIZES: [usize; 4] = [27182, 8, 1828, 45904];
const RESPONSE_SIZES: [usize; 4] = [31415, 9, 2653, 58979];
const LARGE_REQUEST: usize = 271_828;
const LARGE_RESPONSE: usize = 314_159;
/// How many large calls there are at once, and one after the other.
const AT_ONCE: usize = 50;
const IN_TURN: usize = 10;
const INITIAL_VALUE: &str = "test_initial_metadata_value";
/// The bytes 0a 0b 0a 0b 0a 0b.
const TRAILING_VALUE: &str = "CgsKCwoL";

impl Caller {
    /// Runs one case.
    pub async fn run(&self, case: &str) -> anyhow::Result<()> {
        let Ok(result) = timeout(PATIENCE, self.dispatch(case)).await else {
            bail!("it did not end within {PATIENCE:?}");
        };
        result
    }

    async fn dispatch(&self, case: &str) -> anyhow::Result<()> {
        match case {
            "empty_unary" => self.empty_unary().await,
            "large_unary" => self.large_unary().await,
            "client_streaming" => self.client_streaming().await,
            "server_streaming" => self.server_streaming().await,
            "ping_pong" => self.ping_pong().await,
            "empty_stream" => self.empty_stream().await,
            "half_duplex" => self.half_duplex().await,
            "timeout_on_sleeping_server" => self.timeout_on_sleeping_server().await,
            "cancel_after_begin" => self.cancel_after_begin().await,
            "cancel_after_first_response" => self.cancel_after_first_response().await,
            "status_code_and_message" => self.status_code_and_message().await,
            "special_status_message" => self.special_status_message().await,
            "custom_metadata" => self.custom_metadata().await,
            "unimplemented_method" => self.unimplemented("TestService.UnimplementedCall").await,
            "unimplemented_service" => self.unimplemented("UnimplementedService.UnimplementedCall").await,
            "concurrent_large_unary" => {
                try_join_all((0..AT_ONCE).map(|_| self.large_unary())).await?;
                Ok(())
            }
            "rpc_soak" => {
                for _ in 0..IN_TURN {
                    self.large_unary().await?;
                }
                Ok(())
            }
            _ => bail!("there is no such case"),
        }
    }

    async fn empty_unary(&self) -> anyhow::Result<()> {
        self.service().empty_call(Empty {}).await?;
        Ok(())
    }

    async fn large_unary(&self) -> anyhow::Result<()> {
        let request = simple(LARGE_REQUEST, LARGE_RESPONSE);
        is_of_size(self.service().unary_call(request).await?.payload, LARGE_RESPONSE)
    }

    async fn client_streaming(&self) -> anyhow::Result<()> {
        let call = self.service().streaming_input_call()?;
        for size in REQUEST_SIZES {
            let payload = Some(payload(size));
            call.send(StreamingInputCallRequest { payload }).await?;
        }
        let size = call.finish().await?.aggregated_payload_size;
        ensure!(size == 74_922, "the sizes add up to {size}");
        Ok(())
    }

    async fn server_streaming(&self) -> anyhow::Result<()> {
        let request = StreamingOutputCallRequest {
            response_parameters: RESPONSE_SIZES.map(parameters).into(),
            ..StreamingOutputCallRequest::default()
        };
        let mut replies = self.service().streaming_output_call(request).await?;
        for size in RESPONSE_SIZES {
            expect(&mut replies, size).await?;
        }
        expect_end(&mut replies).await
    }

    async fn ping_pong(&self) -> anyhow::Result<()> {
        let (sender, mut replies) = self.service().full_duplex_call()?;
        for (request, response) in REQUEST_SIZES.into_iter().zip(RESPONSE_SIZES) {
            sender.send(output(request, response)).await?;
            expect(&mut replies, response).await?;
        }
        drop(sender);
        expect_end(&mut replies).await
    }

    async fn empty_stream(&self) -> anyhow::Result<()> {
        let (sender, mut replies) = self.service().full_duplex_call()?;
        drop(sender);
        expect_end(&mut replies).await
    }

    async fn half_duplex(&self) -> anyhow::Result<()> {
        let (sender, mut replies) = self.service().half_duplex_call()?;
        for (request, response) in REQUEST_SIZES.into_iter().zip(RESPONSE_SIZES) {
            sender.send(output(request, response)).await?;
        }
        drop(sender);
        for response in RESPONSE_SIZES {
            expect(&mut replies, response).await?;
        }
        expect_end(&mut replies).await
    }

    async fn timeout_on_sleeping_server(&self) -> anyhow::Result<()> {
        let (sender, mut replies) = self.within(Duration::from_millis(1)).full_duplex_call()?;
        let request = StreamingOutputCallRequest {
            payload: Some(payload(REQUEST_SIZES[0])),
            ..StreamingOutputCallRequest::default()
        };
        // The call may be over before this is sent.
        let _ = sender.send(request).await;
        let error = expect_error(replies.message().await)?;
        ensure!(error.code() == 408, "the call ended with {error}");
        Ok(())
    }

    async fn cancel_after_begin(&self) -> anyhow::Result<()> {
        let method = Method::new("TestService.StreamingInputCall");
        let (sender, replies): (
            StreamSender<StreamingInputCallRequest>,
            Streaming<StreamingInputCallResponse>,
        ) = self
            .client()
            .bidirectional_streaming(&Text::from_static(PACKAGE), method)?;
        self.seen().began.notified().await;
        drop(replies);
        self.is_cancelled(&sender).await
    }

    async fn cancel_after_first_response(&self) -> anyhow::Result<()> {
        let (sender, mut replies) = self.service().full_duplex_call()?;
        sender.send(output(REQUEST_SIZES[0], RESPONSE_SIZES[0])).await?;
        expect(&mut replies, RESPONSE_SIZES[0]).await?;
        drop(replies);
        self.is_cancelled(&sender).await
    }

    /// Who gives up a call here sees no status of it; that it is over, and the connection is not, can be seen.
    async fn is_cancelled<T: micro::codec::Message>(&self, sender: &StreamSender<T>) -> anyhow::Result<()> {
        sender.closed().await;
        self.empty_unary().await.context("after a call that was given up")
    }

    async fn status_code_and_message(&self) -> anyhow::Result<()> {
        let message = "test status message";
        is_unknown(self.service().unary_call(failing(message)).await, message)?;
        let (sender, mut replies) = self.service().full_duplex_call()?;
        let request = StreamingOutputCallRequest {
            response_status: Some(unknown(message)),
            ..StreamingOutputCallRequest::default()
        };
        sender.send(request).await?;
        drop(sender);
        is_unknown(replies.message().await, message)
    }

    async fn special_status_message(&self) -> anyhow::Result<()> {
        let message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";
        is_unknown(self.service().unary_call(failing(message)).await, message)
    }

    async fn custom_metadata(&self) -> anyhow::Result<()> {
        let metadata = Metadata::from([(INITIAL, INITIAL_VALUE), (TRAILING, TRAILING_VALUE)]);
        let service = self.with_metadata(metadata);
        is_of_size(service.unary_call(simple(1, 1)).await?.payload, 1)?;
        let in_response = self.seen().initial();
        let trailing = in_response.get(&format!("grpc-trailer-{TRAILING}"));
        ensure!(
            trailing == Some(TRAILING_VALUE),
            "the response's metadata are {in_response:?}"
        );
        self.has_metadata()?;

        let (sender, mut replies) = service.full_duplex_call()?;
        sender.send(output(1, 1)).await?;
        expect(&mut replies, 1).await?;
        ensure!(
            self.seen().trailers.get().is_empty(),
            "the end is there before the last message"
        );
        drop(sender);
        expect_end(&mut replies).await?;
        self.has_metadata()
    }

    fn has_metadata(&self) -> anyhow::Result<()> {
        let (initial, trailing) = (self.seen().initial(), self.seen().trailers.get());
        ensure!(
            initial.get(INITIAL) == Some(INITIAL_VALUE) && !initial.contains(TRAILING),
            "the metadata before the messages are {initial:?}"
        );
        ensure!(
            trailing.get(TRAILING) == Some(TRAILING_VALUE) && !trailing.contains(INITIAL),
            "the metadata after the messages are {trailing:?}"
        );
        // So that what comes next is not taken for this.
        self.seen().forget();
        Ok(())
    }

    async fn unimplemented(&self, endpoint: &'static str) -> anyhow::Result<()> {
        let answer: micro::Result<Empty> = self.client().call(PACKAGE, endpoint, &Empty {}).await;
        let error = expect_error(answer)?;
        ensure!(error.code() == 501, "the call ended with {error}");
        Ok(())
    }
}

fn payload(size: usize) -> Payload {
    Payload {
        body: vec![0; size],
        ..Payload::default()
    }
}

fn parameters(size: usize) -> ResponseParameters {
    ResponseParameters {
        size: i32::try_from(size).unwrap_or(i32::MAX),
        ..ResponseParameters::default()
    }
}

fn simple(request: usize, response: usize) -> SimpleRequest {
    SimpleRequest {
        response_size: parameters(response).size,
        payload: Some(payload(request)),
        ..SimpleRequest::default()
    }
}

fn output(request: usize, response: usize) -> StreamingOutputCallRequest {
    StreamingOutputCallRequest {
        response_parameters: vec![parameters(response)],
        payload: Some(payload(request)),
        ..StreamingOutputCallRequest::default()
    }
}

/// The status 2, UNKNOWN.
fn unknown(message: &str) -> EchoStatus {
    EchoStatus {
        code: 2,
        message: message.to_owned(),
    }
}

fn failing(message: &str) -> SimpleRequest {
    SimpleRequest {
        response_status: Some(unknown(message)),
        ..SimpleRequest::default()
    }
}

fn is_of_size(payload: Option<Payload>, size: usize) -> anyhow::Result<()> {
    let found = payload.map_or(0, |payload| payload.body.len());
    ensure!(found == size, "a payload has {found} bytes instead of {size}");
    Ok(())
}

async fn expect(replies: &mut Streaming<StreamingOutputCallResponse>, size: usize) -> anyhow::Result<()> {
    let reply = replies.message().await?.context("the stream ended too early")?;
    is_of_size(reply.payload, size)
}

async fn expect_end(replies: &mut Streaming<StreamingOutputCallResponse>) -> anyhow::Result<()> {
    ensure!(
        replies.message().await?.is_none(),
        "there is one message too many"
    );
    Ok(())
}

fn expect_error<T>(answer: micro::Result<T>) -> anyhow::Result<Error> {
    answer.err().context("the call went well")
}

/// Whether a call ended with the status 2 and this text: as an error with the code 500, which that status means here.
fn is_unknown<T>(answer: micro::Result<T>, message: &str) -> anyhow::Result<()> {
    let error = expect_error(answer)?;
    ensure!(
        error.code() == 500 && error.detail() == message,
        "the call ended with {error:?}"
    );
    Ok(())
}
