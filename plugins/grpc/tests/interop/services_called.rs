//! Services of tonic, called by this transport.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use micro_core::handler::CallKind;
use micro_core::registry::Node;
use micro_core::{Body, Error, Handler, Metadata, Request, Result, Transport};
use micro_grpc::{Compression, GrpcConfig, GrpcTransport, Trailers};
use tokio::time::Instant;

use crate::message::{Payload, soon};
use crate::service_of_tonic::serve;

async fn dial(address: &str, config: GrpcConfig) -> Arc<dyn Handler> {
    let transport = GrpcTransport::new(config).unwrap();
    transport.dial(&Node::new("tonic-1", address)).await.unwrap()
}

fn request(method: &str, body: impl Into<Body>) -> Request {
    Request::new("interop", format!("Echo.{method}"), body)
}

fn streaming(method: &str, body: impl Into<Body>) -> Request {
    let mut request = request(method, body);
    request.kind = CallKind::Stream;
    request
}

fn numbers(count: usize) -> Body {
    Body::stream(stream::iter(
        (0..count).map(|number| Ok(Payload::number(number).bytes())),
    ))
}

async fn read_all(mut body: Body) -> (Vec<usize>, Option<Error>) {
    let mut read = Vec::new();
    while let Some(message) = soon(body.message()).await {
        match message {
            Ok(message) => read.push(Payload::read(&message).to_number()),
            Err(error) => return (read, Some(error)),
        }
    }
    (read, None)
}

async fn one(answer: Result<micro_core::Response>) -> Bytes {
    answer.unwrap().body.single().await.unwrap()
}

#[tokio::test]
async fn the_four_kinds_of_calls_are_answered() {
    let tonic = serve().await;
    let compressing = GrpcConfig {
        compression: Compression::Gzip { from: 100 },
        assume_gzip: true,
        ..GrpcConfig::default()
    };
    for config in [GrpcConfig::default(), compressing] {
        let peer = dial(&tonic.address, config).await;
        for size in [0, 5, 100_000, 3_000_000] {
            let payload = Payload::new(vec![7; size]);
            let answer = one(soon(peer.handle(request("Call", payload.bytes()))).await).await;
            assert!(Payload::read(&answer) == payload, "{size} bytes");
        }
        let answer = soon(peer.handle(streaming("Count", Payload::number(100).bytes())))
            .await
            .unwrap();
        let (read, error) = read_all(answer.body).await;
        assert!(
            read == (0..100).collect::<Vec<_>>() && error.is_none(),
            "{read:?} {error:?}"
        );
        let answer = soon(peer.handle(streaming("Sum", numbers(100)))).await.unwrap();
        let (read, error) = read_all(answer.body).await;
        assert!(read == [4950] && error.is_none(), "{read:?} {error:?}");
        let answer = soon(peer.handle(streaming("Stream", numbers(1000))))
            .await
            .unwrap();
        let (read, error) = read_all(answer.body).await;
        assert!(
            read == (0..1000).collect::<Vec<_>>() && error.is_none(),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn metadata_and_the_deadline_arrive() {
    let tonic = serve().await;
    let peer = dial(&tonic.address, GrpcConfig::default()).await;
    let mut request = request("Call", Payload::number(1).bytes());
    request.metadata = Metadata::from([("Tenant", "acme"), ("key-bin", "AAEC")]);
    request.deadline = Some(Instant::now() + Duration::from_secs(60));
    let answer = soon(peer.handle(request)).await.unwrap();
    assert_eq!(answer.metadata.get("Answered-By"), Some("tonic"));
    assert_eq!(answer.content_type.as_str(), "application/protobuf");
    let seen = tonic.seen.metadata.lock().unwrap().clone();
    assert_eq!(seen.get("tenant").unwrap(), "acme");
    assert_eq!(
        seen.get_bin("key-bin").unwrap().to_bytes().unwrap(),
        &[0, 1, 2][..]
    );
    let timeout = seen.get("grpc-timeout").unwrap().to_str().unwrap();
    let left: u64 = timeout.strip_suffix('m').unwrap().parse().unwrap();
    assert!((30_000..=60_000).contains(&left), "{timeout}");
}

#[tokio::test]
async fn statuses_are_errors_with_the_code_that_they_mean() {
    let tonic = serve().await;
    let peer = dial(&tonic.address, GrpcConfig::default()).await;
    let fail = || Payload::new("fail").bytes();
    let error = soon(peer.handle(request("Fail", fail()))).await.unwrap_err();
    assert_eq!(
        (error.id(), error.code(), error.detail()),
        ("go.micro.client", 404, "no such thing: 東京 100%")
    );
    assert!(!error.is_never_started() && !error.is_unanswered());
    let error = soon(peer.handle(request("Unknown", fail()))).await.unwrap_err();
    assert_eq!(error.code(), 501);
    let answer = soon(peer.handle(streaming("Count", fail()))).await.unwrap();
    let (read, error) = read_all(answer.body).await;
    let error = error.unwrap();
    assert!(
        read == [1] && error.code() == 403 && error.detail() == "enough",
        "{read:?} {error}"
    );
}

#[tokio::test]
async fn the_metadata_of_a_call_that_failed_are_there_for_who_asks() {
    let tonic = serve().await;
    let peer = dial(&tonic.address, GrpcConfig::default()).await;
    let trailers = Trailers::new();
    let mut failing = request("Fail", Payload::new("fail").bytes());
    failing.extensions.insert(trailers.clone());
    soon(peer.handle(failing)).await.unwrap_err();
    assert_eq!(trailers.get().get("x-why"), Some("asked"));
    let mut next = request("Call", Payload::number(1).bytes());
    next.extensions.insert(trailers.clone());
    soon(peer.handle(next)).await.unwrap();
    assert!(trailers.get().is_empty(), "{trailers:?}");
}

#[tokio::test]
async fn a_call_that_is_given_up_ends_at_the_service() {
    let tonic = serve().await;
    let peer = dial(&tonic.address, GrpcConfig::default()).await;
    let hang = || Payload::new("hang").bytes();
    for _ in 0..3 {
        tokio::select! {
            _ = peer.handle(request("Hang", hang())) => panic!("it answered"),
            began = soon(tonic.seen.began.acquire()) => began.unwrap().forget(),
        }
        tonic.seen.dropped.wait().await;
        let mut body = soon(peer.handle(streaming("HangLater", hang())))
            .await
            .unwrap()
            .body;
        assert!(soon(body.message()).await.is_some());
        drop(body);
        tonic.seen.dropped.wait().await;
    }
}

#[tokio::test]
async fn many_calls_at_once_share_few_connections() {
    let tonic = serve().await;
    let peer = dial(&tonic.address, GrpcConfig::default()).await;
    let calls = (0..500).map(|number| {
        let peer = peer.clone();
        async move {
            let answer = one(peer
                .handle(request("Call", Payload::number(number).bytes()))
                .await)
            .await;
            assert_eq!(Payload::read(&answer).to_number(), number);
        }
    });
    soon(futures_util::future::join_all(calls)).await;
}
