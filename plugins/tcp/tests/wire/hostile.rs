//! Bad input: it gets a reason, and harms nobody else.

use std::time::Duration;

use micro_core::Request;
use micro_core::handler::CallKind;
use micro_tcp::{KeepAlive, TcpConfig, TcpLimits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::raw::*;

fn small() -> TcpConfig {
    TcpConfig {
        stream_window: 4096,
        connection_window: 4096,
        limits: TcpLimits {
            frame_size: 8192,
            head_size: 1024,
            message_size: 4096,
            calls: 4,
            unfinished: 8192,
            ..TcpLimits::default()
        },
        ..TcpConfig::default()
    }
}

#[tokio::test]
async fn what_no_caller_may_send_is_told_and_ends_the_connection() {
    let listener = serve_echo(small()).await;
    let pairs = |count: u16| [&count.to_be_bytes()[..], &vec![0; usize::from(count) * 6]].concat();
    let mut long_numbered = call_payload("a", &"b".repeat(300), b"");
    long_numbered[1] = 1;
    let long_name = call_payload("a", &"b".repeat(5000), b"");
    let stream = frame(1, CALL, NAMES | MESSAGES, &call_payload("a", "B.C", b""));
    let begun = frame(1, CALL, NAMES | MORE, &call_payload("a", "B.C", b"\0\0\0\x09ab"));
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (frame(1, 99, 0, b""), "unknown kind 99"),
        (
            frame(0, CALL, NAMES, &call_payload("a", "B.C", b"")),
            "has no call",
        ),
        (frame(1, CALL, 0, b""), "shorter"),
        (frame(1, CALL, 0, b"\0\x01"), "no endpoint has the number 1"),
        (frame(1, CALL, 0, b"\0\0"), "no endpoint has the number 0"),
        (
            frame(1, CALL, NAMES, b"\0\x02\0\x01\0\0\0\0a"),
            "not the next one",
        ),
        (frame(1, CALL, NAMES, &long_numbered), "not the next one"),
        (frame(1, CALL, NAMES, b"\0\0\0\x01\0\0\0\0\xff"), "not UTF-8"),
        (
            frame(1, CALL, NAMES, b"\0\0\xff\xff\xff\xff\xff\xff"),
            "longer than 4096",
        ),
        (frame(1, CALL, NAMES, &long_name), "longer than 4096"),
        (
            frame(1, CALL, NAMES, &call_payload("a", &"b".repeat(2000), b"")),
            "limit head_size",
        ),
        (
            frame(1, CALL, NAMES | 16, &call_payload("a", "B.C", &pairs(300))),
            "300 pairs",
        ),
        (
            frame(1, CALL, NAMES | 8, &call_payload("a", "B.C", b"123")),
            "shorter",
        ),
        (call(1, &[0; 5000]), "limit message_size"),
        (call(1, &[0; 9000]), "limit frame_size"),
        (
            frame(
                1,
                CALL,
                NAMES | MORE,
                &call_payload("a", "B.C", b"\xff\xff\xff\xffa"),
            ),
            "limit message_size",
        ),
        (
            frame(1, CALL, NAMES | MORE, &call_payload("a", "B.C", b"\0\0\0\x01abc")),
            "behind its end",
        ),
        (
            frame(1, CALL, NAMES | MESSAGES, &call_payload("a", "B.C", b"x")),
            "has a message",
        ),
        ([call(2, b"x"), call(2, b"x")].concat(), "comes behind the call 2"),
        (frame(3, PART, 0, b"x"), "was not begun"),
        (
            [begun.clone(), frame(1, PART, 0, &[0; 20])].concat(),
            "behind its end",
        ),
        (
            [stream.clone(), frame(1, PART, 0, b"x")].concat(),
            "which is whole",
        ),
        (frame(3, DATA, 0, b"x"), "was not begun"),
        (
            [stream.clone(), frame(1, DATA, SEVERAL, b"\0\0\0\0\x02a")].concat(),
            "not whole",
        ),
        (
            [stream.clone(), frame(1, DATA, SEVERAL, b"\x01\0\0\0\x01a")].concat(),
            "not whole",
        ),
        (
            [
                stream.clone(),
                frame(1, DATA, SEVERAL, &[&b"\0\0\0\x10\x01"[..], &[0; 4097]].concat()),
            ]
            .concat(),
            "limit message_size",
        ),
        (
            [
                stream.clone(),
                frame(1, DATA, MORE, b"half"),
                frame(1, DATA, SEVERAL, b"\0\0\0\0\x01a"),
            ]
            .concat(),
            "in the middle of another",
        ),
        (frame(1, ANSWER, 0, b""), "a caller answers"),
        (frame(1, CANCEL, 0, b"\x09"), "unknown reason"),
        (frame(0, WINDOW, 0, b"\0"), "shorter"),
        (frame(0, PING, 0, b"123"), "shorter"),
        (frame(0, GOODBYE, 0, b""), "shorter"),
    ];
    for (bytes, told) in cases {
        let mut end = RawEnd::connect(listener.address()).await;
        end.send(&bytes).await;
        let reason = end.goodbye().await;
        assert!(reason.contains(told), "{told}: {reason}");
        assert!(end.next().await.is_none(), "{told}: the connection goes on");
    }
    let peer = dial(listener.address(), TcpConfig::default()).await;
    soon(peer.handle(Request::new("a", "B.C", "x"))).await.unwrap();
}

#[tokio::test]
async fn more_than_a_window_ends_the_connection() {
    let listener = serve(small(), |request| async move {
        let _unread = request;
        std::future::pending().await
    })
    .await;
    let mut end = RawEnd::connect(listener.address()).await;
    end.send(&frame(1, CALL, NAMES | MESSAGES, &call_payload("a", "B.C", b"")))
        .await;
    for _ in 0..3 {
        end.send(&frame(1, DATA, 0, &[0; 2000])).await;
    }
    assert!(end.goodbye().await.contains("window"));

    // More credit than anybody can use.
    let mut end = RawEnd::connect(listener.address()).await;
    for _ in 0..300 {
        end.send(&frame(0, WINDOW, 0, &[0xff; 4])).await;
    }
    assert!(end.goodbye().await.contains("window is larger"));
}

#[tokio::test]
async fn more_calls_than_agreed_are_refused_as_not_looked_at() {
    let listener = serve(small(), |_| std::future::pending()).await;
    let mut end = RawEnd::connect(listener.address()).await;
    for number in 1..=5 {
        end.send(&call(number, b"x")).await;
    }
    let refused = end.next().await.unwrap();
    assert_eq!(
        (refused.call, refused.kind, refused.payload),
        (5, CANCEL, vec![1])
    );

    // Requests that have not wholly come may take so much, and no more.
    let mut end = RawEnd::connect(listener.address()).await;
    for number in 1..=3 {
        let payload = call_payload("a", "B.C", b"\0\0\x10\0x");
        end.send(&frame(number, CALL, NAMES | MORE, &payload)).await;
    }
    let refused = end.next().await.unwrap();
    assert_eq!(
        (refused.call, refused.kind, refused.payload),
        (3, CANCEL, vec![1])
    );
}

#[tokio::test]
async fn who_asks_and_does_not_listen_is_closed() {
    let listener = serve_echo(TcpConfig::default()).await;
    let mut stream = TcpStream::connect(listener.address()).await.unwrap();
    stream.write_all(&PREAMBLE).await.unwrap();
    let pings = frame(0, PING, 0, b"12345678").repeat(1000);
    // It ends because nobody reads the answers, which stop at some size.
    let sent = async {
        for _ in 0..100_000 {
            if stream.write_all(&pings).await.is_err() {
                return;
            }
        }
        panic!("1.8 GB of pings were taken");
    };
    soon(sent).await;
}

#[tokio::test]
async fn who_takes_nothing_of_its_answers_is_closed() {
    let listener = serve_echo(TcpConfig {
        limits: TcpLimits {
            write_timeout: Duration::from_millis(100),
            keep_alive: KeepAlive {
                interval: Duration::from_millis(50),
                timeout: Duration::from_secs(20),
            },
            ..TcpLimits::default()
        },
        ..TcpConfig::default()
    })
    .await;
    let mut end = RawEnd::connect(listener.address()).await;
    for number in 1..=20 {
        end.send(&call(number, &vec![7; 1_000_000])).await;
    }
    // It would wait for the answers otherwise.
    soon(listener.close(Duration::from_secs(3600))).await;
}

#[tokio::test]
async fn heads_and_frames_that_come_too_slowly_end_the_connection() {
    let listener = serve_echo(TcpConfig {
        limits: TcpLimits {
            handshake_timeout: Duration::from_secs(1),
            message_timeout: Duration::from_millis(100),
            keep_alive: KeepAlive {
                interval: Duration::from_millis(50),
                timeout: Duration::from_secs(20),
            },
            ..TcpLimits::default()
        },
        ..TcpConfig::default()
    })
    .await;
    let mut silent = TcpStream::connect(listener.address()).await.unwrap();
    let mut slow = TcpStream::connect(listener.address()).await.unwrap();
    slow.write_all(b"MICRO").await.unwrap();
    let mut rest = Vec::new();
    let _ = soon(silent.read_to_end(&mut rest)).await;
    let _ = soon(slow.read_to_end(&mut rest)).await;
    assert!(rest.is_empty(), "{rest:?}");

    let mut end = RawEnd::connect(listener.address()).await;
    end.send(&call(1, b"whole")[..12]).await;
    assert!(end.goodbye().await.contains("message_timeout"));

    let mut end = RawEnd::connect(listener.address()).await;
    end.send(&frame(
        1,
        CALL,
        NAMES | MORE,
        &call_payload("a", "B.C", b"\0\0\0\x09ab"),
    ))
    .await;
    let answer = loop {
        let frame = end.next().await.unwrap();
        match frame.kind {
            PING => end.send(&self::frame(0, PONG, 0, &frame.payload)).await,
            _ => break frame,
        }
    };
    assert_eq!(answer.kind, ERROR);
    assert!(String::from_utf8_lossy(&answer.payload).contains("message_timeout"));
}

#[tokio::test]
async fn what_the_other_side_would_not_take_is_told_before_it_is_sent() {
    let listener = serve_echo(small()).await;
    let peer = dial(listener.address(), TcpConfig::default()).await;
    let error = soon(peer.handle(Request::new("a", "B.C", vec![0; 5000])))
        .await
        .unwrap_err();
    assert!(error.code() == 413 && error.is_never_started(), "{error}");
    assert!(error.detail().contains("message_size"), "{error}");

    let mut request = Request::new("a", "B.C", "x");
    request.metadata.insert("long", "x".repeat(2000));
    let error = soon(peer.handle(request)).await.unwrap_err();
    assert!(error.code() == 431 && error.is_never_started(), "{error}");
    assert!(error.detail().contains("head_size"), "{error}");

    let mut request = Request::new(
        "a",
        "B.C",
        micro_core::Body::stream(futures_util::stream::iter([Ok(vec![0; 5000].into())])),
    );
    request.kind = CallKind::Stream;
    let mut body = soon(peer.handle(request)).await.unwrap().body;
    let error = soon(body.message()).await.unwrap().unwrap_err();
    assert_eq!(error.code(), 413, "{error}");

    // The same for what is answered.
    let listener = serve_echo(TcpConfig::default()).await;
    let peer = dial(listener.address(), small()).await;
    let error = soon(peer.handle(Request::new("a", "B.C", vec![0; 5000])))
        .await
        .unwrap_err();
    assert!(
        error.code() == 413 && error.detail().contains("the caller"),
        "{error}"
    );
}

#[tokio::test]
async fn what_no_node_may_send_fails_its_calls_by_name() {
    for bytes in [
        frame(1, CALL, NAMES, &call_payload("a", "B.C", b"")),
        frame(2, ANSWER, 0, b"x"),
        frame(1, PART, 0, b"x"),
        frame(1, 77, 0, b""),
        frame(1, ANSWER, MORE, b"\0\0\0\x01ab"),
        frame(1, ANSWER, NAMES, b"\xff\xff"),
        vec![0xff; 100],
    ] {
        let said = bytes.clone();
        let (address, _server) = accept(move |mut end| {
            let said = said.clone();
            async move {
                end.next().await;
                end.send(&said).await;
                while end.next().await.is_some() {}
            }
        })
        .await;
        let peer = dial(&address, TcpConfig::default()).await;
        let error = soon(peer.handle(Request::new("a", "B.C", "x")))
            .await
            .unwrap_err();
        assert!(
            error.is_unanswered() && error.detail().contains("what nobody may send"),
            "{bytes:?}: {error}"
        );
    }
}
