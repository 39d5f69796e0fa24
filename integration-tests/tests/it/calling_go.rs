//! Rust calls a service in Go.

use std::time::Duration;

use integration_tests::{CountRequest, FailRequest, GreeterClient, HelloRequest, SleepRequest};
use micro::client::CallOptions;
use micro::codec::{JSON, JSON_RPC, PROTO_RPC, PROTOBUF};
use micro::registry::MemoryRegistry;
use micro::transport::HttpTransport;
use micro::transport::http::HttpConfig;
use micro::{Client, ErrorKind, Text};

use crate::go_peer;

fn greeter(address: &str, content_type: Text) -> GreeterClient {
    let registry = std::sync::Arc::new(MemoryRegistry::new());
    let client = Client::new(
        registry,
        std::sync::Arc::new(HttpTransport::new(HttpConfig::default()).unwrap()),
    );
    GreeterClient::new("interop.greeter", &client).with_options(CallOptions {
        addresses: vec![address.to_owned()],
        content_type: Some(content_type),
        timeout: Some(go_peer::PATIENCE),
        metadata: [("Foo", "bar")].into(),
        ..CallOptions::default()
    })
}

#[tokio::test]
async fn unary_calls_in_every_codec() {
    let Some(program) = go_peer::program().await else {
        return;
    };
    let (server, address) = go_peer::server(&program).await;
    for content_type in [PROTOBUF, JSON, PROTO_RPC, JSON_RPC] {
        let greeter = greeter(&address, content_type.clone());
        // More than once, so that connections are used again.
        for times in 1..4 {
            let reply = greeter
                .hello(HelloRequest {
                    name: "Rust".into(),
                    times,
                })
                .await
                .unwrap();
            assert!(
                reply.greeting.starts_with("Hello Rust"),
                "{content_type}: {reply:?}"
            );
            assert!(
                reply.served_by.starts_with("go-micro"),
                "{content_type}: {reply:?}"
            );
            let foo = reply
                .headers
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case("foo"));
            assert_eq!(foo.unwrap().1, "bar");
        }
        // The zero value is an empty message in protobuf.
        greeter.hello(HelloRequest::default()).await.unwrap();
    }
    server.stop().await;
}

#[tokio::test]
async fn errors_in_every_codec() {
    let Some(program) = go_peer::program().await else {
        return;
    };
    let (server, address) = go_peer::server(&program).await;
    for content_type in [PROTOBUF, JSON, PROTO_RPC, JSON_RPC] {
        let greeter = greeter(&address, content_type.clone());
        let request = FailRequest {
            id: "interop.fail".into(),
            code: 409,
            detail: "as asked".into(),
            plain: false,
        };
        let error = greeter.fail(request.clone()).await.unwrap_err();
        assert_eq!(
            (error.id(), error.code(), error.detail()),
            ("interop.fail", 409, "as asked"),
            "{content_type}"
        );
        let error = greeter
            .fail(FailRequest {
                plain: true,
                ..request
            })
            .await
            .unwrap_err();
        assert_eq!((error.code(), error.detail()), (0, "as asked"), "{content_type}");
        assert!(
            greeter.hello(HelloRequest::default()).await.is_ok(),
            "{content_type}: after an error"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn the_deadline_arrives_and_a_late_answer_is_a_timeout() {
    let Some(program) = go_peer::program().await else {
        return;
    };
    let (mut server, address) = go_peer::server(&program).await;
    let options = CallOptions {
        addresses: vec![address.clone()],
        timeout: Some(Duration::from_millis(400)),
        ..CallOptions::default()
    };
    let greeter = greeter(&address, PROTOBUF).with_options(options);
    let error = greeter
        .sleep(SleepRequest { milliseconds: 30_000 })
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let left: u64 = server
        .line_after("deadline_in_milliseconds ")
        .await
        .trim()
        .parse()
        .unwrap();
    assert!(left <= 400, "{left}");
    server.line_after("sleep_cancelled").await;
    server.stop().await;
}

#[tokio::test]
async fn streams_in_both_native_codecs() {
    let Some(program) = go_peer::program().await else {
        return;
    };
    let (server, address) = go_peer::server(&program).await;
    for content_type in [PROTOBUF, JSON] {
        let greeter = greeter(&address, content_type.clone());
        let mut numbers = greeter.count(CountRequest { count: 5 }).await.unwrap();
        for seq in 1..=5 {
            assert_eq!(
                numbers.message().await.unwrap().unwrap().seq,
                seq,
                "{content_type}"
            );
        }
        assert!(numbers.message().await.unwrap().is_none(), "{content_type}");

        let (sender, mut replies) = greeter.echo().unwrap();
        for seq in 1..=5 {
            sender
                .send(HelloRequest {
                    name: format!("m{seq}"),
                    times: 0,
                })
                .await
                .unwrap();
            let reply = replies.message().await.unwrap().unwrap();
            assert_eq!(
                (reply.greeting, reply.seq),
                (format!("echo m{seq}"), seq),
                "{content_type}"
            );
        }
        drop(sender);
        // The server in Go says nothing when its handler saw the caller's end.
        assert!(replies.message().await.unwrap().is_none(), "{content_type}");
    }
    server.stop().await;
}
