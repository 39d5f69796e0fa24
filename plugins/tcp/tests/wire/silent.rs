//! Peers that are gone without a word.

use std::time::Duration;

use micro_core::{Request, Response};
use micro_tcp::{KeepAlive, TcpConfig, TcpLimits};

use crate::raw::{PING, RawEnd, accept, dial, serve, serve_echo, soon};

const SHORT: KeepAlive = KeepAlive {
    interval: Duration::from_millis(50),
    timeout: Duration::from_millis(500),
};

fn short() -> TcpConfig {
    TcpConfig {
        keep_alive: SHORT,
        limits: TcpLimits {
            keep_alive: SHORT,
            ..TcpLimits::default()
        },
        ..TcpConfig::default()
    }
}

#[tokio::test]
async fn a_node_that_stopped_answering_fails_its_calls_as_unanswered() {
    let (address, _server) = accept(|end| async move {
        let _kept = end;
        std::future::pending().await
    })
    .await;
    let peer = dial(&address, short()).await;
    let error = soon(peer.handle(Request::new("a", "B.C", "x")))
        .await
        .unwrap_err();
    assert!(
        error.is_unanswered() && error.detail().contains(&address),
        "{error}"
    );
    assert!(error.detail().contains("keep_alive"), "{error}");
}

#[tokio::test]
async fn a_caller_that_stopped_answering_is_closed() {
    let listener = serve_echo(short()).await;
    let mut end = RawEnd::connect(listener.address()).await;
    assert_eq!(end.next().await.unwrap().kind, PING);
    assert!(end.goodbye().await.contains("keep_alive"));
    assert!(end.next().await.is_none());
}

#[tokio::test]
async fn a_peer_that_answers_pings_may_be_silent_for_long() {
    let listener = serve(short(), |mut request| async move {
        tokio::time::sleep(Duration::from_millis(1200)).await;
        Ok(Response::new(request.take_body()))
    })
    .await;
    let peer = dial(listener.address(), short()).await;
    soon(peer.handle(Request::new("a", "B.C", "x"))).await.unwrap();
}

#[tokio::test]
async fn a_listener_does_not_wait_for_a_silent_caller_without_calls() {
    let listener = serve_echo(TcpConfig::default()).await;
    let _end = RawEnd::connect(listener.address()).await;
    soon(listener.close(Duration::from_secs(3600))).await;
}
