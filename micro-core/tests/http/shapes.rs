//! Where hand-written readers of HTTP/1.1 go wrong, each as a case over real connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use micro_core::handler::handler_fn;
use micro_core::transport::http::HttpConfig;
use micro_core::{Request, Response};

use crate::raw::{Fake, Raw, assert_greets, dial, greeter, hello, listen, request, within};

const HEAD: &str = "POST / HTTP/1.1\r\nContent-Type: application/json\r\nMicro-Endpoint: Greeter.Hello\r\n";
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\n\r\n";

#[tokio::test]
async fn what_could_be_understood_in_two_ways_is_refused_and_nothing_behind_it_is_handled() {
    crate::raw::bounded(async {
        let handled = Arc::new(AtomicUsize::new(0));
        let count = handled.clone();
        let handler = handler_fn(move |_: Request| {
            count.fetch_add(1, Ordering::SeqCst);
            async { Ok(Response::default()) }
        });
        let server = listen(Arc::new(handler), HttpConfig::default()).await;
        let cases = [
            (
                "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                400,
            ),
            (
                "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
                400,
            ),
            ("Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400),
            ("Content-Length: 2\r\nContent-Length: 9\r\n\r\n{}", 400),
            ("Content-Length: 2, 2\r\n\r\n{}", 400),
            ("Content-Length: -2\r\n\r\n{}", 400),
            ("Content-Length: +2\r\n\r\n{}", 400),
            ("Content-Length: 0x2\r\n\r\n{}", 400),
            ("Content-Length: \r\n\r\n{}", 400),
            ("Content-Length: 18446744073709551616\r\n\r\n{}", 400),
            ("Content-Length: 18446744073709551615\r\n\r\n{}", 413),
            ("Content-Length : 2\r\n\r\n{}", 400),
            ("Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
            ("Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
            ("Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 501),
            ("Transfer-Encoding: identity\r\n\r\n{}", 501),
            ("Foo: a\r\n folded\r\n\r\n", 400),
            (" Foo: a\r\n\r\n", 400),
            ("Foo: a\rb\r\n\r\n", 400),
            ("Foo: \0\r\n\r\n", 400),
            ("no colon\r\n\r\n", 400),
            ("Transfer-Encoding: chunked\r\n\r\nx\r\n", 400),
            ("Transfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
            ("Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n", 400),
            ("Transfer-Encoding: chunked\r\n\r\n2\r\n{}}\r\n0\r\n\r\n", 400),
            ("Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 400),
            ("Transfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n", 413),
            ("Transfer-Encoding: chunked\r\n\r\n0\r\nno trailer\r\n\r\n", 400),
        ];
        for (rest, status) in cases {
            let mut connection = Raw::connect(server.address()).await;
            let answer = within(connection.exchange(format!("{HEAD}{rest}{SMUGGLED}"))).await;
            assert_eq!(answer.status(), status, "{rest:?}: {answer:?}");
            assert_eq!(answer.header("Connection"), Some("close"), "{rest:?}");
            assert!(
                within(connection.message()).await.is_none(),
                "{rest:?}: nothing is answered behind it"
            );
        }
        assert_eq!(handled.load(Ordering::SeqCst), 0);
    })
    .await;
}

#[tokio::test]
async fn unusual_but_clear_requests_are_served() {
    crate::raw::bounded(async {
    let server = greeter().await;
    let body = r#"{"name":"you"}"#;
    for request in [
        format!(
            "{HEAD}Transfer-Encoding: chunked\r\n\r\n5;a=b\r\n{{\"nam\r\n9 ;c\r\ne\":\"you\"}}\r\n00;d\r\nTrailer: 1\r\n\r\n"
        ),
        format!("{HEAD}transfer-encoding:Chunked\r\n\r\nE\r\n{body}\r\n0\r\n\r\n"),
        format!("\r\n\r\n{HEAD}Content-Length:   014  \r\n\r\n{body}"),
        format!("{}Content-Length: 14\n\n{body}", HEAD.replace("\r\n", "\n")),
        format!("{HEAD}Connection: foo, keep-alive\r\nContent-Length: 14\r\n\r\n{body}"),
        format!(
            "{HEAD}Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nContent-Length: 14\r\n\r\n{body}"
        ),
    ] {
        let mut connection = Raw::connect(server.address()).await;
        for _ in 0..2 {
            let answer = within(connection.exchange(&request)).await;
            assert!(
                answer.status() == 200 && answer.text().contains("Hello you"),
                "{request:?}: {answer:?}"
            );
            assert_eq!(answer.header("Connection"), None);
        }
        for cut in 1..request.len() {
            connection
                .send_in([&request.as_bytes()[..cut], &request.as_bytes()[cut..]])
                .await;
            assert!(
                within(connection.message())
                    .await
                    .unwrap()
                    .text()
                    .contains("Hello you"),
                "{request:?} cut at {cut}"
            );
        }
    }
    })
    .await;
}

#[tokio::test]
async fn a_connection_closes_after_the_answer_where_the_caller_says_so() {
    crate::raw::bounded(async {
        let server = greeter().await;
        for close in [
            "Connection: close",
            "Connection: foo, Close",
            "Connection: foo\r\nConnection: close",
            "Connection: close, keep-alive",
        ] {
            let mut connection = Raw::connect(server.address()).await;
            let answer = within(connection.exchange(format!("{HEAD}{close}\r\n\r\n{}", hello("x")))).await;
            assert_eq!(
                (answer.status(), answer.header("Connection")),
                (200, Some("close")),
                "{close}"
            );
            assert!(within(connection.message()).await.is_none(), "{close}");
        }
    })
    .await;
}

/// Calls twice a server that answers each request so; returns what the calls gave and how many connections it took.
async fn call_twice(answer: &'static str, then_close: bool) -> (Vec<micro_core::Result<Response>>, usize) {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    let fake = Fake::start(move |_, mut connection| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            while connection.message().await.is_some() {
                connection.send(answer).await;
                if then_close {
                    return;
                }
            }
        }
    })
    .await;
    let node = dial(&fake.address, HttpConfig::default()).await;
    let results = vec![
        within(node.handle(request("x"))).await,
        within(node.handle(request("x"))).await,
    ];
    (results, connections.load(Ordering::SeqCst))
}

#[tokio::test]
async fn answers_of_every_shape_are_read_and_connections_kept_only_when_their_state_is_sure() {
    crate::raw::bounded(async {
    let cases = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false, 1),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            false,
            1,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\no\r\n1\r\nk\r\n0\r\nT: x\r\n\r\n",
            false,
            1,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: foo, close\r\n\r\nok",
            false,
            2,
        ),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok",
            false,
            2,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more",
            false,
            2,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad",
            false,
            2,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true, 2),
        ("HTTP/1.1 200 OK\r\n\r\nok", true, 2),
        ("HTTP/1.0 200 OK\r\n\r\nok", true, 2),
    ];
    for (answer, then_close, expected) in cases {
        let (results, connections) = call_twice(answer, then_close).await;
        for result in results {
            let response = result.unwrap_or_else(|error| panic!("{answer:?}: {error}"));
            assert_eq!(response.body.as_single().unwrap(), "ok", "{answer:?}");
        }
        assert_eq!(connections, expected, "{answer:?}");
    }
    })
    .await;
}

#[tokio::test]
async fn answers_that_could_be_understood_in_two_ways_are_errors() {
    crate::raw::bounded(async {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nA : b\r\n\r\nok",
            "SSH-2.0-OpenSSH_9\r\n\r\n",
        ] {
            let (results, _) = call_twice(answer, true).await;
            for result in results {
                let error = result.unwrap_err();
                assert_eq!(error.code(), 502, "{answer:?}: {error}");
                assert!(
                    error.detail().contains("127.0.0.1") && !error.is_never_started(),
                    "{error}"
                );
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_http2_preface_may_arrive_byte_by_byte() {
    crate::raw::bounded(async {
        let server = greeter().await;
        let mut connection = Raw::connect(server.address()).await;
        connection
            .send_in(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".chunks(1))
            .await;
        let mut frame = [0; 9];
        let read = tokio::io::AsyncReadExt::read_exact(&mut connection.stream, &mut frame);
        within(read).await.unwrap();
        assert_eq!(frame[3], 4, "a frame of settings: HTTP/2 is spoken");
        assert_greets(server.address()).await;
    })
    .await;
}
