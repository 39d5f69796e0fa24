//! Unary calls as Go Micro 5.30 put them on the wire, in both roles.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use micro_core::codec::{Codecs, Envelope, Role, Slot};
use micro_core::transport::http::HttpConfig;
use micro_core::{Error, Request};
use tokio::time::Instant;

use crate::greeter::{FailRequest, HelloRequest, HelloResponse, SERVED_BY};
use crate::raw::{Fake, Message, Raw, capture, dial, greeter, within};

const ANSWERED: [&str; 5] = [
    "unary-protobuf",
    "unary-json",
    "unary-protorpc",
    "unary-jsonrpc",
    "empty",
];
const FAILED: [&str; 5] = [
    "error",
    "error-json",
    "error-protorpc",
    "error-jsonrpc",
    "error-plain",
];

fn of(name: &str, side: &str) -> Message {
    let mut messages = Message::all(&capture(&format!("{name}.{side}")));
    assert_eq!(messages.len(), 1);
    messages.remove(0)
}

fn decode<T: Slot + Default>(content_type: &str, body: &Bytes, role: Role) -> T {
    let mut value = T::default();
    let codecs = Codecs::standard();
    codecs
        .find(content_type)
        .unwrap()
        .decode(body.clone(), &mut value, role)
        .unwrap();
    value
}

/// What Go's server repeats of the request, and its doubles for old clients. Nobody needs them; we leave them out.
fn is_echo(name: &str) -> bool {
    [
        "Accept",
        "Micro-Endpoint",
        "Micro-Id",
        "Micro-Method",
        "Micro-Service",
        "Timeout",
        "User-Agent",
    ]
    .contains(&name)
        || name.starts_with("X-Micro-")
}

#[tokio::test]
async fn go_clients_are_answered_as_go_answers_them() {
    crate::raw::bounded(async {
        let server = greeter().await;
        for name in ANSWERED.iter().chain(&FAILED) {
            let request = capture(&format!("{name}.request"));
            let theirs = of(name, "response");
            let ours = within(Raw::connect(server.address()).await.exchange(&request)).await;
            assert_eq!(ours.first_line, theirs.first_line, "{name}");
            for (header, value) in &ours.headers {
                if header != "Content-Length" || FAILED.contains(name) {
                    assert_eq!(theirs.header(header), Some(value.as_str()), "{name}: {header}");
                }
            }
            let left_out = theirs
                .headers
                .iter()
                .filter(|(header, _)| ours.header(header).is_none());
            assert!(
                left_out.clone().all(|(header, _)| is_echo(header)),
                "{name}: {ours:?}"
            );
            let content_type = theirs.header("Content-Type").unwrap();
            if FAILED.contains(name) {
                assert_eq!(ours.body, theirs.body, "{name}");
            } else {
                let read =
                    |message: &Message| decode::<HelloResponse>(content_type, &message.body, Role::Response);
                let (ours, mut theirs) = (read(&ours), read(&theirs));
                // The metadata of handlers holds what a caller added, not what has fields of its own.
                theirs.headers = ours.headers.clone();
                assert_eq!(ours, theirs, "{name}");
                assert_eq!(ours.headers.keys().collect::<Vec<_>>(), ["User-Agent"], "{name}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn go_clients_are_answered_however_their_bytes_are_cut() {
    crate::raw::bounded(async {
        let server = greeter().await;
        for name in ["unary-json", "empty", "error-jsonrpc"] {
            let request = capture(&format!("{name}.request"));
            let mut connection = Raw::connect(server.address()).await;
            let whole = within(connection.exchange(&request)).await;
            for cut in 1..request.len() {
                connection.send_in([&request[..cut], &request[cut..]]).await;
                assert_eq!(
                    within(connection.message()).await.unwrap(),
                    whole,
                    "{name} cut at {cut}"
                );
            }
            connection.send_in(request.chunks(1)).await;
            assert_eq!(
                within(connection.message()).await.unwrap(),
                whole,
                "{name} byte by byte"
            );
            connection.send(request.repeat(20)).await;
            for _ in 0..20 {
                assert_eq!(
                    within(connection.message()).await.unwrap(),
                    whole,
                    "{name} sent ahead"
                );
            }
        }
    })
    .await;
}

fn check(name: &str, result: micro_core::Result<micro_core::Response>, theirs: &Message) {
    let Ok(response) = result else {
        let error = result.unwrap_err();
        let expected = Error::from_wire(theirs.header("Micro-Error").expect(name));
        assert_eq!(
            (error.id(), error.code(), error.detail()),
            (expected.id(), expected.code(), expected.detail())
        );
        assert!(FAILED.contains(&name), "{name}: {error}");
        return;
    };
    assert!(ANSWERED.contains(&name), "{name}");
    assert_eq!(
        Some(&*response.content_type),
        theirs.header("Content-Type"),
        "{name}"
    );
    let body = response.body.as_single().unwrap();
    assert_eq!(body, &theirs.body, "{name}");
    let value: HelloResponse = decode(&response.content_type, body, Role::Response);
    assert_eq!(
        (value.greeting.trim_end(), value.served_by.as_str()),
        (
            match name {
                "empty" => "Hello",
                _ => "Hello world",
            },
            SERVED_BY
        )
    );
}

/// How a fake server cuts its answer: whole, at every byte in turn, in dozens of segments.
#[derive(Clone, Copy, PartialEq)]
enum Cut {
    Whole,
    AtEveryByte,
    InSegments,
}

#[tokio::test]
async fn answers_of_go_servers_are_understood_however_they_are_cut() {
    crate::raw::bounded(async {
        for name in ANSWERED.iter().chain(&FAILED) {
            let answer = capture(&format!("{name}.response"));
            let theirs = of(name, "response");
            for cut in [Cut::Whole, Cut::AtEveryByte, Cut::InSegments] {
                let bytes = answer.clone();
                let fake = Fake::start(move |number, mut connection| {
                    let bytes = bytes.clone();
                    async move {
                        assert_eq!(number, 0, "one connection is enough");
                        let mut at = 0;
                        while connection.message().await.is_some() {
                            match cut {
                                Cut::Whole => connection.send(&bytes).await,
                                Cut::AtEveryByte => {
                                    at += 1;
                                    connection.send_in([&bytes[..at], &bytes[at..]]).await;
                                }
                                Cut::InSegments => connection.send_in(bytes.chunks(bytes.len() / 37)).await,
                            }
                        }
                    }
                })
                .await;
                let node = dial(&fake.address, HttpConfig::default()).await;
                let times = if cut == Cut::AtEveryByte {
                    answer.len() - 1
                } else {
                    1
                };
                for _ in 0..times {
                    let mut request = crate::raw::request("x");
                    request.content_type = theirs.header("Content-Type").unwrap().into();
                    check(name, within(node.handle(request)).await, &theirs);
                }
            }
        }
    })
    .await;
}

/// Names and values of a request's headers. `User-Agent` is Go's own, `Host` and the time left differ by nature.
fn headers(message: &Message) -> BTreeSet<(String, String)> {
    let varies = |name: &str| ["Host", "Timeout"].contains(&name);
    let sent = message.headers.iter().filter(|(name, _)| name != "User-Agent");
    sent.map(|(name, value)| match name.as_str() {
        name if varies(name) => (name.to_owned(), "varies".to_owned()),
        // Go has no other way to send an empty body; we state its length.
        "Transfer-Encoding" => ("Content-Length".to_owned(), "0".to_owned()),
        name => (name.to_owned(), value.clone()),
    })
    .collect()
}

#[tokio::test]
async fn our_requests_have_the_headers_of_gos() {
    crate::raw::bounded(async {
        for name in ANSWERED.iter().chain(&FAILED) {
            let theirs = of(name, "request");
            let (sender, mut sent) = tokio::sync::mpsc::channel(1);
            let answer = capture(&format!("{name}.response"));
            let fake = Fake::start(move |_, mut connection| {
                let (sender, answer) = (sender.clone(), answer.clone());
                async move {
                    sender.send(connection.message().await.unwrap()).await.unwrap();
                    connection.send(answer).await;
                }
            })
            .await;
            let endpoint = theirs.header("Micro-Endpoint").unwrap();
            let mut request = Request::new("interop.greeter", endpoint, theirs.body.clone());
            request.content_type = theirs.header("Content-Type").unwrap().into();
            request.deadline = Some(Instant::now() + Duration::from_secs(5));
            let node = dial(&fake.address, HttpConfig::default()).await;
            let _ = within(node.handle(request)).await;
            let ours = sent.recv().await.unwrap();
            assert_eq!(ours.first_line, theirs.first_line);
            assert_eq!(headers(&ours), headers(&theirs), "{name}");
            assert_eq!(ours.body, theirs.body, "{name}");
            assert_eq!(ours.header("Host"), Some(fake.address.as_str()));
            let left: u64 = ours.header("Timeout").unwrap().parse().unwrap();
            assert!((4_000_000_000..=5_000_000_000).contains(&left), "{left}");
        }
    })
    .await;
}

#[test]
fn codecs_write_what_gos_write() {
    let hello = HelloRequest {
        name: "world".into(),
        times: 1,
    };
    let fail = FailRequest {
        id: "interop.fail".into(),
        code: 409,
        detail: "asked to fail: world".into(),
        plain: false,
    };
    for name in [
        "unary-protobuf",
        "unary-json",
        "unary-jsonrpc",
        "unary-protorpc",
        "error",
        "error-json",
        "error-jsonrpc",
        "error-protorpc",
    ] {
        let theirs = of(name, "request");
        let endpoint = theirs.header("Micro-Endpoint").unwrap();
        let envelope = Envelope {
            role: Role::Request,
            endpoint,
            id: "0",
        };
        let codecs = Codecs::standard();
        let codec = codecs.find(theirs.header("Content-Type").unwrap()).unwrap();
        let ours = if name.starts_with("unary") {
            assert_eq!(
                decode::<HelloRequest>(&codec.content_type(), &theirs.body, Role::Request),
                hello
            );
            codec.encode(&hello, &envelope).unwrap()
        } else {
            assert_eq!(
                decode::<FailRequest>(&codec.content_type(), &theirs.body, Role::Request),
                fail
            );
            codec.encode(&fail, &envelope).unwrap()
        };
        assert_eq!(ours, theirs.body, "{name}");
    }
}

#[tokio::test]
async fn an_answer_is_paired_by_order_and_not_by_its_id() {
    crate::raw::bounded(async {
    // A Go server repeats the first request's id, endpoint and metadata in all answers of a connection.
    let fake = Fake::start(|_, mut connection| async move {
        let mut count = 0;
        while let Some(_request) = connection.message().await {
            count += 1;
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Type: application/protobuf\r\nMicro-Id: 0\r\nMicro-Endpoint: Other.Thing\r\nFoo: first\r\n\r\n{count}"
            );
            connection.send(answer).await;
        }
    })
    .await;
    let node = dial(&fake.address, HttpConfig::default()).await;
    for expected in ["1", "2", "3"] {
        let response = within(node.handle(crate::raw::request("x"))).await.unwrap();
        assert_eq!(response.body.as_single().unwrap(), expected);
        assert_eq!(response.metadata.iter().collect::<Vec<_>>(), [("Foo", "first")]);
    }
    })
    .await;
}

#[tokio::test]
async fn no_connection_ever_has_two_unanswered_requests() {
    crate::raw::bounded(async {
        let fake = Fake::start(|_, mut connection| async move {
            while connection.message().await.is_some() {
                let ahead = tokio::time::timeout(Duration::from_millis(5), connection.message()).await;
                assert!(
                    !matches!(ahead, Ok(Some(_))),
                    "a second request before the first was answered"
                );
                if ahead.is_ok() {
                    return;
                }
                connection
                    .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                    .await;
            }
        })
        .await;
        let node = dial(&fake.address, HttpConfig::default()).await;
        let calls = (0..40).map(|_| node.handle(crate::raw::request("x")));
        for result in within(futures_util::future::join_all(calls)).await {
            result.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn an_unknown_content_type_is_an_error_although_go_says_200() {
    crate::raw::bounded(async {
        let fake = Fake::start(|_, mut connection| async move {
            connection.message().await;
            let text = "unsupported Content-Type: application/odd";
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
                text.len()
            );
            connection.send(head + text).await;
        })
        .await;
        let node = dial(&fake.address, HttpConfig::default()).await;
        let error = within(node.handle(crate::raw::request("x"))).await.unwrap_err();
        assert_eq!(error.code(), 415);
        assert!(
            error
                .detail()
                .contains("unsupported Content-Type: application/odd"),
            "{error}"
        );
        assert!(error.detail().contains(&fake.address), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_status_other_than_200_is_an_error_that_says_what_was_answered() {
    crate::raw::bounded(async {
    for (answer, code) in [
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot here\n",
            404,
        ),
        (
            "HTTP/1.1 502 Bad Gateway\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nnot here\r\n0\r\n\r\n",
            502,
        ),
        ("HTTP/1.0 500 Oh\r\n\r\nnot here", 500),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 99\r\n\r\n", 204),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nContent-Length: 0\r\n\r\n",
            101,
        ),
        (
            "HTTP/1.1 301 Moved\r\nMicro-Error: {\"code\":418,\"detail\":\"not here\"}\r\nContent-Length: 0\r\n\r\n",
            418,
        ),
    ] {
        let fake = Fake::start(move |_, mut connection| async move {
            connection.message().await;
            connection.send(answer).await;
        })
        .await;
        let node = dial(&fake.address, HttpConfig::default()).await;
        let error = within(node.handle(crate::raw::request("x"))).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(
            [204, 101].contains(&code) || error.detail().contains("not here"),
            "{error}"
        );
        assert!(!error.is_never_started());
    }
    })
    .await;
}
