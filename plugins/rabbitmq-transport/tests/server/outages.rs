//! Connections that are cut, and a RabbitMQ that is killed and comes back.

use std::time::Duration;

use micro_core::Transport;
use micro_testkit::proxy::Proxy;
use servers::{Kind, start_or_skip};
use tokio::time::{Instant, sleep, timeout};

use crate::shared::{PATIENCE, at, call, connect, dial, echo, never, shared};

/// Calls until that works.
async fn until_answered(peer: &std::sync::Arc<dyn micro_core::Handler>, within: Duration) -> Duration {
    let begun = Instant::now();
    loop {
        // A request that was on its way to a queue that ended just then is lost, and ends at its deadline.
        match timeout(Duration::from_millis(500), call(peer, "x")).await {
            Ok(Ok(_)) => return begun.elapsed(),
            failed => assert!(begun.elapsed() < within, "calls do not work again: {failed:?}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn both_sides_work_again_when_rabbitmq_is_back() {
    let Some(mut server) = start_or_skip(Kind::Rabbitmq).await else {
        return;
    };
    let transport = connect(at(server.address())).await;
    let listener = transport.listen("a-node", echo()).await.unwrap();
    let peer = dial(&transport, listener.address()).await;
    assert_eq!(call(&peer, "x").await.unwrap(), "x");
    server.kill().await.unwrap();
    server.start_again().await.unwrap();
    let took = until_answered(&peer, PATIENCE).await;
    assert!(took < Duration::from_secs(1), "calls worked after {took:?} only");
}

#[tokio::test]
async fn a_call_whose_own_connection_is_cut_is_unanswered() {
    let mut proxy = Proxy::open(shared()).await.unwrap();
    let (here, there) = (connect(at(proxy.address())).await, connect(at(shared())).await);
    let listener = there.listen(":0", never()).await.unwrap();
    let peer = dial(&here, listener.address()).await;
    let (answer, ()) = tokio::join!(call(&peer, "x"), async {
        sleep(Duration::from_millis(300)).await;
        proxy.cut().await;
    });
    let error = answer.unwrap_err();
    assert!(error.is_unanswered(), "{error}");
    proxy.mend().await.unwrap();
    let listener = there.listen(":0", echo()).await.unwrap();
    until_answered(&dial(&here, listener.address()).await, Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_call_to_a_listener_that_died_is_unanswered_and_the_next_never_starts() {
    let mut proxy = Proxy::open(shared()).await.unwrap();
    let (here, there) = (connect(at(shared())).await, connect(at(proxy.address())).await);
    let listener = there.listen(":0", never()).await.unwrap();
    let peer = dial(&here, listener.address()).await;
    let (answer, ()) = tokio::join!(call(&peer, "x"), async {
        sleep(Duration::from_millis(300)).await;
        proxy.cut().await;
    });
    let error = answer.unwrap_err();
    assert!(error.is_unanswered(), "{error}");
    let error = call(&peer, "y").await.unwrap_err();
    assert!(
        error.is_never_started() && error.detail().contains(listener.address()),
        "{error}"
    );
}

#[tokio::test]
async fn a_listener_comes_back_after_its_connection_was_cut() {
    let mut proxy = Proxy::open(shared()).await.unwrap();
    let (here, there) = (connect(at(shared())).await, connect(at(proxy.address())).await);
    let listener = there.listen(":0", echo()).await.unwrap();
    let peer = dial(&here, listener.address()).await;
    for _ in 0..3 {
        proxy.cut().await;
        proxy.mend().await.unwrap();
        until_answered(&peer, Duration::from_secs(5)).await;
    }
}
