//! Generated servers answer calls of every kind, in every format.

use bytes::Bytes;
use futures_util::stream;
use micro::codec::{Codecs, JSON, PROTOBUF};
use micro::handler::{CallKind, Endpoint, Handler, IntoEndpoints, StreamSender, Streaming};
use micro::protobuf::{Timestamp, WellKnown};
use micro::{Body, Context, Request, Result, Text};
use micro_codegen_generated::hello::{
    CountRequest, CountResponse, Hello, HelloServer, Note, Number, PingRequest, PingResponse, Total,
};
use micro_codegen_generated::nasty;
use micro_codegen_generated::nasty::types::v1::{Everything, everything::inner::Deeper};

pub(crate) struct Greeter;

impl Hello for Greeter {
    async fn ping(&self, context: &mut Context, request: PingRequest) -> Result<PingResponse> {
        Ok(PingResponse {
            greeting: format!("Hello, {}", request.name),
            served_by: context.endpoint().to_owned(),
        })
    }

    async fn count(
        &self,
        _: &mut Context,
        request: CountRequest,
        replies: StreamSender<CountResponse>,
    ) -> Result<()> {
        for number in 1..=request.up_to {
            replies.send(CountResponse { number }).await?;
        }
        Ok(())
    }

    async fn sum(&self, _: &mut Context, mut requests: Streaming<Number>) -> Result<Total> {
        let mut total = Total::default();
        while let Some(number) = requests.message().await? {
            total.value += number.value;
        }
        Ok(total)
    }

    async fn chat(
        &self,
        _: &mut Context,
        mut requests: Streaming<Note>,
        replies: StreamSender<Note>,
    ) -> Result<()> {
        while let Some(note) = requests.message().await? {
            replies.send(note).await?;
        }
        Ok(())
    }
}

/// Implements the service whose every name is a trap.
pub(crate) struct Trapped;

impl nasty::Type for Trapped {
    async fn new_(&self, _: &mut Context, _: nasty::Option) -> Result<nasty::Result> {
        Ok(nasty::Result::default())
    }

    async fn self_(&self, _: &mut Context, _: nasty::Vec) -> Result<nasty::String> {
        Ok(nasty::String::default())
    }

    async fn r#type(&self, _: &mut Context, _: nasty::Message) -> Result<nasty::Box> {
        Ok(nasty::Box::default())
    }

    async fn clone_(&self, _: &mut Context, _: nasty::Clone) -> Result<nasty::Send> {
        Ok(nasty::Send::default())
    }

    async fn within_(&self, _: &mut Context, _: nasty::Future) -> Result<nasty::Self_> {
        Ok(nasty::Self_::default())
    }

    async fn ping(&self, _: &mut Context, request: nasty::Ping) -> Result<nasty::Ping> {
        Ok(request)
    }

    async fn say_http2_please(&self, _: &mut Context, (): ()) -> Result<Timestamp> {
        Ok(Timestamp { seconds: 1, nanos: 0 })
    }

    async fn ticks(
        &self,
        _: &mut Context,
        (): (),
        replies: StreamSender<WellKnown<Timestamp>>,
    ) -> Result<()> {
        replies.send(Timestamp::default().into()).await
    }

    async fn collect(&self, _: &mut Context, _: Streaming<WellKnown<Timestamp>>) -> Result<()> {
        Ok(())
    }

    async fn both(
        &self,
        _: &mut Context,
        _: Streaming<WellKnown<Timestamp>>,
        _: StreamSender<Everything>,
    ) -> Result<()> {
        Ok(())
    }

    async fn everything(&self, _: &mut Context, _: Everything) -> Result<Deeper> {
        Ok(Deeper::default())
    }
}

fn find(endpoints: Vec<Endpoint>, name: &str) -> Endpoint {
    endpoints
        .into_iter()
        .find(|endpoint| endpoint.name == *name)
        .unwrap()
}

/// Calls an endpoint and gives back the messages of its answer.
async fn call(
    server: impl IntoEndpoints,
    endpoint: &str,
    content_type: Text,
    requests: Vec<&'static str>,
) -> Result<Vec<String>> {
    let body: Body = match requests.as_slice() {
        [single] => Bytes::from_static(single.as_bytes()).into(),
        _ => {
            let requests = requests
                .into_iter()
                .map(|text| Ok(Bytes::from_static(text.as_bytes())));
            Body::stream(stream::iter(requests))
        }
    };
    let mut request = Request::new("hello", endpoint, body);
    request.content_type = content_type;
    request.kind = CallKind::Stream;
    let endpoint = find(server.into_endpoints(&Codecs::standard()), endpoint);
    let mut response = endpoint.handler.handle(request).await?;
    let mut answers = Vec::new();
    while let Some(message) = response.body.message().await {
        answers.push(String::from_utf8_lossy(&message?).trim_end().to_owned());
    }
    Ok(answers)
}

#[tokio::test]
async fn one_handler_answers_protobuf_and_json() {
    let server = HelloServer::new(Greeter);
    let answers = call(server.clone(), "Hello.Ping", PROTOBUF, vec!["\n\x03Ann"]).await;
    assert_eq!(answers.unwrap(), ["\n\nHello, Ann\x12\nHello.Ping"]);
    let answers = call(server, "Hello.Ping", JSON, vec![r#"{"name":"Ann"}"#]).await;
    assert_eq!(
        answers.unwrap(),
        [r#"{"greeting":"Hello, Ann","servedBy":"Hello.Ping"}"#]
    );
}

#[tokio::test]
async fn streams_go_either_way() {
    let server = HelloServer::new(Greeter);
    let answers = call(server.clone(), "Hello.Count", JSON, vec![r#"{"upTo":2}"#]).await;
    assert_eq!(answers.unwrap(), [r#"{"number":1}"#, r#"{"number":2}"#]);
    let numbers = vec![r#"{"value":"1"}"#, r#"{"value":2}"#];
    let answers = call(server.clone(), "Hello.Sum", JSON, numbers).await;
    assert_eq!(answers.unwrap(), [r#"{"value":"3"}"#]);
    let notes = vec![r#"{"text":"a"}"#, r#"{"text":"b"}"#];
    let answers = call(server, "Hello.Chat", JSON, notes.clone()).await;
    assert_eq!(answers.unwrap(), notes);
}

#[tokio::test]
async fn names_that_rust_has_taken_are_called_by_the_protos_name() {
    let server = nasty::TypeServer::new(Trapped);
    for (endpoint, answer) in [
        ("type.new", "{}"),
        ("type.Self", "{}"),
        ("type.type", "{}"),
        ("type.Clone", "{}"),
        ("type.SayHTTP2Please", r#""1970-01-01T00:00:01Z""#),
        ("type.Ticks", r#""1970-01-01T00:00:00Z""#),
    ] {
        let answers = call(server.clone(), endpoint, JSON, vec!["{}"]).await;
        assert_eq!(
            answers.unwrap_or_else(|error| panic!("{endpoint}: {error}")),
            [answer],
            "{endpoint}"
        );
    }
}

#[tokio::test]
async fn a_request_that_is_no_such_message_is_answered_with_400() {
    let server = HelloServer::new(Greeter);
    let error = call(server, "Hello.Ping", JSON, vec![r#"{"nam":"Ann"}"#])
        .await
        .unwrap_err();
    assert_eq!(error.code(), 400);
    assert!(
        error.detail().contains("PingRequest") && error.detail().contains("nam"),
        "{error}"
    );
}
