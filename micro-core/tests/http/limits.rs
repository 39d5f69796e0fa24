//! Peers that ask for too much, or take too long.

use std::time::Duration;

use micro_core::transport::http::{HttpConfig, HttpLimits};
use tokio::io::AsyncWriteExt;

use crate::raw::{Message, Raw, assert_greets, greeter, hello, listen, within};

const HEAD: &str = "POST / HTTP/1.1\r\nContent-Type: application/json\r\nMicro-Endpoint: Greeter.Hello\r\n";

fn limited(limits: HttpLimits) -> HttpConfig {
    HttpConfig {
        limits,
        ..HttpConfig::default()
    }
}

fn small() -> HttpConfig {
    limited(HttpLimits {
        head_size: 1000,
        message_size: 2000,
        head_timeout: Duration::from_millis(100),
        body_timeout: Duration::from_millis(100),
        ..HttpLimits::default()
    })
}

fn assert_refused(answer: &Message, status: u16, limit: &str) {
    assert_eq!(answer.status(), status, "{answer:?}");
    assert!(
        answer.json()["detail"].as_str().unwrap().contains(limit),
        "{answer:?}"
    );
    assert_eq!(answer.header("Connection"), Some("close"));
}

#[tokio::test]
async fn what_is_too_large_is_refused_with_the_name_of_the_limit() {
    crate::raw::bounded(async {
        let server = listen(crate::greeter::handler(), small()).await;
        let long = "x".repeat(1000);
        let many = "A: b\r\n".repeat(101);
        let chunks = format!("3e8\r\n{long}\r\n").repeat(3);
        for (request, status, limit) in [
            (format!("{HEAD}Foo: {long}\r\n\r\n"), 431, "head_size"),
            (format!("{HEAD}Foo: {long}"), 431, "head_size"),
            (format!("{HEAD}{many}\r\n"), 431, "100 headers"),
            (format!("{HEAD}Content-Length: 2001\r\n\r\n"), 413, "message_size"),
            (
                format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n{chunks}"),
                413,
                "message_size",
            ),
            (
                format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n1;{long}{long}\r\n"),
                400,
                "1024 bytes",
            ),
            (
                format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\nT: {long}\r\n\r\n"),
                400,
                "bytes",
            ),
        ] {
            let mut connection = Raw::connect(server.address()).await;
            let answer = within(connection.exchange(request)).await;
            assert_refused(&answer, status, limit);
        }
        assert_greets(server.address()).await;
    })
    .await;
}

#[tokio::test]
async fn a_dribbled_head_or_body_is_given_up_with_the_name_of_the_limit() {
    crate::raw::bounded(async {
        let server = listen(crate::greeter::handler(), small()).await;
        for (start, limit) in [
            (HEAD.to_owned(), "head_timeout"),
            ("PO".to_owned(), "head_timeout"),
            ("PRI".to_owned(), "head_timeout"),
            (format!("{HEAD}Content-Length: 2000\r\n\r\n"), "body_timeout"),
            (
                format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n3e8\r\n"),
                "body_timeout",
            ),
        ] {
            let mut connection = Raw::connect(server.address()).await;
            connection.send(&start).await;
            let (mut read, mut write) = connection.stream.into_split();
            let dribble = async {
                let mut ticks = tokio::time::interval(Duration::from_millis(5));
                loop {
                    ticks.tick().await;
                    if start.len() > 3 && write.write_all(b"a").await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
            };
            let mut bytes = Vec::new();
            let answer = async {
                while Message::parse(&bytes).is_none() {
                    tokio::io::AsyncReadExt::read_buf(&mut read, &mut bytes)
                        .await
                        .unwrap();
                }
            };
            tokio::select! {
                () = within(answer) => {}
                () = dribble => {}
            }
            assert_refused(&Message::parse(&bytes).unwrap().0, 408, limit);
        }
        assert_greets(server.address()).await;
    })
    .await;
}

#[tokio::test]
async fn limits_without_end_do_not_overflow() {
    crate::raw::bounded(async {
        let config = HttpConfig {
            connect_timeout: Duration::MAX,
            pool_size: usize::MAX,
            pool_idle_timeout: Duration::MAX,
            pool_max_age: Duration::MAX,
            limits: HttpLimits {
                head_size: usize::MAX,
                message_size: usize::MAX,
                connections: usize::MAX,
                head_timeout: Duration::MAX,
                body_timeout: Duration::MAX,
                idle_timeout: Duration::MAX,
                write_timeout: Duration::MAX,
            },
            ..HttpConfig::default()
        };
        let server = listen(crate::greeter::handler(), config.clone()).await;
        let node = crate::raw::dial(server.address(), config).await;
        for _ in 0..2 {
            within(node.handle(crate::raw::request(""))).await.unwrap();
        }
        for length in [u64::MAX, u64::MAX - 200, u64::MAX / 2] {
            let mut connection = Raw::connect(server.address()).await;
            connection
                .send(format!("{HEAD}Content-Length: {length}\r\n\r\nabc"))
                .await;
            connection.stream.shutdown().await.unwrap();
            assert!(within(connection.rest()).await.is_empty());
        }
        let mut connection = Raw::connect(server.address()).await;
        connection
            .send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
            .await;
        let mut frame = [0; 9];
        within(tokio::io::AsyncReadExt::read_exact(
            &mut connection.stream,
            &mut frame,
        ))
        .await
        .unwrap();
    })
    .await;
}

#[tokio::test]
async fn connections_above_the_limit_wait_for_their_turn() {
    crate::raw::bounded(async {
        let server = listen(
            crate::greeter::handler(),
            limited(HttpLimits {
                connections: 2,
                ..HttpLimits::default()
            }),
        )
        .await;
        let mut first = Raw::connect(server.address()).await;
        let mut second = Raw::connect(server.address()).await;
        for connection in [&mut first, &mut second] {
            assert_eq!(within(connection.exchange(hello("x"))).await.status(), 200);
        }
        let mut third = Raw::connect(server.address()).await;
        third.send(hello("third")).await;
        let early = tokio::time::timeout(Duration::from_millis(50), third.message()).await;
        assert!(early.is_err(), "served beyond the limit");
        drop(first);
        assert!(
            within(third.message())
                .await
                .unwrap()
                .text()
                .contains("Hello third")
        );
    })
    .await;
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn promised_bodies_take_memory_only_as_they_arrive() {
    crate::raw::bounded(async {
        const CONNECTIONS: u64 = 1000;
        let server = greeter().await;
        let before = resident_kib();
        let mut half_open = Vec::new();
        let promise = format!("{HEAD}Content-Length: {}\r\n\r\nabc", 16 * 1024 * 1024);
        for _ in 0..CONNECTIONS {
            let mut connection = Raw::connect(server.address()).await;
            connection.send(&promise).await;
            half_open.push(connection);
        }
        for _ in 0..20 {
            assert_greets(server.address()).await;
        }
        let each = resident_kib().saturating_sub(before) / CONNECTIONS;
        // Other tests of this process run beside this one, hence the generosity; promised were 16 MiB.
        println!("{each} KiB for each half-open connection");
        assert!(each < 100, "{each} KiB for each connection");
    })
    .await;
}

#[tokio::test]
async fn who_never_reads_its_answers_keeps_nobody_else_waiting() {
    crate::raw::bounded(async {
        let server = greeter().await;
        let mut deaf = Raw::connect(server.address()).await;
        let long = "x".repeat(100_000);
        let stuck = async {
            loop {
                deaf.send(hello(&long)).await;
            }
        };
        tokio::select! {
            () = stuck => {}
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
        within(assert_greets(server.address())).await;
        deaf.stream.set_zero_linger().unwrap();
        drop(deaf);
        within(assert_greets(server.address())).await;
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_is_reset_harms_nobody() {
    crate::raw::bounded(async {
        let server = greeter().await;
        for request in [
            hello("x"),
            HEAD.to_owned(),
            format!("{HEAD}Content-Length: 99\r\n\r\n{{"),
        ] {
            let mut connection = Raw::connect(server.address()).await;
            connection.send(request).await;
            connection.stream.set_zero_linger().unwrap();
            drop(connection);
            within(assert_greets(server.address())).await;
        }
    })
    .await;
}

#[tokio::test]
async fn bodies_that_are_no_messages_are_refused_with_what_was_expected() {
    crate::raw::bounded(async {
    let server = greeter().await;
    for (content_type, body) in [
        ("application/protobuf", "\u{7f}\u{7f}\u{7f}"),
        ("application/json", "[1,2"),
        ("application/json", "{} {}"),
        ("application/proto-rpc", "abc"),
        ("application/json-rpc", "{\"params\":5}"),
        ("application/octet-stream", "abc"),
    ] {
        let request = format!(
            "POST / HTTP/1.1\r\nContent-Type: {content_type}\r\nMicro-Endpoint: Greeter.Hello\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = within(Raw::connect(server.address()).await.exchange(request)).await;
        assert!([400, 415].contains(&answer.status()), "{answer:?}");
        assert!(answer.text().contains(content_type), "{answer:?}");
    }
    let deep = "[".repeat(100_000);
    let request = format!("{HEAD}Content-Length: {}\r\n\r\n{deep}", deep.len());
    assert_eq!(
        within(Raw::connect(server.address()).await.exchange(request))
            .await
            .status(),
        400
    );
    })
    .await;
}
