//! How many connections there are, and what a caller learns of its own mistakes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use micro_core::handler::CallKind;
use micro_core::{Body, Error, Request, Response};
use micro_grpc::GrpcConfig;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::raw::{dial, serve, serve_echo, soon};

#[tokio::test]
async fn connections_are_opened_as_calls_need_them_and_no_more_than_allowed() {
    let (began, go_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let ports: Arc<std::sync::Mutex<std::collections::BTreeSet<u16>>> = Arc::default();
    let signals = (began.clone(), go_on.clone(), ports.clone());
    let listener = serve(GrpcConfig::default(), move |request| {
        let (began, go_on, ports) = signals.clone();
        async move {
            ports.lock().unwrap().insert(request.peer.unwrap().remote.port());
            began.add_permits(1);
            go_on.acquire().await.unwrap().forget();
            Ok(Response::new("x"))
        }
    })
    .await;
    let config = GrpcConfig {
        connections: 3,
        calls_per_connection: 2,
        ..GrpcConfig::default()
    };
    let peer = dial(listener.address(), config).await;
    let mut calls = Vec::new();
    for (running, expected) in [(1, 1), (2, 1), (20, 3)] {
        while calls.len() < running {
            let peer = peer.clone();
            let call = async move { peer.handle(Request::new("a", "B.C", "x")).await };
            calls.push(tokio_util::task::AbortOnDropHandle::new(tokio::spawn(call)));
            soon(began.acquire()).await.unwrap().forget();
        }
        assert_eq!(ports.lock().unwrap().len(), expected, "{running} calls at once");
    }
    go_on.add_permits(20);
    for call in calls {
        soon(call).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn many_first_calls_connect_once_and_fail_together() {
    // Accepts nothing, so that whoever connects waits.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = accepted.clone();
    let _server = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            kept.push(stream);
        }
    }));
    let config = GrpcConfig {
        connect_timeout: Duration::from_millis(200),
        ..GrpcConfig::default()
    };
    let peer = dial(&address, config).await;
    let calls = (0..50).map(|_| peer.handle(Request::new("a", "B.C", "x")));
    for answer in soon(futures_util::future::join_all(calls)).await {
        let error = answer.unwrap_err();
        assert!(
            error.is_never_started() && error.detail().contains("connect_timeout"),
            "{error}"
        );
    }
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_first_call_that_is_given_up_leaves_connecting_to_the_next() {
    let listener = serve_echo(GrpcConfig::default()).await;
    let peer = dial(listener.address(), GrpcConfig::default()).await;
    for _ in 0..20 {
        let given_up = peer.handle(Request::new("a", "B.C", "x"));
        drop(tokio::time::timeout(Duration::ZERO, given_up).await);
    }
    soon(peer.handle(Request::new("a", "B.C", "x"))).await.unwrap();
}

#[tokio::test]
async fn an_error_among_the_callers_messages_comes_back_to_the_caller() {
    let listener = serve(GrpcConfig::default(), |mut request| async move {
        let mut body = request.take_body();
        let _ = body.message().await;
        Ok(Response::new(Body::stream(
            stream::iter([Ok(Bytes::new())]).chain(body),
        )))
    })
    .await;
    let peer = dial(listener.address(), GrpcConfig::default()).await;
    let messages = [
        Ok(Bytes::from_static(b"1")),
        Err(Error::conflict("kit.own", "mine")),
    ];
    let mut request = Request::new("a", "B.C", Body::stream(stream::iter(messages)));
    request.kind = CallKind::Stream;
    let error = soon(async {
        match peer.handle(request).await {
            Err(error) => error,
            Ok(answer) => answer
                .body
                .filter_map(|message| async { message.err() })
                .boxed()
                .next()
                .await
                .unwrap(),
        }
    })
    .await;
    assert_eq!((error.id(), error.detail()), ("kit.own", "mine"));
}
