//! What happens at the edges of a connection's life, and of its limits.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{FutureExt, stream};
use micro_core::handler::{CallKind, handler_fn};
use micro_core::transport::HttpTransport;
use micro_core::transport::http::{HttpConfig, HttpLimits};
use micro_core::{Body, ErrorKind, Handler, Request, Response, Transport};
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;

use crate::raw::{Fake, Raw, assert_greets, dial, greeter, hello, listen, request, within};

const GOODBYE: &str = "HTTP/1.1 503 Service Unavailable\r\nMicro-Goodbye: idle\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

#[tokio::test]
async fn a_request_without_a_length_has_no_body_however_long_its_head() {
    crate::raw::bounded(async {
        let server = greeter().await;
        for length in [1, 17, 40, 60] {
            let long = "x".repeat(length * 1024);
            let mut connection = Raw::connect(server.address()).await;
            let first = format!("POST / HTTP/1.1\r\nMicro-Endpoint: Greeter.Hello\r\nFoo: {long}\r\n\r\n");
            connection.send(first + &hello("second")).await;
            within(connection.message()).await.unwrap();
            let second = within(connection.message()).await.unwrap();
            assert!(second.text().contains("Hello second"), "{length} KiB: {second:?}");
        }
    })
    .await;
}

fn stream_request(body: impl Into<Body>) -> Request {
    let mut request = request("");
    request.body = body.into();
    request.kind = CallKind::Stream;
    request
}

#[tokio::test]
async fn a_goodbye_to_a_stream_means_never_started() {
    crate::raw::bounded(async {
        let fake = Fake::start(|_, mut connection| async move {
            connection.message().await;
            connection.send(GOODBYE).await;
            connection.message().await;
        })
        .await;
        let node = dial(&fake.address, HttpConfig::default()).await;
        for body in [Body::from("x"), Body::stream(stream::pending())] {
            let mut response = within(node.handle(stream_request(body))).await.unwrap();
            let error = within(response.body.message()).await.unwrap().unwrap_err();
            assert!(error.is_never_started(), "{error}");
            assert_eq!(error.kind(), ErrorKind::Unavailable);
        }
    })
    .await;
}

/// Says when it is dropped.
struct Guard(Arc<Notify>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// A handler that never ends, and what is said when one of its calls is dropped.
fn endless() -> (Arc<dyn Handler>, Arc<Notify>) {
    let dropped = Arc::new(Notify::new());
    let drops = dropped.clone();
    let handler = handler_fn(move |request: Request| {
        let guard = Guard(drops.clone());
        async move {
            let _kept = (guard, request);
            std::future::pending::<()>().await;
            Ok(Response::default())
        }
    });
    (Arc::new(handler), dropped)
}

#[tokio::test]
async fn a_caller_that_goes_while_its_messages_wait_drops_the_handler() {
    crate::raw::bounded(async {
        let (handler, dropped) = endless();
        let server = listen(handler, HttpConfig::default()).await;
        let mut connection = Raw::connect(server.address()).await;
        let message = "POST / HTTP/1.1\r\nMicro-Stream: 0\r\nContent-Length: 0\r\n\r\n";
        connection.send(message.repeat(12)).await;
        drop(connection);
        within(dropped.notified()).await;
    })
    .await;
}

#[tokio::test]
async fn calls_over_http2_are_gone_when_their_listener_is() {
    crate::raw::bounded(async {
        let is_gone = Arc::new(AtomicBool::new(false));
        let (began, gone) = (Arc::new(Notify::new()), is_gone.clone());
        let begin = began.clone();
        let handler = handler_fn(move |_: Request| {
            let (begin, gone) = (begin.clone(), gone.clone());
            async move {
                struct Note(Arc<AtomicBool>);
                impl Drop for Note {
                    fn drop(&mut self) {
                        self.0.store(true, Ordering::SeqCst);
                    }
                }
                let _note = Note(gone);
                begin.notify_one();
                std::future::pending::<()>().await;
                Ok(Response::default())
            }
        });
        let server = listen(Arc::new(handler), HttpConfig::default()).await;
        let call = crate::mounted::begin(server.address().to_owned());
        let call = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(call));
        within(began.notified()).await;
        within(server.close(Duration::from_millis(20))).await;
        assert!(is_gone.load(Ordering::SeqCst), "a call outlived its listener");
        drop(call);
    })
    .await;
}

#[tokio::test]
async fn who_never_reads_holds_no_slot_for_ever() {
    crate::raw::bounded(async {
        let config = HttpConfig {
            limits: HttpLimits {
                connections: 1,
                write_timeout: Duration::from_millis(50),
                ..HttpLimits::default()
            },
            ..HttpConfig::default()
        };
        let handler = handler_fn(|request: Request| async move {
            let length = if request.endpoint == "Long.Answer" {
                15 << 20
            } else {
                1
            };
            Ok(Response::new(vec![0; length]))
        });
        let server = listen(Arc::new(handler), config).await;
        let mut deaf = Raw::connect(server.address()).await;
        deaf.send("GET / HTTP/1.1\r\nMicro-Endpoint: Long.Answer\r\n\r\n")
            .await;
        let mut next = Raw::connect(server.address()).await;
        let answer = within(next.exchange("GET / HTTP/1.1\r\n\r\n")).await;
        assert_eq!(answer.body.len(), 1);
        drop(deaf);
    })
    .await;
}

#[tokio::test]
async fn a_name_that_cannot_travel_costs_no_connection() {
    crate::raw::bounded(async {
        let fake = Fake::start(|number, mut connection| async move {
            while connection.message().await.is_some() {
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}");
                connection.send(answer).await;
            }
        })
        .await;
        let node = dial(&fake.address, HttpConfig::default()).await;
        for kind in [CallKind::Unary, CallKind::Stream] {
            let answer = within(node.handle(request("x"))).await.unwrap();
            assert_eq!(answer.body.single().await.unwrap(), "0");
            let mut bad = request("x");
            bad.kind = kind;
            bad.metadata.insert("no name", "x");
            let error = within(node.handle(bad)).await.unwrap_err();
            assert!(error.is_never_started() && error.code() == 400, "{error}");
        }
        let answer = within(node.handle(request("x"))).await.unwrap();
        assert_eq!(answer.body.single().await.unwrap(), "0");
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_cannot_be_taken_says_why() {
    crate::raw::bounded(async {
        for (answer, code, said) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n",
                413,
                "message_size",
            ),
            ("220 mail.example ESMTP\r\n\r\n", 502, "HTTP/1.1"),
        ] {
            let fake = Fake::start(move |_, mut connection| async move {
                connection.message().await;
                connection.send(answer).await;
                connection.message().await;
            })
            .await;
            let config = HttpConfig {
                limits: HttpLimits {
                    message_size: 1000,
                    ..HttpLimits::default()
                },
                ..HttpConfig::default()
            };
            let node = dial(&fake.address, config).await;
            let error = within(node.handle(request("x"))).await.unwrap_err();
            assert_eq!(
                (error.code(), error.is_unanswered()),
                (code, code == 502),
                "{error}"
            );
            assert!(error.detail().contains(said), "{error}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_long_call_does_not_count_as_idle() {
    crate::raw::bounded(async {
        let short = Duration::from_millis(200);
        let config = HttpConfig {
            pool_idle_timeout: short,
            limits: HttpLimits {
                idle_timeout: short,
                ..HttpLimits::default()
            },
            ..HttpConfig::default()
        };
        let handler = handler_fn(move |request: Request| async move {
            tokio::time::sleep(short * 3 / 2).await;
            let peer = request.peer.unwrap();
            Ok(Response::new(peer.remote.to_string().into_bytes()))
        });
        let server = listen(Arc::new(handler), config.clone()).await;
        let transport = HttpTransport::new(config).unwrap();
        let address = server.address().to_owned();
        let node = micro_core::registry::Node {
            address,
            ..Default::default()
        };
        let node = transport.dial(&node).await.unwrap();
        let mut seen = Vec::new();
        for _ in 0..2 {
            let answer = within(node.handle(request("x"))).await.unwrap();
            seen.push(answer.body.single().await.unwrap());
        }
        assert_eq!(seen[0], seen[1], "the second call took another connection");
    })
    .await;
}

#[tokio::test]
async fn connections_that_nobody_accepted_yet_get_a_goodbye() {
    crate::raw::bounded(async {
        let server = greeter().await;
        // Connected without giving the listener's task a turn.
        let mut waiting: Vec<_> = (0..20)
            .map(|_| std::net::TcpStream::connect(server.address()).unwrap())
            .collect();
        within(server.close(Duration::from_secs(20))).await;
        for connection in &mut waiting {
            let mut said = String::new();
            connection.read_to_string(&mut said).unwrap();
            assert!(said.contains("Micro-Goodbye"), "{said:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn trailers_without_a_limit_do_not_overflow() {
    crate::raw::bounded(async {
        let config = HttpConfig {
            limits: HttpLimits {
                head_size: usize::MAX,
                ..HttpLimits::default()
            },
            ..HttpConfig::default()
        };
        let server = listen(crate::greeter::handler(), config).await;
        let mut connection = Raw::connect(server.address()).await;
        connection
            .send("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b")
            .await;
        connection.stream.shutdown().await.unwrap();
        assert!(within(connection.rest()).await.is_empty());
        within(assert_greets(server.address())).await;
    })
    .await;
}

#[tokio::test]
async fn a_route_that_would_hide_the_calls_is_refused() {
    crate::raw::bounded(async {
        for prefix in ["", "/", "//", "health"] {
            let config = HttpConfig {
                routes: vec![(prefix.to_owned(), Arc::new(crate::mounted::Pages))],
                ..HttpConfig::default()
            };
            let transport = HttpTransport::new(config).unwrap();
            let listening = transport.listen("127.0.0.1:0", crate::greeter::handler());
            let error = within(listening.map(Result::err)).await.unwrap();
            assert_eq!(error.code(), 400);
            assert!(error.detail().contains(&format!("{prefix:?}")), "{error}");
        }
    })
    .await;
}
