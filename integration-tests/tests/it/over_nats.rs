//! Rust and Go find, call and tell each other with nothing but NATS.

use std::path::Path;

use integration_tests::{CountRequest, FailRequest, GreeterClient, GreeterServer, HelloRequest, RustGreeter};
use micro::client::CallOptions;
use micro::codec::{JSON, PROTOBUF};
use micro::prelude::*;
use micro::server::subscriber;
use micro::service::RunningService;
use micro::{ErrorKind, Settings};
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::go_peer::{self, PATIENCE, Process};

const ADDRESS: &str = "127.0.0.1:4222";
/// How the program in Go is told that NATS is all there is.
const REGISTRY: [&str; 4] = ["--registry", "nats", "--registry-address", ADDRESS];
const TRANSPORT: [&str; 4] = ["--transport", "nats", "--transport-address", ADDRESS];
const BROKER: [&str; 4] = ["--broker", "nats", "--broker-address", ADDRESS];

fn settings(service: &str) -> Settings {
    let flags = [
        "--profile=nats".to_owned(),
        format!("--registry_address={ADDRESS}"),
        format!("--transport_address={ADDRESS}"),
        format!("--broker_address={ADDRESS}"),
    ];
    let arguments = Arguments::new(service).default_value("server_address", ":0");
    arguments.parse_from(flags, [("", ""); 0]).unwrap()
}

fn unique(what: &str) -> String {
    format!("interop.nats.{what}.{}", std::process::id())
}

async fn go_server(program: &Path, service: &str) -> Process {
    let mut command = Command::new(program);
    command
        .args([
            "server",
            "--name",
            service,
            "--address",
            ":0",
            "--until-stdin-closes",
        ])
        .args(REGISTRY)
        .args(TRANSPORT);
    let mut server = Process::start(&mut command);
    server.line_after("registered").await;
    server
}

async fn rust_server(service: &str) -> RunningService {
    let builder = settings(service).service().await;
    let builder = builder.unwrap_or_else(|error| panic!("`cargo xtask backends up nats`? {error}"));
    let handler = GreeterServer::new(RustGreeter);
    builder.handler(handler).build().unwrap().start().await.unwrap()
}

fn named(name: &str) -> HelloRequest {
    HelloRequest {
        name: name.into(),
        times: 1,
    }
}

#[tokio::test]
async fn rust_calls_go_over_nats_in_both_codecs() {
    let Some(go) = go_peer::program().await else {
        return;
    };
    let service = unique("go");
    let server = go_server(&go, &service).await;
    let client = settings("interop").client().await.unwrap().build();
    for content_type in [PROTOBUF, JSON] {
        let greeter = GreeterClient::new(service.as_str(), &client).with_options(CallOptions {
            content_type: Some(content_type.clone()),
            timeout: Some(PATIENCE),
            metadata: [("Foo", "bar")].into(),
            ..CallOptions::default()
        });
        // More than once, so that sockets are used again; and at once, so that there are several.
        for _ in 0..3 {
            let calls = (0..4).map(|number| greeter.hello(named(&number.to_string())));
            let replies = futures_util::future::try_join_all(calls).await.unwrap();
            for (number, reply) in replies.iter().enumerate() {
                assert_eq!(reply.greeting, format!("Hello {number}"), "{content_type}");
                assert!(reply.served_by.starts_with("go-micro"), "{reply:?}");
                let mut headers = reply.headers.iter();
                assert!(headers.any(|(name, value)| name.eq_ignore_ascii_case("foo") && value == "bar"));
            }
        }
        let failing = FailRequest {
            id: "go.fail".into(),
            code: 409,
            detail: "as asked".into(),
            plain: false,
        };
        let error = greeter.fail(failing).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.id(), error.detail()),
            (ErrorKind::Conflict, "go.fail", "as asked")
        );
        let mut numbers = greeter.count(CountRequest { count: 5 }).await.unwrap();
        for wanted in 1..=5 {
            assert_eq!(numbers.message().await.unwrap().unwrap().seq, wanted);
        }
        assert!(numbers.message().await.unwrap().is_none());
        let (sender, mut echoes) = greeter.echo().unwrap();
        for number in 1..=3 {
            sender.send(named("again")).await.unwrap();
            let reply = echoes.message().await.unwrap().unwrap();
            assert_eq!((reply.greeting.as_str(), reply.seq), ("echo again", number));
        }
    }
    server.stop().await;
    let gone = GreeterClient::new(service.as_str(), &client);
    let error = timeout(PATIENCE, gone.hello(named("nobody"))).await;
    assert_eq!(error.unwrap().unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn go_calls_rust_over_nats_in_both_codecs() {
    let Some(go) = go_peer::program().await else {
        return;
    };
    let service = unique("rust");
    let running = rust_server(&service).await;
    for codec in ["protobuf", "json"] {
        let with = |command: &'static str, more: &[&'static str]| {
            let mut arguments = vec![command, "--service", service.as_str(), "--codec", codec];
            arguments.extend(REGISTRY.into_iter().chain(TRANSPORT));
            arguments.extend(more);
            arguments.into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        let said = |arguments: Vec<String>| {
            let go = go.clone();
            async move {
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                go_peer::call(&go, &arguments).await.join("\n")
            }
        };
        let hello = with("call", &["--body", r#"{"name":"nats"}"#, "--repeat", "3"]);
        let hello = said(hello).await;
        assert_eq!(hello.matches("Hello nats").count(), 3, "{codec}: {hello}");
        let failed = with(
            "call",
            &[
                "--endpoint",
                "Greeter.Fail",
                "--body",
                r#"{"id":"rust.fail","code":409,"detail":"as asked"}"#,
            ],
        );
        let failed = said(failed).await;
        assert!(
            failed.contains("409") && failed.contains("rust.fail"),
            "{codec}: {failed}"
        );
        let count = said(with(
            "stream",
            &["--endpoint", "Greeter.Count", "--messages", "3"],
        ))
        .await;
        assert!(
            count.contains("count 3") && count.ends_with("end"),
            "{codec}: {count}"
        );
        let echo = said(with("stream", &["--endpoint", "Greeter.Echo", "--messages", "3"])).await;
        assert!(
            echo.contains("echo m2") && echo.ends_with("end"),
            "{codec}: {echo}"
        );
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn events_go_both_ways_over_nats_in_both_codecs() {
    let Some(go) = go_peer::program().await else {
        return;
    };
    let topic = unique("notice");
    let (heard, mut hears) = mpsc::channel::<(String, String)>(64);
    let listening = subscriber(topic.as_str(), move |context: Context, event: HelloRequest| {
        let heard = heard.clone();
        async move {
            let content_type = context
                .metadata()
                .get("Content-Type")
                .unwrap_or_default()
                .to_owned();
            let _ = heard.send((event.name, content_type)).await;
            Ok::<(), Error>(())
        }
    });
    let builder = settings(&unique("listener")).service().await.unwrap();
    let running = builder
        .subscriber(listening)
        .build()
        .unwrap()
        .start()
        .await
        .unwrap();
    let mut command = Command::new(&go);
    command
        .args(["subscribe", "--topic", &topic])
        .args(REGISTRY)
        .args(BROKER);
    let mut subscribed = Process::start(&mut command);
    subscribed.line_after("registered").await;

    for codec in ["json", "protobuf"] {
        let mut arguments = vec![
            "publish", "--topic", &topic, "--codec", codec, "--name", codec, "--count", "3",
        ];
        arguments.extend(["--linger", "100ms"].into_iter().chain(REGISTRY).chain(BROKER));
        let said = go_peer::call(&go, &arguments).await;
        assert_eq!(said, ["published 3"]);
        for number in 0..3 {
            let wanted = format!("{codec}-{number}");
            let (name, _) = timeout(PATIENCE, hears.recv()).await.unwrap().unwrap();
            assert_eq!(name, wanted);
            let line = subscribed.line_after("event ").await;
            assert!(line.starts_with(&wanted) && line.contains(codec), "{line}");
        }
    }
    for (codec, content_type) in [("json", JSON), ("protobuf", PROTOBUF)] {
        let client = settings("interop").client().await.unwrap();
        let client = client.build().with_options(CallOptions {
            content_type: Some(content_type),
            ..CallOptions::default()
        });
        client.publish(topic.as_str(), &named("rust")).await.unwrap();
        let line = subscribed.line_after("event ").await;
        assert!(
            line.starts_with("rust ") && line.ends_with(&format!("application/{codec}")),
            "{line}"
        );
        assert_eq!(timeout(PATIENCE, hears.recv()).await.unwrap().unwrap().0, "rust");
    }
    subscribed.stop().await;
    running.stop().await.unwrap();
}
