//! Bad input, and callers that cannot be reached where they say they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use micro_core::handler::CallKind;
use micro_core::{Body, Metadata, Request, Response};
use micro_udp::{UdpConfig, UdpLimits};
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;

use crate::raw::*;

#[tokio::test]
async fn garbage_is_passed_over() {
    let listener = serve_echo().await;
    let caller = RawCaller::new(listener.address()).await;
    let mut random = fastrand::Rng::with_seed(1);
    for length in 0..200 {
        let mut bytes = vec![0; length];
        random.fill(&mut bytes);
        caller.socket.send(&bytes).await.unwrap();
        if length >= 4 {
            bytes[..3].copy_from_slice(b"MU\x01");
            bytes[3] %= 14;
            caller.socket.send(&bytes).await.unwrap();
        }
    }
    // What belongs to nobody may have been answered; not with more than was sent.
    caller.send(CALL, 1, 1, &call_body(1, b"still there")).await;
    loop {
        let (kind, bytes) = caller.next().await;
        match kind {
            ANSWER => {
                assert!(bytes.ends_with(b"still there"));
                return;
            }
            WELCOME | STRANGER => assert_eq!(bytes.len(), 28),
            other => panic!("a datagram of the kind {other}"),
        }
    }
}

#[tokio::test]
async fn a_caller_without_a_token_gets_no_more_than_it_sent() {
    let ran = Arc::new(AtomicUsize::new(0));
    let runs = ran.clone();
    let listener = serve(UdpConfig::default(), move |_| {
        runs.fetch_add(1, Ordering::SeqCst);
        async { Ok(Response::new(vec![7; 1000])) }
    })
    .await;
    let mut caller = RawCaller::new(listener.address()).await;
    caller.token ^= 1;
    for kind in [CALL, CANCEL, SEEN] {
        caller.send(kind, 1, 1, &call_body(1, b"")).await;
        let (kind, bytes) = caller.next().await;
        assert_eq!((kind, bytes.len()), (STRANGER, 28));
    }
    // The token of one address is none at another.
    caller.token ^= 1;
    let other = RawCaller {
        socket: UdpSocket::bind("127.0.0.1:0").await.unwrap(),
        token: caller.token,
    };
    other.socket.connect(listener.address()).await.unwrap();
    other.send(CALL, 1, 1, &call_body(1, b"")).await;
    assert_eq!(other.next().await.0, STRANGER);
    assert_eq!(ran.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_call_that_cannot_be_read_is_told_so() {
    let listener = serve_echo().await;
    let caller = RawCaller::new(listener.address()).await;
    let body = call_body(1, b"");
    let mut not_utf8 = body.clone();
    not_utf8[18] = 0xff;
    for body in [&body[..8], &body[..20], &not_utf8] {
        caller.send(CALL, 1, 1, body).await;
        let (kind, bytes) = caller.next().await;
        assert!(kind == ERROR && String::from_utf8_lossy(&bytes).contains("cannot be read"));
    }
    caller.send(CALL, 1, 1, &body).await;
    assert_eq!(caller.next().await.0, ANSWER);
}

#[tokio::test]
async fn repeated_calls_are_answered_from_memory_until_they_were_seen() {
    let (ran, go_on) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let (runs, signal) = (ran.clone(), go_on.clone());
    let listener = serve(UdpConfig::default(), move |mut request| {
        runs.fetch_add(1, Ordering::SeqCst);
        let signal = signal.clone();
        async move {
            let _ = signal.acquire().await;
            Ok(Response::new(request.take_body()))
        }
    })
    .await;
    let caller = RawCaller::new(listener.address()).await;
    caller.send(CALL, 1, 5, &call_body(5, b"x")).await;
    caller.send(CALL, 1, 5, &call_body(5, b"x")).await;
    assert_eq!(caller.next().await.0, WORKING);
    go_on.add_permits(1);
    let (kind, answer) = caller.next().await;
    assert_eq!(kind, ANSWER);
    caller.send(CALL, 1, 5, &call_body(5, b"x")).await;
    assert_eq!(caller.next().await.1, answer);
    caller.send(SEEN, 1, 6, &[]).await;
    caller.send(CALL, 1, 5, &call_body(5, b"x")).await;
    caller.send(CALL, 1, 6, &call_body(6, b"y")).await;
    assert!(
        caller.next().await.1.ends_with(b"y"),
        "nothing was said of the one before"
    );
    assert_eq!(ran.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn too_many_calls_are_refused_as_not_looked_at() {
    let config = UdpConfig {
        limits: UdpLimits {
            calls: 2,
            ..UdpLimits::default()
        },
        ..UdpConfig::default()
    };
    let listener = serve(config, |_| std::future::pending()).await;
    let caller = RawCaller::new(listener.address()).await;
    for number in 1..=3 {
        caller.send(CALL, 1, number, &call_body(1, b"x")).await;
    }
    let (kind, bytes) = caller.next().await;
    assert_eq!((kind, &bytes[20..]), (REFUSED, &b"\0\0\0\0\0\0\0\x03\x01"[..]));
    caller.send(CANCEL, 1, 1, &[]).await;
    caller.send(CALL, 1, 3, &call_body(1, b"x")).await;
    caller.send(CALL, 1, 3, &call_body(1, b"x")).await;
    assert_eq!(caller.next().await.0, WORKING);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_its_limit() {
    let listener = serve(UdpConfig::default(), |_| async {
        Ok(Response::new(vec![7; 2000]))
    })
    .await;
    let peer = dial(listener.address(), UdpConfig::default()).await;
    let error = soon(peer.handle(Request::new("a", "B.C", vec![0; 1200])))
        .await
        .unwrap_err();
    assert!(error.code() == 413 && error.is_never_started(), "{error}");
    assert!(error.detail().contains("datagram_size"), "{error}");

    let mut request = Request::new("a", "B.C", "x");
    request.metadata = (0..300)
        .map(|number| (format!("n{number}"), ""))
        .collect::<Metadata>();
    let error = soon(peer.handle(request)).await.unwrap_err();
    assert!(
        error.code() == 413 && error.detail().contains("300 pairs"),
        "{error}"
    );

    let error = soon(peer.handle(Request::new("a", "B.C", "x")))
        .await
        .unwrap_err();
    assert!(error.code() == 413 && !error.is_never_started(), "{error}");
    assert!(error.detail().contains("the answer does not fit"), "{error}");
}

#[tokio::test]
async fn streams_are_refused_by_name() {
    let listener = serve(UdpConfig::default(), |_| async {
        let messages = futures_util::stream::iter([Ok("x".into())]);
        Ok(Response::new(Body::stream(messages)))
    })
    .await;
    let peer = dial(listener.address(), UdpConfig::default()).await;
    let mut one_message = Request::new("a", "B.C", "x");
    one_message.kind = CallKind::Stream;
    let body = Body::stream(futures_util::stream::iter([Ok("x".into())]));
    for request in [one_message, Request::new("a", "B.C", body)] {
        let error = soon(peer.handle(request)).await.unwrap_err();
        assert!(
            error.is_never_started() && error.detail().contains("streams"),
            "{error}"
        );
    }
    let error = soon(peer.handle(Request::new("a", "B.C", "x")))
        .await
        .unwrap_err();
    assert!(
        error.code() == 501 && error.detail().contains("stream"),
        "{error}"
    );
}

#[tokio::test]
async fn the_handler_of_a_caller_that_vanished_is_dropped() {
    let dropped = Arc::new(Semaphore::new(0));
    let drops = dropped.clone();
    struct Guard(Arc<Semaphore>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.add_permits(1);
        }
    }
    let config = UdpConfig {
        limits: UdpLimits {
            silence_timeout: Duration::from_millis(10),
            ..UdpLimits::default()
        },
        ..UdpConfig::default()
    };
    let listener = serve(config, move |_| {
        let guard = Guard(drops.clone());
        async move {
            let _guard = guard;
            std::future::pending().await
        }
    })
    .await;
    let caller = RawCaller::new(listener.address()).await;
    caller.send(CALL, 1, 1, &call_body(1, b"x")).await;
    drop(caller);
    soon(dropped.acquire()).await.unwrap().forget();
}
