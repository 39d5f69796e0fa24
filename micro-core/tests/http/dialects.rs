//! Another protocol on the listener's port: a toy that tells what it was asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use micro_core::handler::Peer;
use micro_core::transport::Listener;
use micro_core::transport::http::{Dialect, Host, HttpConfig, HttpLimits, Route, Speaker};
use micro_core::transport::socket::Socket;
use micro_core::{Body, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::mounted::Pages;
use crate::raw::{Raw, bounded, hello, listen, within};

/// Counts how often its listeners were finished.
#[derive(Clone, Default)]
struct Toy(Arc<AtomicUsize>);

struct Toys {
    host: Host,
    finished: Arc<AtomicUsize>,
}

impl Dialect for Toy {
    fn start(&self, host: Host) -> Arc<dyn Speaker> {
        let finished = self.0.clone();
        Arc::new(Toys { host, finished })
    }
}

#[async_trait]
impl Speaker for Toys {
    fn speaks(&self, head: &http::request::Parts) -> bool {
        head.headers.contains_key("toy")
    }

    async fn answer(&self, request: http::Request<Body>, peer: Peer) -> http::Response<Body> {
        assert!(peer.remote.ip().is_loopback());
        let mut call = Request::new("", "Greeter.Hello", "{}");
        call.content_type = "application/json".into();
        let answer = self.host.handler.handle(call).await.unwrap();
        let answer = answer.body.single().await.unwrap();
        let toy = format!(
            "toy {} {}",
            request.uri().path(),
            String::from_utf8_lossy(&answer)
        );
        http::Response::new(toy.into_bytes().into())
    }

    async fn serve_http2(self: Arc<Self>, mut socket: Socket, peer: Peer) {
        assert!(socket.begins_http2().await.unwrap());
        let mut preface = [0; 24];
        socket.read_exact(&mut preface).await.unwrap();
        for (path, header) in [("/toy", "toy"), ("/pages/toy", "toy"), ("/toy", "micro-endpoint")] {
            let request = http::Request::get(path).header(header, "Greeter.Nothing");
            let answer = self
                .host
                .answer(&*self, request.body(Body::empty()).unwrap(), peer)
                .await;
            let answer = answer.into_body().single().await.unwrap();
            let line = [answer.trim_ascii(), b"\n"].concat();
            socket.write_all(&line).await.unwrap();
        }
        self.host.draining.begun().await;
        socket.write_all(b"closing").await.unwrap();
    }

    async fn finish(&self) {
        self.finished.fetch_add(1, Ordering::SeqCst);
    }
}

async fn toys(toy: &Toy) -> Box<dyn Listener> {
    let config = HttpConfig {
        routes: vec![("/pages".into(), Arc::new(Pages))],
        dialect: Some(Arc::new(toy.clone())),
        ..HttpConfig::default()
    };
    listen(crate::greeter::handler(), config).await
}

fn ask(path: &str, headers: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: 2\r\n\r\n{{}}")
}

#[tokio::test]
async fn over_http1_it_gets_what_is_nobody_elses() {
    bounded(async {
        let listener = toys(&Toy::default()).await;
        let mut connection = Raw::connect(listener.address()).await;
        let native = "Micro-Endpoint: Greeter.Hello\r\nContent-Type: application/json\r\nToy: yes\r\n";
        assert!(
            within(connection.exchange(hello("first")))
                .await
                .text()
                .contains("Hello first")
        );
        let root = within(connection.exchange(ask("/", &format!("{native}Foo: own\r\n")))).await;
        assert!(
            root.text().contains("own"),
            "calls stay in the framing of Go Micro"
        );
        for _ in 0..2 {
            let toy = within(connection.exchange(ask("/a/b?c", "Toy: yes\r\n"))).await;
            assert!(toy.text().starts_with("toy /a/b {\"greeting\""), "{toy:?}");
            let page = within(connection.exchange(ask("/pages/a", "Toy: yes\r\n"))).await;
            assert_eq!(page.text(), "POST /pages/a 2");
            let named = within(connection.exchange(ask("/a/b", native))).await;
            assert!(named.text().starts_with("{\"greeting\""), "{named:?}");
            let nothing = within(connection.exchange(ask("/a/b", ""))).await;
            assert_eq!(nothing.status(), 400);
        }
    })
    .await;
}

#[tokio::test]
async fn over_http2_it_gets_whole_connections_until_the_listener_closes() {
    bounded(async {
        let toy = Toy::default();
        let listener = toys(&toy).await;
        let mut stream = TcpStream::connect(listener.address()).await.unwrap();
        stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await
            .unwrap();
        let mut lines = tokio::io::BufReader::new(&mut stream);
        let mut read = async || {
            let mut line = String::new();
            within(tokio::io::AsyncBufReadExt::read_line(&mut lines, &mut line))
                .await
                .unwrap();
            line
        };
        assert!(read().await.starts_with("toy /toy "));
        assert_eq!(read().await, "GET /pages/toy 0\n");
        let failure = read().await;
        assert!(failure.starts_with("{\"id\""), "{failure}");
        let closed = tokio::spawn(listener.close(Duration::from_secs(20)));
        let mut rest = String::new();
        within(lines.read_to_string(&mut rest)).await.unwrap();
        assert!(rest.ends_with("closing"), "{rest}");
        within(closed).await.unwrap();
        assert_eq!(toy.0.load(Ordering::SeqCst), 1);
    })
    .await;
}

/// Streams without end, and tells when that is dropped.
struct Endless(Arc<Notify>);

struct Held(Arc<Notify>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[async_trait]
impl Route for Endless {
    async fn serve(&self, _: http::Request<Body>) -> http::Response<Body> {
        let held = Held(self.0.clone());
        http::Response::new(Body::stream(stream::repeat_with(move || {
            let _held = &held;
            Ok(Bytes::from_static(&[0; 64 * 1024]))
        })))
    }
}

#[tokio::test]
async fn a_page_that_is_not_read_is_given_up() {
    bounded(async {
        let dropped = Arc::new(Notify::new());
        let config = HttpConfig {
            routes: vec![("/endless".into(), Arc::new(Endless(dropped.clone())))],
            limits: HttpLimits {
                write_timeout: Duration::from_millis(200),
                ..HttpLimits::default()
            },
            ..HttpConfig::default()
        };
        let listener = listen(crate::greeter::handler(), config).await;
        let mut stream = TcpStream::connect(listener.address()).await.unwrap();
        stream
            .write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        within(stream.read_exact(&mut [0; 1000])).await.unwrap();
        within(dropped.notified()).await;
    })
    .await;
}
