//! Callers of tonic at a service of this transport.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use micro_core::handler::handler_fn;
use micro_core::transport::Listener;
use micro_core::{Body, Error, Request, Response, Result, Transport};
use micro_grpc::{Compression, GrpcConfig, GrpcTransport};
use tokio::sync::Semaphore;
use tonic::Code;
use tonic::metadata::MetadataValue;

use crate::callers_of_tonic::Caller;
use crate::message::{Dropped, Payload, soon};

/// What the service saw and noticed.
#[derive(Clone)]
struct Seen {
    request: Arc<Mutex<Option<Request>>>,
    began: Arc<Semaphore>,
    dropped: Dropped,
}

async fn serve(config: GrpcConfig) -> (Box<dyn Listener>, Seen) {
    let seen = Seen {
        request: Arc::default(),
        began: Arc::new(Semaphore::new(0)),
        dropped: Dropped::new(),
    };
    let noted = seen.clone();
    let handler = handler_fn(move |request| answer(request, noted.clone()));
    let transport = GrpcTransport::new(config).unwrap();
    let listener = transport.listen("127.0.0.1:0", Arc::new(handler)).await.unwrap();
    (listener, seen)
}

async fn answer(mut request: Request, seen: Seen) -> Result<Response> {
    let mut body = request.take_body();
    let endpoint = request.endpoint.clone();
    *seen.request.lock().unwrap() = Some(request);
    match endpoint.as_str() {
        "Echo.Call" => {
            let mut response = Response::new(body.single().await?);
            response.metadata.insert("Answered-By", "micro");
            response.metadata.insert("answer-bin", "AAEC");
            Ok(response)
        }
        "Echo.Count" => {
            let count = Payload::read(&body.single().await?).to_number();
            let messages = stream::iter((0..count).map(|number| Ok(Payload::number(number).bytes())));
            Ok(Response::new(Body::stream(messages)))
        }
        "Echo.Sum" => {
            let mut sum = 0;
            while let Some(message) = body.message().await {
                sum += Payload::read(&message?).to_number();
            }
            Ok(Response::new(Payload::number(sum).bytes()))
        }
        "Echo.Stream" => Ok(Response::new(Body::stream(body))),
        "Echo.Fail" => Err(Error::conflict("interop.fail", "asked to fail: 東京 100%")),
        "Echo.FailLater" => {
            let messages = [
                Ok(Payload::number(1).bytes()),
                Err(Error::forbidden("interop.fail", "enough")),
            ];
            Ok(Response::new(Body::stream(stream::iter(messages))))
        }
        "Echo.Hang" => {
            let _guard = seen.dropped.guard();
            seen.began.add_permits(1);
            std::future::pending().await
        }
        "Echo.HangLater" => {
            let first = stream::iter([Ok(Payload::number(1).bytes())]);
            let messages = first.chain(stream::pending::<Result<Bytes>>());
            Ok(Response::new(
                Body::stream(messages).guard((seen.dropped.guard(), body)),
            ))
        }
        unknown => Err(Error::not_found(
            "go.micro.server",
            format!("rpc: can't find method {unknown}"),
        )),
    }
}

async fn read_all(mut messages: tonic::Streaming<Payload>) -> Vec<usize> {
    let mut read = Vec::new();
    while let Some(message) = soon(messages.message()).await.unwrap() {
        read.push(message.to_number());
    }
    read
}

#[tokio::test]
async fn the_four_kinds_of_calls_are_answered() {
    let (listener, _) = serve(GrpcConfig::default()).await;
    let mut caller = Caller::connect(listener.address()).await;
    for size in [0, 5, 100_000, 3_000_000] {
        let payload = Payload::new(vec![7; size]);
        let answer = soon(caller.unary("Call", tonic::Request::new(payload.clone())))
            .await
            .unwrap();
        assert!(answer.into_inner() == payload, "{size} bytes");
    }
    let messages = soon(caller.server_streaming("Count", Payload::number(100)))
        .await
        .unwrap();
    assert_eq!(
        read_all(messages.into_inner()).await,
        (0..100).collect::<Vec<_>>()
    );
    let numbers = || stream::iter((0..100).map(Payload::number));
    let sum = soon(caller.client_streaming("Sum", numbers())).await.unwrap();
    assert_eq!(sum.into_inner().to_number(), 4950);
    let messages = soon(caller.streaming("Stream", numbers())).await.unwrap();
    assert_eq!(
        read_all(messages.into_inner()).await,
        (0..100).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn both_sides_take_turns_in_a_stream() {
    let (listener, _) = serve(GrpcConfig::default()).await;
    let mut caller = Caller::connect(listener.address()).await;
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
    let requests = stream::poll_fn(move |context| receiver.poll_recv(context));
    let mut answers = soon(caller.streaming("Stream", requests))
        .await
        .unwrap()
        .into_inner();
    for number in 0..50 {
        sender.send(Payload::number(number)).await.unwrap();
        let answer = soon(answers.message()).await.unwrap().unwrap();
        assert_eq!(answer.to_number(), number);
    }
    drop(sender);
    assert!(soon(answers.message()).await.unwrap().is_none());
}

#[tokio::test]
async fn metadata_and_the_deadline_arrive() {
    let (listener, seen) = serve(GrpcConfig::default()).await;
    let mut caller = Caller::connect(listener.address()).await;
    let mut request = tonic::Request::new(Payload::number(1));
    request.set_timeout(Duration::from_secs(60));
    let metadata = request.metadata_mut();
    metadata.insert("tenant", "acme".parse().unwrap());
    metadata.append("tag", "a".parse().unwrap());
    metadata.append("tag", "b".parse().unwrap());
    metadata.insert_bin("key-bin", MetadataValue::from_bytes(&[0, 1, 2]));
    let answer = soon(caller.unary("Call", request)).await.unwrap();
    assert_eq!(answer.metadata().get("answered-by").unwrap(), "micro");
    assert_eq!(
        answer
            .metadata()
            .get_bin("answer-bin")
            .unwrap()
            .to_bytes()
            .unwrap(),
        &[0, 1, 2][..]
    );
    let request = seen.request.lock().unwrap().take().unwrap();
    assert_eq!(
        (request.service.as_str(), request.endpoint.as_str()),
        ("interop", "Echo.Call")
    );
    assert_eq!(request.content_type.as_str(), "application/protobuf");
    assert_eq!(request.metadata.get("Tenant"), Some("acme"));
    assert_eq!(request.metadata.get("tag"), Some("a, b"));
    assert_eq!(request.metadata.get("key-bin"), Some("AAEC"));
    assert!(!request.metadata.contains("grpc-timeout") && !request.metadata.contains("te"));
    let left = request.remaining().unwrap();
    assert!(
        left > Duration::from_secs(30) && left <= Duration::from_secs(60),
        "{left:?}"
    );
    assert!(request.peer.is_some());
}

#[tokio::test]
async fn errors_are_statuses_of_grpc() {
    let (listener, _) = serve(GrpcConfig::default()).await;
    let mut caller = Caller::connect(listener.address()).await;
    let mut fails = async |method| {
        let answer = soon(caller.unary(method, tonic::Request::new(Payload::number(1)))).await;
        answer.unwrap_err()
    };
    let status = fails("Fail").await;
    assert_eq!(status.code(), Code::AlreadyExists);
    assert_eq!(
        status.message(),
        r#"{"id":"interop.fail","code":409,"detail":"asked to fail: 東京 100%","status":"Conflict"}"#
    );
    assert!(!status.details().is_empty());
    assert_eq!(fails("Unknown").await.code(), Code::Unimplemented);
    let messages = soon(caller.server_streaming("FailLater", Payload::number(1)))
        .await
        .unwrap();
    let mut messages = messages.into_inner();
    assert_eq!(soon(messages.message()).await.unwrap().unwrap().to_number(), 1);
    let status = soon(messages.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let status = soon(caller.server_streaming("Fail", Payload::number(1)))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);
}

#[tokio::test]
async fn a_call_that_is_given_up_drops_its_handler() {
    let (listener, seen) = serve(GrpcConfig::default()).await;
    let mut caller = Caller::connect(listener.address()).await;
    for _ in 0..3 {
        tokio::select! {
            _ = caller.unary("Hang", tonic::Request::new(Payload::number(1))) => panic!("it answered"),
            began = soon(seen.began.acquire()) => began.unwrap().forget(),
        }
        seen.dropped.wait().await;
        let messages = soon(caller.server_streaming("HangLater", Payload::number(1)))
            .await
            .unwrap();
        let mut messages = messages.into_inner();
        assert!(soon(messages.message()).await.unwrap().is_some());
        drop(messages);
        seen.dropped.wait().await;
    }
}

#[tokio::test]
async fn a_deadline_ends_the_call_on_both_sides() {
    let (listener, seen) = serve(GrpcConfig::default()).await;
    let mut caller = Caller::connect(listener.address()).await;
    let mut request = tonic::Request::new(Payload::number(1));
    request.set_timeout(Duration::from_millis(200));
    let status = soon(caller.unary("Hang", request)).await.unwrap_err();
    assert!(
        matches!(status.code(), Code::Cancelled | Code::DeadlineExceeded),
        "{status:?}"
    );
    seen.dropped.wait().await;
}

#[tokio::test]
async fn compressed_messages_are_read_and_written() {
    let (listener, _) = serve(GrpcConfig {
        compression: Compression::Gzip { from: 100 },
        ..GrpcConfig::default()
    })
    .await;
    let mut compressing = Caller::connect(listener.address()).await.compressed();
    let mut plain = Caller::connect(listener.address()).await;
    for size in [0, 10, 100_000] {
        let payload = Payload::new(vec![7; size]);
        for caller in [&mut compressing, &mut plain] {
            let answer = soon(caller.unary("Call", tonic::Request::new(payload.clone())))
                .await
                .unwrap();
            let encoding = answer.metadata().get("grpc-encoding").cloned();
            assert!(answer.into_inner() == payload, "{size} bytes, {encoding:?}");
        }
    }
    let (uncompressing, _) = serve(GrpcConfig::default()).await;
    let mut compressing = Caller::connect(uncompressing.address()).await.compressed();
    let payload = Payload::new(vec![7; 1000]);
    let answer = soon(compressing.unary("Call", tonic::Request::new(payload.clone())))
        .await
        .unwrap();
    assert!(answer.metadata().get("grpc-encoding").is_none());
    assert_eq!(answer.into_inner(), payload);
}
