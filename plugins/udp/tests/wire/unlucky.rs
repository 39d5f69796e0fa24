//! Nodes that are silent, gone, or another one than before.

use std::time::Duration;

use micro_core::Request;
use micro_udp::UdpConfig;
use tokio::net::UdpSocket;
use tokio_util::task::AbortOnDropHandle;

use crate::raw::*;

fn hasty() -> UdpConfig {
    UdpConfig {
        connect_timeout: Duration::from_millis(200),
        silence_timeout: Duration::from_millis(200),
        first_pause: Duration::from_millis(20),
        ..UdpConfig::default()
    }
}

/// Answers each datagram by what a function makes of it: its kind, a count of such, its header.
async fn answering(
    answer: impl Fn(u8, usize, &[u8]) -> Option<Vec<u8>> + Send + 'static,
) -> (String, AbortOnDropHandle<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let task = async move {
        let mut buffer = [0; 65_536];
        let mut counts = [0; 16];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let kind = buffer[3];
            let count = counts[usize::from(kind)];
            counts[usize::from(kind)] += 1;
            if let Some(answer) = answer(kind, count, &buffer[..length]) {
                socket.send_to(&answer, from).await.unwrap();
            }
        }
    };
    (address, AbortOnDropHandle::new(tokio::spawn(task)))
}

fn with(kind: u8, said: &[u8], body: &[u8]) -> Vec<u8> {
    let mut answer = said[..28].to_vec();
    answer[3] = kind;
    answer.extend_from_slice(body);
    answer
}

#[tokio::test]
async fn a_node_that_never_speaks_was_never_asked() {
    let (address, _node) = answering(|_, _, _| None).await;
    let peer = dial(&address, hasty()).await;
    let error = soon(peer.handle(Request::new("a", "B.C", "x")))
        .await
        .unwrap_err();
    assert!(
        error.is_never_started() && error.detail().contains("connect_timeout"),
        "{error}"
    );
}

#[tokio::test]
async fn a_node_that_stopped_answering_may_have_begun() {
    let (address, _node) = answering(|kind, _, said| (kind == HELLO).then(|| with(WELCOME, said, &[]))).await;
    let peer = dial(&address, hasty()).await;
    let error = soon(peer.handle(Request::new("a", "B.C", "x")))
        .await
        .unwrap_err();
    assert!(
        error.is_unanswered() && error.detail().contains("silence_timeout"),
        "{error}"
    );
}

#[tokio::test]
async fn a_node_that_says_goodbye_and_ends_may_have_begun() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let node = async move {
        let mut buffer = [0; 2048];
        loop {
            let (_, from) = socket.recv_from(&mut buffer).await.unwrap();
            let kind = if buffer[3] == HELLO { WELCOME } else { GOODBYE };
            socket.try_send_to(&with(kind, &buffer, &[]), from).unwrap();
            if kind == GOODBYE {
                // The caller's answer to it is what comes back, and not the call.
                return;
            }
        }
    };
    let config = UdpConfig {
        first_pause: Duration::from_secs(10),
        ..UdpConfig::default()
    };
    let peer = dial(&address, config).await;
    let (answer, ()) = soon(async { tokio::join!(peer.handle(Request::new("a", "B.C", "x")), node) }).await;
    let error = answer.unwrap_err();
    assert!(error.is_unanswered(), "{error}");
}

#[tokio::test]
async fn a_node_that_works_may_take_long() {
    let (address, _node) = answering(|kind, count, said| match (kind, count) {
        (HELLO, _) => Some(with(WELCOME, said, &[])),
        (CALL, 0..5) => Some(with(WORKING, said, &[])),
        (CALL, _) => Some(with(ANSWER, said, b"\0\0\0\0done")),
        _ => None,
    })
    .await;
    let peer = dial(
        &address,
        UdpConfig {
            longest_pause: Duration::from_millis(400),
            silence_timeout: Duration::from_secs(1),
            ..hasty()
        },
    )
    .await;
    let answer = soon(peer.handle(Request::new("a", "B.C", "x"))).await.unwrap();
    assert_eq!(answer.body.single().await.unwrap(), "done");
}

#[tokio::test]
async fn another_listener_at_the_address_gets_only_what_the_first_one_cannot_have() {
    // The first datagram of a call is not known there: it goes again with a new token.
    let (address, _node) = answering(|kind, count, said| match (kind, count) {
        (HELLO, _) => Some(with(WELCOME, said, &[])),
        (CALL, 0) => Some(with(STRANGER, said, &[])),
        (CALL, _) => Some(with(ANSWER, said, b"\0\0\0\0done")),
        _ => None,
    })
    .await;
    let peer = dial(&address, UdpConfig::default()).await;
    soon(peer.handle(Request::new("a", "B.C", "x"))).await.unwrap();

    // The second one is not known there: the first one may have been received by the listener before.
    let (address, _node) = answering(|kind, count, said| match (kind, count) {
        (HELLO, _) => Some(with(WELCOME, said, &[])),
        (CALL, 1) => Some(with(STRANGER, said, &[])),
        _ => None,
    })
    .await;
    let peer = dial(&address, hasty()).await;
    let error = soon(peer.handle(Request::new("a", "B.C", "x")))
        .await
        .unwrap_err();
    assert!(error.is_unanswered(), "{error}");
}

#[tokio::test]
async fn bad_answers_are_told_and_those_of_others_passed_over() {
    let (address, _node) = answering(|kind, count, said| match (kind, count) {
        (HELLO, _) => Some(with(WELCOME, said, &[])),
        (CALL, 0) => {
            let mut forged = with(ANSWER, said, b"\0\0\0\0forged");
            forged[15] ^= 1;
            Some(forged)
        }
        (CALL, 1) => Some(b"garbage".to_vec()),
        (CALL, _) => Some(with(ANSWER, said, b"\xff\xff")),
        _ => None,
    })
    .await;
    let peer = dial(&address, UdpConfig::default()).await;
    let error = soon(peer.handle(Request::new("a", "B.C", "x")))
        .await
        .unwrap_err();
    assert!(
        error.is_unanswered() && error.detail().contains("cannot be read"),
        "{error}"
    );
}
