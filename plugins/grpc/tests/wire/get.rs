//! Connect's calls by GET.

use micro_core::debug::Diagnostics;
use micro_core::handler::{Endpoint, handler_fn};
use micro_core::registry::MemoryRegistry;
use micro_core::{Request, Response, Service};
use micro_grpc::{GrpcConfig, GrpcTransport};
use tokio::net::TcpStream;

use crate::http1::{Plain, exchange, serve_all};
use crate::raw::connect;

/// The file `g.proto` of the package `a` with the service `Greeter` and its methods `Hello`, which is marked, and
/// `Change`, which is not.
const SET: &[u8] = b"\x0a\x37\x0a\x07g.proto\x12\x01a\x32\x21\x0a\x07Greeter\
    \x12\x0c\x0a\x05Hello\x22\x03\x90\x02\x01\x12\x08\x0a\x06Change\x62\x06proto3";

fn allowing() -> GrpcConfig {
    GrpcConfig {
        get_calls: ["Hello", "Fail", "Count", "About"]
            .map(|name| format!("Greeter.{name}"))
            .into(),
        ..GrpcConfig::default()
    }
}

async fn get(address: &str, target: &str, header: &str) -> Plain {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nhost: wire\r\n{header}\r\n");
    exchange(&mut stream, request.as_bytes()).await
}

#[tokio::test]
async fn a_call_by_get_is_answered_as_one_by_post() {
    let listener = serve_all(allowing()).await;
    for (query, content_type, body) in [
        (
            "connect=v1&encoding=json&message=%7B%22name%22%3A%22x%22%7D",
            "application/json",
            r#"{"name":"x"}"#,
        ),
        (
            "message=CgV3b3JsZA&encoding=proto&base64=1",
            "application/proto",
            "\n\x05world",
        ),
        (
            "encoding=json&base64=1&compression=gzip&message=H4sIAAAAAAACA6uuBQBDv6ajAgAAAA",
            "application/json",
            "{}",
        ),
    ] {
        let answer = get(listener.address(), &format!("/a.Greeter/Hello?{query}"), "").await;
        assert_eq!((answer.status, answer.text()), (200, body), "{query}");
        assert_eq!(answer.header("content-type"), content_type);
        assert_eq!(answer.header("vary"), "accept-encoding");
        assert_eq!(answer.header("answered"), "yes");
    }
    let about = "/a.Greeter/About?encoding=json&message=%7B%7D";
    let answer = get(
        listener.address(),
        about,
        "connect-timeout-ms: 7000\r\ntenant: acme\r\n",
    )
    .await;
    assert_eq!(answer.text(), r#"Unary application/json 7 [("tenant", "acme")]"#);
    let mut caller = connect(listener.address()).await;
    let request = http::Request::get("http://wire/a.Greeter/Hello?encoding=json&message=%7B%7D");
    let answer = caller.call(request.body(()).unwrap(), b"").await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"{}"[..]));
}

#[tokio::test]
async fn errors_of_calls_by_get_have_connects_statuses() {
    let listener = serve_all(allowing()).await;
    for (target, status, says) in [
        (
            "/a.Greeter/Fail?encoding=json&message=%7B%7D",
            409,
            "already_exists",
        ),
        (
            "/a.Greeter/Count?encoding=json&message=%7B%7D",
            501,
            "unimplemented",
        ),
        ("/a.Greeter/Hello?encoding=json", 400, "the parameter message"),
        ("/a.Greeter/Hello?message=x", 415, "encoding"),
        (
            "/a.Greeter/Hello?message=x&encoding=json&compression=br",
            501,
            "unimplemented",
        ),
    ] {
        let answer = get(listener.address(), target, "").await;
        assert!(
            answer.status == status && answer.text().contains(says),
            "{target}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn what_may_change_something_is_not_called_by_get() {
    let listener = serve_all(GrpcConfig::default()).await;
    let answer = get(
        listener.address(),
        "/a.Greeter/Hello?encoding=json&message=%7B%7D",
        "",
    )
    .await;
    assert_eq!((answer.status, answer.header("allow")), (405, "POST"));
    let listener = serve_all(allowing()).await;
    let mut stream = TcpStream::connect(listener.address()).await.unwrap();
    let answer = exchange(
        &mut stream,
        b"PUT /a.Greeter/Hello HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    assert_eq!((answer.status, answer.header("allow")), (405, "GET, POST"));
}

#[tokio::test]
async fn descriptors_say_which_methods_change_nothing() {
    let diagnostics = Diagnostics::default();
    let transport = GrpcTransport::new(GrpcConfig {
        diagnostics: Some(diagnostics.clone()),
        ..GrpcConfig::default()
    });
    let echo = || handler_fn(|mut request: Request| async move { Ok(Response::new(request.take_body())) });
    let mut builder = Service::builder("greeter")
        .address("127.0.0.1:0")
        .registry(std::sync::Arc::new(MemoryRegistry::new()))
        .transport(std::sync::Arc::new(transport.unwrap()))
        .diagnostics(diagnostics)
        .handler(Endpoint::new("Greeter.Hello", echo()).with_descriptors(SET))
        .handler(Endpoint::new("Greeter.Change", echo()).with_descriptors(SET));
    builder.options_mut().notice = std::time::Duration::from_millis(1);
    let service = builder.build().unwrap().start().await.unwrap();
    for (method, status) in [("Hello", 200), ("Change", 405)] {
        let target = format!("/a.Greeter/{method}?encoding=json&message=%7B%7D");
        assert_eq!(
            get(service.address(), &target, "").await.status,
            status,
            "{method}"
        );
    }
    service.stop().await.unwrap();
}
