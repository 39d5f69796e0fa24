//! gRPC at the port of the HTTP transport, beside Go Micro's calls and mounted pages.

use std::sync::Arc;
use std::time::Duration;

use micro_core::debug::Diagnostics;
use micro_core::handler::handler_fn;
use micro_core::registry::Node;
use micro_core::transport::http::{HttpConfig, Identity, Tls};
use micro_core::transport::socket::Connector;
use micro_core::transport::{HttpTransport, Listener};
use micro_core::{Request, Response, Transport};
use micro_grpc::{GrpcConfig, GrpcDialect, GrpcTransport};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::http1::{answer, exchange, post};
use crate::pages::Pages;
use crate::raw::{connect, dial, head, soon};

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const GRPC: &[(&str, &str)] = &[("content-type", "application/grpc+proto")];
const NATIVE: &[(&str, &str)] = &[
    ("content-type", "application/json"),
    ("micro-endpoint", "Greeter.Hello"),
];

fn hosting(config: GrpcConfig) -> HttpConfig {
    HttpConfig {
        routes: vec![("/pages".into(), Arc::new(Pages))],
        dialect: Some(Arc::new(GrpcDialect::new(config))),
        ..HttpConfig::default()
    }
}

async fn host(config: HttpConfig) -> Box<dyn Listener> {
    let transport = HttpTransport::new(config).unwrap();
    transport
        .listen("127.0.0.1:0", Arc::new(handler_fn(answer)))
        .await
        .unwrap()
}

#[tokio::test]
async fn one_port_answers_every_protocol_over_http1() {
    let listener = host(hosting(GrpcConfig::default())).await;
    let mut stream = TcpStream::connect(listener.address()).await.unwrap();
    let native = exchange(&mut stream, &post("/", NATIVE, b"first")).await;
    assert_eq!((native.status, native.text()), (200, "first"));
    for _ in 0..2 {
        for (path, headers, body, expected) in [
            ("/a.Greeter/Hello", JSON, &b"{}"[..], &b"{}"[..]),
            (
                "/a.Greeter/Count",
                &[("content-type", "application/grpc-web+json")],
                b"\0\0\0\0\x01x",
                b"\0\0\0\0\x02x0\0\0\0\0\x02x1\0\0\0\0\x02x2\x80\0\0\0\x0fgrpc-status:0\r\n",
            ),
            (
                "/a.Greeter/Echo",
                &[("content-type", "application/connect+proto")],
                b"\0\0\0\0\x01x",
                b"\0\0\0\0\x01x\x02\0\0\0\x02{}",
            ),
            ("/", NATIVE, b"native", b"native"),
            ("/a.Greeter/Fail", NATIVE, b"by its headers", b"by its headers"),
        ] {
            let answer = exchange(&mut stream, &post(path, headers, body)).await;
            assert_eq!((answer.status, answer.body.as_slice()), (200, expected), "{path}");
        }
        let page = exchange(&mut stream, &post("/pages/a.B/C", JSON, b"xyz")).await;
        assert_eq!((page.status, page.text()), (201, "POST /pages/a.B/C 3"));
        let failure = exchange(&mut stream, &post("/a.Greeter/Fail", JSON, b"{}")).await;
        assert!(failure.status == 409 && failure.text().starts_with(r#"{"code":"already_exists""#));
    }
    let refusal = exchange(&mut stream, &post("/a.Greeter/Hello", GRPC, b"")).await;
    assert!(
        refusal.status == 505 && refusal.text().contains("HTTP/2"),
        "{refusal:?}"
    );
}

#[tokio::test]
async fn one_port_answers_every_protocol_over_http2() {
    let listener = host(hosting(GrpcConfig::default())).await;
    let mut caller = connect(listener.address()).await;
    let answer = caller
        .call(head("/a.Greeter/Hello", GRPC), b"\0\0\0\0\x02hi")
        .await
        .unwrap();
    assert_eq!(
        (answer.grpc_status(), answer.body.as_slice()),
        ("0", &b"\0\0\0\0\x02hi"[..])
    );
    let answer = caller
        .call(head("/a.Greeter/Fail", GRPC), b"\0\0\0\0\0")
        .await
        .unwrap();
    assert_eq!(answer.grpc_status(), "6");
    for (path, headers, body) in [
        ("/a.Greeter/Hello", JSON, &b"{}"[..]),
        ("/", NATIVE, b"native"),
        ("/a.Greeter/Fail", NATIVE, b"by its headers"),
    ] {
        let answer = caller.call(head(path, headers), body).await.unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, body), "{path}");
    }
    let page = caller.call(head("/pages/a.B/C", JSON), b"xyz").await.unwrap();
    assert_eq!(
        (page.status, page.body.as_slice()),
        (201, &b"POST /pages/a.B/C 3"[..])
    );
}

#[tokio::test]
async fn both_transports_call_the_one_listener() {
    let listener = host(hosting(GrpcConfig::default())).await;
    let over_grpc = dial(listener.address(), GrpcConfig::default()).await;
    let node = Node::new("node-1", listener.address());
    let over_http = HttpTransport::unencrypted(HttpConfig::default())
        .dial(&node)
        .await
        .unwrap();
    for peer in [over_grpc, over_http] {
        let response = soon(peer.handle(Request::new("a", "Greeter.Hello", "hi")))
            .await
            .unwrap();
        assert_eq!(response.metadata.get("answered"), Some("yes"));
        assert_eq!(response.body.single().await.unwrap(), "hi");
        let error = soon(peer.handle(Request::new("a", "Greeter.Fail", "")))
            .await
            .unwrap_err();
        assert_eq!((error.id(), error.code()), ("interop.fail", 409));
    }
}

#[tokio::test]
async fn health_is_answered_there_too() {
    let listener = host(hosting(GrpcConfig {
        diagnostics: Some(Diagnostics::default()),
        ..GrpcConfig::default()
    }))
    .await;
    let mut caller = connect(listener.address()).await;
    let answer = caller
        .call(head("/grpc.health.v1.Health/Check", GRPC), b"\0\0\0\0\0")
        .await
        .unwrap();
    assert_eq!(answer.grpc_status(), "0");
    assert!(answer.body.starts_with(b"\0\0\0\0\x02\x08"), "{answer:?}");
}

#[tokio::test]
async fn encrypted_connections_choose_what_they_speak() {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = certificate.self_signed(&key).unwrap().pem();
    let tls = Tls {
        identity: Some(Identity {
            certificates: certificate.clone().into(),
            key: key.serialize_pem().into(),
        }),
        authorities: certificate.into(),
        ..Tls::default()
    };
    let listener = host(HttpConfig {
        tls: Some(tls.clone()),
        ..hosting(GrpcConfig::default())
    })
    .await;
    let config = GrpcConfig {
        tls: Some(tls.clone()),
        ..GrpcConfig::default()
    };
    let peer = GrpcTransport::new(config)
        .unwrap()
        .dial(&Node::new("n", listener.address()))
        .await
        .unwrap();
    let response = soon(peer.handle(Request::new("a", "Greeter.Hello", "hi")))
        .await
        .unwrap();
    assert_eq!(response.body.single().await.unwrap(), "hi");
    let connector = Connector::new(Some(&tls), &["http/1.1"]).unwrap();
    let mut stream = soon(connector.connect(listener.address())).await.unwrap();
    for (path, headers) in [("/", NATIVE), ("/a.Greeter/Hello", JSON)] {
        let answer = exchange(&mut stream, &post(path, headers, b"{}")).await;
        assert_eq!((answer.status, answer.text()), (200, "{}"));
    }
}

#[tokio::test]
async fn a_listener_that_closes_answers_what_runs_in_every_protocol() {
    let (began, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let signals = (began.clone(), go.clone());
    let held = handler_fn(move |mut request: Request| {
        let (began, go) = signals.clone();
        async move {
            began.add_permits(1);
            go.acquire().await.unwrap().forget();
            Ok(Response::new(request.take_body()))
        }
    });
    let transport = HttpTransport::new(hosting(GrpcConfig::default())).unwrap();
    let listener = transport.listen("127.0.0.1:0", Arc::new(held)).await.unwrap();
    let address = listener.address().to_owned();
    let mut idle = connect(&address).await;
    let page = idle.call(head("/pages", JSON), b"").await.unwrap();
    assert_eq!(page.status, 201);
    let mut caller = connect(&address).await;
    let over_http2 = tokio::spawn(async move {
        let answer = caller
            .call(head("/a.Greeter/Hello", GRPC), b"\0\0\0\0\x02hi")
            .await
            .unwrap();
        assert_eq!(answer.grpc_status(), "0");
    });
    let over_http1 = tokio::spawn(async move {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let answer = exchange(&mut stream, &post("/a.Greeter/Hello", JSON, b"{}")).await;
        assert_eq!(answer.status, 200);
        assert_eq!(soon(stream.read(&mut [0])).await.unwrap(), 0);
    });
    soon(began.acquire_many(2)).await.unwrap().forget();
    let closed = tokio::spawn(listener.close(Duration::from_secs(20)));
    soon(idle.connection).await.unwrap().unwrap();
    go.add_permits(2);
    soon(over_http2).await.unwrap();
    soon(over_http1).await.unwrap();
    soon(closed).await.unwrap();
}

#[tokio::test]
async fn without_a_dialect_such_calls_are_no_calls() {
    let listener = host(HttpConfig::default()).await;
    let mut stream = TcpStream::connect(listener.address()).await.unwrap();
    let answer = exchange(&mut stream, &post("/a.Greeter/Hello", JSON, b"{}")).await;
    assert_eq!(answer.status, 404);
}
