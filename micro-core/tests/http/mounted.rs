//! What hyper serves on the same port: HTTP/2 without encryption, and mounted routes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use micro_core::transport::Listener;
use micro_core::transport::http::{HttpConfig, HttpLimits, Route};
use micro_core::{Body, Error};
use tokio_util::task::AbortOnDropHandle;

use crate::raw::{Raw, greeter, hello, listen, within};

/// Tells what it was asked, or streams pieces.
pub struct Pages;

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
        http::Response::builder()
            .status(201)
            .header("x-page", "yes")
            .body(
                format!("{} {} {length}", head.method, head.uri.path())
                    .into_bytes()
                    .into(),
            )
            .unwrap()
    }
}

async fn pages() -> Box<dyn Listener> {
    let config = HttpConfig {
        routes: vec![
            ("/pages".into(), Arc::new(Pages)),
            ("/pages/deep/".into(), Arc::new(Pages)),
        ],
        ..HttpConfig::default()
    };
    listen(crate::greeter::handler(), config).await
}

type Sender = SendRequest<Full<Bytes>>;

async fn http2(address: &str) -> (Sender, AbortOnDropHandle<Result<(), hyper::Error>>) {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = handshake.await.unwrap();
    (sender, AbortOnDropHandle::new(tokio::spawn(connection)))
}

async fn ask(sender: &mut Sender, request: http::Request<Full<Bytes>>) -> http::Response<Bytes> {
    let (head, body) = within(sender.send_request(request)).await.unwrap().into_parts();
    http::Response::from_parts(head, within(body.collect()).await.unwrap().to_bytes())
}

/// Makes a call and waits for its answer.
pub async fn begin(address: String) {
    let (mut sender, _connection) = http2(&address).await;
    let _ = sender.send_request(call("Any.Call", "")).await;
}

fn call(endpoint: &str, body: &'static str) -> http::Request<Full<Bytes>> {
    http::Request::post("http://a/")
        .header("content-type", "application/json")
        .header("micro-endpoint", endpoint)
        .body(Full::new(Bytes::from_static(body.as_bytes())))
        .unwrap()
}

#[tokio::test]
async fn calls_over_http2_are_answered() {
    crate::raw::bounded(async {
        let server = greeter().await;
        let (mut sender, _connection) = http2(server.address()).await;
        let answer = ask(&mut sender, call("Greeter.Hello", r#"{"name":"you"}"#)).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &"application/json".parse().unwrap())
        );
        assert!(answer.body().starts_with(b"{\"greeting\":\"Hello you\""));
        let answer = ask(
            &mut sender,
            call("Greeter.Fail", r#"{"id":"a","code":409,"detail":"so\nit is"}"#),
        )
        .await;
        assert_eq!(answer.status(), 409);
        let error = Error::from_wire(std::str::from_utf8(answer.body()).unwrap());
        assert_eq!((error.id(), error.detail()), ("a", "so\nit is"));
        assert!(answer.headers().contains_key("micro-error"));
        let answer = ask(&mut sender, call("Greeter.Count", r#"{"count":3}"#)).await;
        assert_eq!(
            answer
                .body()
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
                .count(),
            3
        );
        let answer = ask(&mut sender, call("Greeter.Nothing", "{}")).await;
        assert_eq!(answer.status(), 404);
    })
    .await;
}

#[tokio::test]
async fn names_count_over_http2_as_over_http1() {
    crate::raw::bounded(async {
        let server = greeter().await;
        let (mut sender, _connection) = http2(server.address()).await;
        for names in [
            &[("x-micro-method", "Greeter.Hello")][..],
            &[
                ("x-micro-endpoint", "Greeter.Hello"),
                ("x-micro-method", "Greeter.Fail"),
            ],
            &[
                ("micro-endpoint", "Greeter.Hello"),
                ("x-micro-endpoint", "Greeter.Fail"),
                ("micro-method", "Greeter.Fail"),
            ],
            &[
                ("x-micro-endpoint", "Greeter.Fail"),
                ("micro-endpoint", "Greeter.Hello"),
            ],
            &[
                ("micro-endpoint", "Greeter.Hello"),
                ("micro-endpoint", "Greeter.Fail"),
            ],
        ] {
            let mut request = http::Request::post("http://a/").header("content-type", "application/json");
            for (name, value) in names {
                request = request.header(*name, *value);
            }
            let request = request
                .header("foo", "grün")
                .body(Full::new(Bytes::from_static(b"{}")))
                .unwrap();
            let answer = ask(&mut sender, request).await;
            assert_eq!(answer.status(), 200, "{names:?}");
            assert!(
                String::from_utf8_lossy(answer.body()).contains("grün"),
                "{names:?}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn limits_hold_over_http2() {
    crate::raw::bounded(async {
        let limits = HttpLimits {
            message_size: 1000,
            body_timeout: Duration::from_millis(50),
            ..HttpLimits::default()
        };
        let server = listen(
            crate::greeter::handler(),
            HttpConfig {
                limits,
                ..HttpConfig::default()
            },
        )
        .await;
        let (mut sender, _connection) = http2(server.address()).await;
        let long: &'static str = Box::leak("x".repeat(2000).into_boxed_str());
        let answer = ask(&mut sender, call("Greeter.Hello", long)).await;
        assert_eq!(answer.status(), 413);
        assert!(String::from_utf8_lossy(answer.body()).contains("message_size"));
        let stream = tokio::net::TcpStream::connect(server.address()).await.unwrap();
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.unwrap();
        let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
        let never = stream::pending::<Result<hyper::body::Frame<Bytes>, std::io::Error>>();
        let request = http::Request::post("http://a/")
            .body(http_body_util::StreamBody::new(never))
            .unwrap();
        let answer = within(sender.send_request(request)).await.unwrap();
        assert_eq!(answer.status(), 408);
    })
    .await;
}

#[tokio::test]
async fn mounted_paths_are_served_beside_calls_over_both_versions() {
    crate::raw::bounded(async {
        let server = pages().await;
        let mut connection = Raw::connect(server.address()).await;
        assert!(
            within(connection.exchange(hello("first")))
                .await
                .text()
                .contains("Hello first")
        );
        for (path, body) in [("/pages", ""), ("/pages/a?b=c", "xyz"), ("/pages/deep/er", "")] {
            let request = format!(
                "PUT {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            for size in [request.len(), 1] {
                connection.send_in(request.as_bytes().chunks(size)).await;
                let answer = within(connection.message()).await.unwrap();
                let expected = format!("PUT {} {}", path.split('?').next().unwrap(), body.len());
                assert_eq!((answer.status(), answer.text()), (201, expected.as_str()));
                assert_eq!(answer.header("x-page"), Some("yes"));
            }
        }
        assert!(
            within(connection.exchange(hello("again")))
                .await
                .text()
                .contains("Hello again"),
            "calls go on behind them"
        );
        let pieces = within(connection.exchange("GET /pages/pieces HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(pieces.text(), "abc");
        let mut other = Raw::connect(server.address()).await;
        let answer = within(other.exchange("GET /pagesandmore HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(answer.status(), 400, "no path of the route");
        let (mut sender, _connection) = http2(server.address()).await;
        let request = http::Request::get("http://a/pages/x")
            .body(Full::new(Bytes::new()))
            .unwrap();
        assert_eq!(ask(&mut sender, request).await.body(), "GET /pages/x 0");
        assert_eq!(ask(&mut sender, call("Greeter.Hello", "{}")).await.status(), 200);
    })
    .await;
}

#[tokio::test]
async fn hypers_connections_drain_too() {
    crate::raw::bounded(async {
        let server = pages().await;
        let address = server.address().to_owned();
        let mut idle = Raw::connect(&address).await;
        within(idle.exchange("GET /pages HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let (mut sender, connection) = http2(&address).await;
        ask(&mut sender, call("Greeter.Hello", "{}")).await;
        let mut running = sender.clone();
        let sleep = tokio::spawn(async move { ask(&mut running, call("Greeter.Sleep", "200")).await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        let closing = tokio::spawn(server.close(Duration::from_secs(20)));
        assert!(within(idle.message()).await.is_none());
        let answer = within(sleep).await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.body()[..]),
            (200, &b"200\n"[..])
        );
        within(connection).await.unwrap().unwrap();
        within(closing).await.unwrap();
    })
    .await;
}
