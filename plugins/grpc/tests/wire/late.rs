//! Callers that stop waiting, and callers that stop reading.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use micro_core::handler::{Endpoint, handler_fn};
use micro_core::server::ServerBuilder;
use micro_core::transport::Listener;
use micro_core::{Body, Request, Response, Transport};
use micro_grpc::{GrpcConfig, GrpcTransport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::http1::{exchange, post};
use crate::raw::{connect, head, serve, soon};

const STREAM: &[(&str, &str)] = &[("content-type", "application/connect+proto")];

/// Adds a permit when it is dropped.
struct Held(Arc<Semaphore>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

async fn until_dropped(dropped: &Semaphore) {
    soon(dropped.acquire()).await.unwrap().forget();
}

/// A server with an endpoint that never answers, and one whose stream never ends.
async fn serve_endless(dropped: &Arc<Semaphore>) -> Box<dyn Listener> {
    let held = dropped.clone();
    let never = handler_fn(move |_: Request| {
        let held = Held(held.clone());
        async move {
            let _held = held;
            std::future::pending().await
        }
    });
    let held = dropped.clone();
    let endless = handler_fn(move |_: Request| {
        let held = Held(held.clone());
        async move {
            let first = stream::iter([Ok(Bytes::from_static(b"x"))]);
            let rest = stream::once(async move {
                let _held = held;
                std::future::pending().await
            });
            Ok(Response::new(Body::stream(first.chain(rest))))
        }
    });
    let server = ServerBuilder::new()
        .handler(Endpoint::new("Greeter.Never", never))
        .handler(Endpoint::new("Greeter.Endless", endless))
        .build()
        .unwrap();
    let transport = GrpcTransport::new(GrpcConfig::default()).unwrap();
    transport
        .listen("127.0.0.1:0", server.handler().clone())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_call_whose_deadline_has_passed_is_ended_and_its_handler_dropped() {
    let dropped = Arc::new(Semaphore::new(0));
    let listener = serve_endless(&dropped).await;
    let mut caller = connect(listener.address()).await;
    let headers = [("content-type", "application/grpc"), ("grpc-timeout", "50m")];
    let answer = caller
        .call(head("/a.Greeter/Never", &headers), b"\0\0\0\0\0")
        .await
        .unwrap();
    assert_eq!((answer.status, answer.grpc_status()), (200, "4"));
    until_dropped(&dropped).await;
    let answer = caller
        .call(head("/a.Greeter/Endless", &headers), b"\0\0\0\0\0")
        .await
        .unwrap();
    assert_eq!(
        (answer.grpc_status(), answer.body.as_slice()),
        ("4", &b"\0\0\0\0\x01x"[..])
    );
    until_dropped(&dropped).await;
}

#[tokio::test]
async fn the_other_dialects_have_their_words_for_a_deadline_that_has_passed() {
    let dropped = Arc::new(Semaphore::new(0));
    let listener = serve_endless(&dropped).await;
    let mut stream = TcpStream::connect(listener.address()).await.unwrap();
    let in_time = ("connect-timeout-ms", "50");
    let json = [("content-type", "application/json"), in_time];
    let answer = exchange(&mut stream, &post("/a.Greeter/Never", &json, b"{}")).await;
    assert!(
        answer.status == 504 && answer.text().contains("deadline_exceeded"),
        "{answer:?}"
    );
    until_dropped(&dropped).await;
    let headers = [STREAM[0], in_time];
    let answer = exchange(&mut stream, &post("/a.Greeter/Endless", &headers, b"\0\0\0\0\0")).await;
    let end = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(
        end.starts_with("\0\0\0\0\x01x\x02") && end.contains("deadline_exceeded"),
        "{end}"
    );
    until_dropped(&dropped).await;
}

/// Serves one very large message, or a stream of large ones without end.
async fn serve_large(write_timeout: Duration, dropped: &Arc<Semaphore>) -> Box<dyn Listener> {
    let mut config = GrpcConfig::default();
    config.limits.write_timeout = write_timeout;
    let dropped = dropped.clone();
    serve(config, move |request| {
        let held = Held(dropped.clone());
        async move {
            if request.endpoint == "Greeter.Whole" {
                return Ok(Response::new(vec![0; 64 * 1024 * 1024]));
            }
            let messages = stream::repeat_with(move || {
                let _held = &held;
                Ok(Bytes::from_static(&[0; 64 * 1024]))
            });
            Ok(Response::new(Body::stream(messages)))
        }
    })
    .await
}

#[tokio::test]
async fn a_reader_over_http1_that_stalls_is_cut_off() {
    let dropped = Arc::new(Semaphore::new(0));
    let listener = serve_large(Duration::from_millis(200), &dropped).await;
    let mut stream = TcpStream::connect(listener.address()).await.unwrap();
    stream
        .write_all(&post("/a.Greeter/Many", STREAM, b""))
        .await
        .unwrap();
    soon(stream.read_exact(&mut [0; 1000])).await.unwrap();
    until_dropped(&dropped).await;
    let json = [("content-type", "application/json")];
    let mut stream = TcpStream::connect(listener.address()).await.unwrap();
    stream
        .write_all(&post("/a.Greeter/Whole", &json, b"{}"))
        .await
        .unwrap();
    soon(stream.read_exact(&mut [0; 1000])).await.unwrap();
    // It would wait for a connection with an answer under way.
    soon(listener.close(Duration::from_secs(3600))).await;
}

#[tokio::test]
async fn a_reader_over_http1_that_is_slow_but_reads_is_served() {
    let dropped = Arc::new(Semaphore::new(0));
    let listener = serve_large(Duration::from_secs(2), &dropped).await;
    let mut stream = TcpStream::connect(listener.address()).await.unwrap();
    stream
        .write_all(&post("/a.Greeter/Many", STREAM, b""))
        .await
        .unwrap();
    let mut buffer = vec![0; 256 * 1024];
    let until = tokio::time::Instant::now() + Duration::from_secs(5);
    while tokio::time::Instant::now() < until {
        soon(stream.read_exact(&mut buffer)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(dropped.available_permits(), 0);
}

#[tokio::test]
async fn a_slow_reader_of_one_message_over_http1_has_the_limit_for_all_of_it() {
    let dropped = Arc::new(Semaphore::new(0));
    let listener = serve_large(Duration::from_millis(500), &dropped).await;
    let mut stream = TcpStream::connect(listener.address()).await.unwrap();
    let json = [("content-type", "application/json")];
    stream
        .write_all(&post("/a.Greeter/Whole", &json, b"{}"))
        .await
        .unwrap();
    let mut buffer = vec![0; 64 * 1024];
    soon(async {
        // At this pace the answer would take 50 s.
        while !matches!(stream.read(&mut buffer).await, Ok(0) | Err(_)) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}
