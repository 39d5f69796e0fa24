//! What is mounted beside calls, over both versions of HTTP.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use micro_core::debug::Diagnostics;
use micro_core::handler::handler_fn;
use micro_core::transport::http::Route;
use micro_core::{Body, Request, Response, Transport};
use micro_grpc::{GrpcConfig, GrpcTransport};
use tokio::net::TcpStream;

use crate::http1::{exchange, post, serve_all};
use crate::raw::connect;

/// Tells what it was asked, or streams pieces.
pub(crate) struct Pages;

#[async_trait]
impl Route for Pages {
    async fn serve(&self, request: http::Request<Body>) -> http::Response<Body> {
        let (head, mut body) = request.into_parts();
        if head.uri.path().ends_with("/pieces") {
            let pieces = ["a", "b", "c"].map(|piece| Ok(Bytes::from_static(piece.as_bytes())));
            return http::Response::new(Body::stream(stream::iter(pieces)));
        }
        let mut length = 0;
        while let Some(Ok(piece)) = body.message().await {
            length += piece.len();
        }
        let page = format!("{} {} {length}", head.method, head.uri.path());
        http::Response::builder()
            .status(201)
            .header("connection", "keep-alive")
            .body(page.into_bytes().into())
            .unwrap()
    }
}

fn with_pages() -> GrpcConfig {
    GrpcConfig {
        routes: vec![
            ("/pages".into(), Arc::new(Pages)),
            ("/health".into(), Diagnostics::default().route()),
        ],
        ..GrpcConfig::default()
    }
}

#[tokio::test]
async fn mounted_paths_are_served_beside_calls_over_http1() {
    let listener = serve_all(with_pages()).await;
    let mut stream = TcpStream::connect(listener.address()).await.unwrap();
    let json = [("content-type", "application/json")];
    let answer = exchange(&mut stream, &post("/pages/a.B/C?d=e", &json, b"xyz")).await;
    assert_eq!((answer.status, answer.text()), (201, "POST /pages/a.B/C 3"));
    let answer = exchange(&mut stream, &post("/pages/pieces", &json, b"")).await;
    assert_eq!((answer.status, answer.text()), (200, "abc"));
    let answer = exchange(&mut stream, b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.text().contains("\"status\""), "{answer:?}");
    let answer = exchange(&mut stream, &post("/a.Greeter/Hello", &json, b"{}")).await;
    assert_eq!((answer.status, answer.text()), (200, "{}"));
    let answer = exchange(&mut stream, b"GET /pagesandmore HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(answer.status, 405);
}

#[tokio::test]
async fn mounted_paths_are_served_beside_calls_over_http2() {
    let listener = serve_all(with_pages()).await;
    let mut caller = connect(listener.address()).await;
    let mut ask = async |method: http::Method, path: &str, body: &'static [u8]| {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("http://wire{path}"));
        caller.call(request.body(()).unwrap(), body).await.unwrap()
    };
    let answer = ask(http::Method::PUT, "/pages", b"xyz").await;
    assert_eq!(
        (answer.status, answer.body.as_slice()),
        (201, &b"PUT /pages 3"[..])
    );
    let answer = ask(http::Method::HEAD, "/pages", b"").await;
    assert_eq!((answer.status, answer.body.as_slice()), (201, &b""[..]));
    let answer = ask(http::Method::GET, "/pages/pieces", b"").await;
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"abc"[..]));
    let answer = ask(http::Method::GET, "/health/live", b"").await;
    assert!(
        String::from_utf8_lossy(&answer.body).contains("\"status\""),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_route_where_calls_are_served_is_refused() {
    let transport = GrpcTransport::new(GrpcConfig {
        routes: vec![("/".into(), Arc::new(Pages))],
        ..GrpcConfig::default()
    });
    let echo = handler_fn(|mut request: Request| async move { Ok(Response::new(request.take_body())) });
    let error = transport
        .unwrap()
        .listen("127.0.0.1:0", Arc::new(echo))
        .await
        .err()
        .unwrap();
    assert!(
        error.detail().contains("127.0.0.1:0") && error.detail().contains("mounted at \"/\""),
        "{error}"
    );
}
