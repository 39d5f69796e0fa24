//! Go calls a service in Rust.

use integration_tests::{GreeterServer, RustGreeter};
use micro::Service;
use micro::service::RunningService;
use serde_json::Value;

use crate::go_peer;

async fn greeter() -> RunningService {
    let service = Service::builder("interop.greeter")
        .address("127.0.0.1:0")
        .handler(GreeterServer::new(RustGreeter));
    service.build().unwrap().start().await.unwrap()
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))
}

const CODECS: [&str; 4] = ["protobuf", "json", "proto-rpc", "json-rpc"];

#[tokio::test]
async fn unary_calls_in_every_codec() {
    let Some(program) = go_peer::program().await else {
        return;
    };
    let greeter = greeter().await;
    for codec in CODECS {
        let body = r#"{"name":"Go","times":2}"#;
        let lines = go_peer::call(
            &program,
            &[
                "call",
                "--address",
                greeter.address(),
                "--endpoint",
                "Greeter.Hello",
                "--codec",
                codec,
                "--body",
                body,
                "--header",
                "Foo=bar",
                "--repeat",
                "3",
            ],
        )
        .await;
        assert_eq!(lines.len(), 3, "{codec}: {lines:?}");
        for line in lines {
            let reply = &json(&line)["reply"];
            assert_eq!(reply["greeting"], "Hello Go, Hello Go", "{codec}: {line}");
            assert_eq!(reply["headers"]["foo"], "bar", "{codec}: {line}");
        }
    }
    greeter.stop().await.unwrap();
}

#[tokio::test]
async fn errors_in_every_codec() {
    let Some(program) = go_peer::program().await else {
        return;
    };
    let greeter = greeter().await;
    for codec in CODECS {
        let call = async |endpoint: &str, body: &str| {
            let arguments = [
                "call",
                "--address",
                greeter.address(),
                "--endpoint",
                endpoint,
                "--codec",
                codec,
                "--body",
                body,
            ];
            json(&go_peer::call(&program, &arguments).await[0])["error"].clone()
        };
        let error = call(
            "Greeter.Fail",
            r#"{"id":"interop.fail","code":409,"detail":"as asked"}"#,
        )
        .await;
        assert_eq!(error["id"], "interop.fail", "{codec}: {error}");
        assert_eq!(error["code"], 409, "{codec}: {error}");
        assert_eq!(error["detail"], "as asked", "{codec}: {error}");
        let error = call("Greeter.Fail", r#"{"detail":"as asked","plain":true}"#).await;
        assert_eq!(error["detail"], "as asked", "{codec}: {error}");
        let error = call("Greeter.Nothing", "{}").await;
        assert!(
            error["detail"]
                .as_str()
                .unwrap()
                .contains("can't find method Nothing"),
            "{codec}: {error}"
        );
    }
    greeter.stop().await.unwrap();
}

#[tokio::test]
async fn streams_in_both_native_codecs() {
    let Some(program) = go_peer::program().await else {
        return;
    };
    let greeter = greeter().await;
    for codec in ["protobuf", "json"] {
        for endpoint in ["Greeter.Count", "Greeter.Echo"] {
            let arguments = [
                "stream",
                "--address",
                greeter.address(),
                "--endpoint",
                endpoint,
                "--codec",
                codec,
                "--messages",
                "5",
            ];
            let lines = go_peer::call(&program, &arguments).await;
            assert_eq!(lines.len(), 6, "{codec} {endpoint}: {lines:?}");
            for (line, seq) in lines.iter().zip(1..=5) {
                assert_eq!(
                    json(line)["message"]["seq"],
                    seq.to_string(),
                    "{codec} {endpoint}: {lines:?}"
                );
            }
            assert_eq!(lines[5], "end", "{codec} {endpoint}");
        }
    }
    greeter.stop().await.unwrap();
}
