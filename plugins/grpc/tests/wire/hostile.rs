//! Bad input: a clear answer and bounded work, never a panic and never a hang.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use micro_core::{Request, Response};
use micro_grpc::{GrpcConfig, GrpcLimits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::raw::{accept, connect, dial, head, serve, serve_echo, soon};

const GRPC: &[(&str, &str)] = &[("content-type", "application/grpc"), ("te", "trailers")];

/// Headers and body of a call, and the status and the words that refuse it.
type BadCall = (
    Vec<(&'static str, &'static str)>,
    &'static [u8],
    &'static str,
    &'static str,
);

fn limited(limits: GrpcLimits) -> GrpcConfig {
    GrpcConfig {
        limits,
        ..GrpcConfig::default()
    }
}

#[tokio::test]
async fn what_is_no_call_of_grpc_is_answered_with_what_is_wrong() {
    let listener = serve_echo(GrpcConfig::default()).await;
    let mut caller = connect(listener.address()).await;
    for content_type in ["text/html", "application/grpcx"] {
        let head = head("/a.B/C", &[("content-type", content_type)]);
        assert_eq!(
            caller.call(head, b"").await.unwrap().status,
            415,
            "{content_type}"
        );
    }
    assert_eq!(caller.call(head("/a.B/C", &[]), b"").await.unwrap().status, 415);
    let mut get = head("/a.B/C", GRPC);
    *get.method_mut() = http::Method::GET;
    assert_eq!(caller.call(get, b"").await.unwrap().status, 405);
    for path in ["/", "/x", "/a.B/C/D", "//x", "/a./x"] {
        let answer = caller.call(head(path, GRPC), b"\0\0\0\0\0").await.unwrap();
        assert_eq!((answer.status, answer.grpc_status()), (200, "12"), "{path}");
    }
    // The connection is as good as before.
    let answer = caller.call(head("/a.B/C", GRPC), b"\0\0\0\0\x01x").await.unwrap();
    assert_eq!(
        (answer.grpc_status(), answer.body.as_slice()),
        ("0", &b"\0\0\0\0\x01x"[..])
    );
}

#[tokio::test]
async fn bad_messages_and_headers_fail_their_call_alone() {
    let listener = serve(
        limited(GrpcLimits {
            message_size: 100,
            ..GrpcLimits::default()
        }),
        |mut request| async move { Ok(Response::new(request.take_body().single().await?)) },
    )
    .await;
    let mut caller = connect(listener.address()).await;
    let with = |name: &'static str, value: &'static str| [GRPC, &[(name, value)]].concat();
    let plain = || GRPC.to_vec();
    let cases: [BadCall; 8] = [
        (plain(), b"\x02\0\0\0\0", "3", "neither%200%20nor%201"),
        (plain(), b"\x01\0\0\0\x01x", "3", "grpc-encoding"),
        (
            with("grpc-encoding", "gzip"),
            b"\x01\0\0\0\x01x",
            "3",
            "decompressed",
        ),
        (
            with("grpc-encoding", "snappy"),
            b"\x01\0\0\0\x01x",
            "12",
            "snappy",
        ),
        (plain(), b"\0\0\0\0\x05abc", "3", "inside"),
        (plain(), b"\0\0", "3", "inside"),
        (plain(), b"\0\xff\xff\xff\xff", "8", "message_size"),
        (with("grpc-timeout", "soon"), b"\0\0\0\0\0", "3", "grpc-timeout"),
    ];
    for (headers, body, status, said) in cases {
        let answer = caller.call(head("/a.B/C", &headers), body).await.unwrap();
        let message = answer.headers["grpc-message"].to_str().unwrap().to_owned();
        assert_eq!(answer.grpc_status(), status, "{body:?} {message}");
        assert!(
            message.contains(said) || message.contains(&said.replace("%20", " ")),
            "{said}: {message}"
        );
    }
    let answer = caller.call(head("/a.B/C", GRPC), b"\0\0\0\0\x01x").await.unwrap();
    assert_eq!(answer.grpc_status(), "0");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_and_the_connection_goes_on() {
    let listener = serve_echo(limited(GrpcLimits {
        head_size: 4096,
        ..GrpcLimits::default()
    }))
    .await;
    let mut caller = connect(listener.address()).await;
    let long = "x".repeat(10_000);
    let large = [GRPC, &[("x-large", long.as_str())]].concat();
    // Refused with a status or a reset; either way at once.
    if let Ok(answer) = caller.call(head("/a.B/C", &large), b"\0\0\0\0\0").await {
        assert_eq!(answer.status, 431);
    }
    let answer = caller.call(head("/a.B/C", GRPC), b"\0\0\0\0\x01x").await.unwrap();
    assert_eq!(answer.grpc_status(), "0");
}

#[tokio::test]
async fn garbage_in_place_of_http2_closes_the_connection() {
    let listener = serve_echo(GrpcConfig::default()).await;
    for garbage in [
        &b"GET / HTTP/1.1\r\nHost x\r\n\r\n"[..],
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x05\x01\x04\0\0\0\x01\xff\xff\xff\xff\xff",
    ] {
        let mut stream = TcpStream::connect(listener.address()).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        let mut said = Vec::new();
        // It may be reset, because not all was read.
        let _ = soon(stream.read_to_end(&mut said)).await;
    }
    let mut caller = connect(listener.address()).await;
    assert_eq!(
        caller
            .call(head("/a.B/C", GRPC), b"\0\0\0\0\0")
            .await
            .unwrap()
            .grpc_status(),
        "0"
    );
}

#[tokio::test]
async fn random_bytes_after_the_preface_break_nothing() {
    let listener = serve_echo(GrpcConfig::default()).await;
    let mut random = 1_u64;
    for _ in 0..50 {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
        for _ in 0..200 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let [.., kind, byte] = random.to_be_bytes();
            // Frames of small sizes and known kinds, with random contents.
            bytes.extend_from_slice(&[
                0,
                0,
                4,
                kind % 11,
                byte,
                0,
                0,
                0,
                kind % 8,
                byte,
                kind,
                byte,
                kind,
            ]);
        }
        let mut stream = TcpStream::connect(listener.address()).await.unwrap();
        let _ = stream.write_all(&bytes).await;
        let mut said = Vec::new();
        let _ = stream.shutdown().await;
        let _ = soon(stream.read_to_end(&mut said)).await;
    }
    let mut caller = connect(listener.address()).await;
    assert_eq!(
        caller
            .call(head("/a.B/C", GRPC), b"\0\0\0\0\0")
            .await
            .unwrap()
            .grpc_status(),
        "0"
    );
}

#[tokio::test]
async fn a_caller_that_says_nothing_is_closed_in_time() {
    let listener = serve_echo(limited(GrpcLimits {
        handshake_timeout: Duration::from_millis(100),
        ..GrpcLimits::default()
    }))
    .await;
    for begun in [&b""[..], b"PRI * HTTP/2.0\r\n"] {
        let mut stream = TcpStream::connect(listener.address()).await.unwrap();
        stream.write_all(begun).await.unwrap();
        let mut said = Vec::new();
        let _ = soon(stream.read_to_end(&mut said)).await;
    }
}

#[tokio::test]
async fn a_first_message_that_never_ends_is_given_up() {
    let listener = serve_echo(limited(GrpcLimits {
        message_timeout: Duration::from_millis(100),
        ..GrpcLimits::default()
    }))
    .await;
    let mut caller = connect(listener.address()).await;
    let (response, mut stream) = caller.requests.send_request(head("/a.B/C", GRPC), false).unwrap();
    stream
        .send_data(Bytes::from_static(b"\0\0\0\0\x05ab"), false)
        .unwrap();
    let response = soon(response).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "4");
    assert!(
        response.headers()["grpc-message"]
            .to_str()
            .unwrap()
            .contains("message_timeout")
    );
}

#[tokio::test]
async fn calls_that_are_reset_at_once_leave_nothing_behind() {
    let running = Arc::new(Semaphore::new(0));
    let counted = running.clone();
    let listener = serve(GrpcConfig::default(), move |_| {
        let guard = Ending(counted.clone());
        async move {
            let _guard = guard;
            std::future::pending().await
        }
    })
    .await;
    let mut caller = connect(listener.address()).await;
    let mut begun: u32 = 0;
    for _ in 0..2000 {
        let Ok((response, mut stream)) = caller.requests.send_request(head("/a.B/C", GRPC), false) else {
            break;
        };
        begun += 1;
        stream.send_reset(h2::Reason::CANCEL);
        drop((response, stream));
        if begun.is_multiple_of(50) {
            tokio::task::yield_now().await;
        }
    }
    // Served again, on this connection or on another one, and every handler that began has ended.
    let mut other = connect(listener.address()).await;
    let (response, _stream) = other.requests.send_request(head("/a.B/C", GRPC), false).unwrap();
    drop(response);
    drop((caller, other));
    soon(listener.close(Duration::ZERO)).await;
    assert_eq!(Arc::strong_count(&running), 1, "handlers are left");
}

struct Ending(Arc<Semaphore>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

#[tokio::test]
async fn more_calls_than_a_connection_may_have_wait_for_their_turn() {
    let most = Arc::new(Semaphore::new(5));
    let at_once = most.clone();
    let config = GrpcConfig {
        connections: 1,
        ..limited(GrpcLimits {
            streams: 5,
            ..GrpcLimits::default()
        })
    };
    let listener = serve(config.clone(), move |mut request| {
        let at_once = at_once.clone();
        async move {
            let _permit = at_once.try_acquire().expect("more than five at once");
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(Response::new(request.take_body()))
        }
    })
    .await;
    let peer = dial(listener.address(), config).await;
    // One call first, so that the caller knows how many there may be.
    soon(peer.handle(Request::new("a", "B.C", "x"))).await.unwrap();
    let calls = (0..100).map(|_| peer.handle(Request::new("a", "B.C", "x")));
    for answer in soon(futures_util::future::join_all(calls)).await {
        answer.unwrap();
    }
}

#[tokio::test]
async fn answers_that_are_none_of_grpc_are_errors_that_name_the_node() {
    let (address, _server) = accept(|mut connection| async move {
        let mut number = 0;
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            drop(request);
            number += 1;
            let mut response = http::Response::new(());
            let grpc = HeaderValue::from_static("application/grpc");
            match number {
                1 => {
                    *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
                    respond.send_response(response, true).unwrap();
                }
                2 => {
                    response
                        .headers_mut()
                        .insert("content-type", HeaderValue::from_static("text/html"));
                    let mut stream = respond.send_response(response, false).unwrap();
                    stream.send_data(Bytes::from_static(b"<html>"), true).unwrap();
                }
                3 => {
                    response.headers_mut().insert("content-type", grpc);
                    let mut stream = respond.send_response(response, false).unwrap();
                    stream
                        .send_data(Bytes::from_static(b"\0\0\0\0\x01x"), true)
                        .unwrap();
                }
                4 => {
                    response.headers_mut().insert("content-type", grpc);
                    let mut stream = respond.send_response(response, false).unwrap();
                    stream
                        .send_data(Bytes::from_static(b"\0\xff\xff\xff\xff"), false)
                        .unwrap();
                    tokio::spawn(async move {
                        let _ = std::future::poll_fn(|context| stream.poll_reset(context)).await;
                    });
                }
                5 => {
                    response.headers_mut().insert("content-type", grpc);
                    response
                        .headers_mut()
                        .insert("grpc-status", HeaderValue::from_static("0"));
                    respond.send_response(response, true).unwrap();
                }
                _ => respond.send_reset(h2::Reason::INTERNAL_ERROR),
            }
        }
    })
    .await;
    let peer = dial(&address, GrpcConfig::default()).await;
    for (code, said) in [
        (503, "HTTP status 503"),
        (502, "text/html"),
        (502, "grpc-status"),
        (413, "message_size"),
        (502, "without a message"),
        (503, "unknown"),
    ] {
        let error = soon(peer.handle(Request::new("a", "B.C", "x")))
            .await
            .unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(
            error.detail().contains(said) && error.detail().contains(&address),
            "{error}"
        );
        assert!(!error.is_never_started(), "{error}");
    }
}

#[tokio::test]
async fn a_listener_that_speaks_something_else_is_an_error_that_names_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let _server = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                .await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    }));
    let peer = dial(&address, GrpcConfig::default()).await;
    let error = soon(peer.handle(Request::new("a", "B.C", "x")))
        .await
        .unwrap_err();
    assert!(error.detail().contains(&address), "{error}");
}
