//! Many calls on one connection do not stand in each other's way.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use micro_core::{Request, Response};
use micro_tcp::{TcpConfig, TcpLimits};
use tokio::sync::{Barrier, Semaphore};

use crate::raw::*;

fn one_connection() -> TcpConfig {
    TcpConfig {
        connections: 1,
        large_from: usize::MAX,
        ..TcpConfig::default()
    }
}

#[tokio::test]
async fn what_is_not_done_at_once_has_a_task_of_its_own() {
    const CALLS: usize = 100;
    let all = Arc::new(Barrier::new(CALLS));
    let tasks: Arc<Mutex<HashSet<_>>> = Arc::default();
    let (everybody, seen) = (all.clone(), tasks.clone());
    let listener = serve(TcpConfig::default(), move |mut request| {
        let (everybody, seen) = (everybody.clone(), seen.clone());
        async move {
            tokio::task::yield_now().await;
            everybody.wait().await;
            seen.lock().unwrap().insert(tokio::task::id());
            Ok(Response::new(request.take_body()))
        }
    })
    .await;
    let peer = dial(listener.address(), one_connection()).await;
    let calls = join_all((0..CALLS).map(|_| peer.handle(Request::new("a", "B.C", "x"))));
    assert!(soon(calls).await.into_iter().all(|answer| answer.is_ok()));
    assert_eq!(tasks.lock().unwrap().len(), CALLS);
}

#[tokio::test]
async fn handlers_that_wait_delay_none_that_arrived_with_them() {
    let waiting = Arc::new(Semaphore::new(0));
    let signal = waiting.clone();
    let listener = serve(TcpConfig::default(), move |mut request| {
        let signal = signal.clone();
        async move {
            if request.body.as_single().is_some_and(|body| body == "wait") {
                let _ = signal.acquire().await;
            }
            Ok(Response::new(request.take_body()))
        }
    })
    .await;
    let peer = dial(listener.address(), one_connection()).await;
    let waits = join_all((0..100).map(|_| peer.handle(Request::new("a", "B.C", "wait"))));
    let goes_on = async {
        let quick = join_all((0..100).map(|_| peer.handle(Request::new("a", "B.C", "x"))));
        assert!(soon(quick).await.into_iter().all(|answer| answer.is_ok()));
        waiting.add_permits(100);
    };
    let (answers, ()) = soon(async { tokio::join!(waits, goes_on) }).await;
    assert!(answers.into_iter().all(|answer| answer.is_ok()));
}

#[tokio::test]
async fn more_calls_than_a_node_takes_wait_at_the_caller() {
    let (most, now) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (highest, running) = (most.clone(), now.clone());
    let config = TcpConfig {
        limits: TcpLimits {
            calls: 3,
            ..TcpLimits::default()
        },
        ..TcpConfig::default()
    };
    let listener = serve(config, move |mut request| {
        let (highest, running) = (highest.clone(), running.clone());
        async move {
            highest.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(2)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            Ok(Response::new(request.take_body()))
        }
    })
    .await;
    let peer = dial(listener.address(), one_connection()).await;
    let calls = join_all((0..100).map(|_| peer.handle(Request::new("a", "B.C", "x"))));
    assert!(soon(calls).await.into_iter().all(|answer| answer.is_ok()));
    assert!(most.load(Ordering::SeqCst) <= 3, "{most:?} at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_calls_get_between_the_parts_of_large_ones() {
    let listener = serve_echo(TcpConfig::default()).await;
    let peer = dial(listener.address(), one_connection()).await;
    let large = join_all((0..4).map(|_| async {
        let message = vec![7; 8 << 20];
        let answer = peer.handle(Request::new("a", "B.C", message)).await.unwrap();
        assert_eq!(answer.body.single().await.unwrap().len(), 8 << 20);
    }));
    let small = async {
        let mut count = 0;
        loop {
            peer.handle(Request::new("a", "B.C", "x")).await.unwrap();
            count += 1;
            tokio::task::yield_now().await;
            if count == 3 {
                return;
            }
        }
    };
    // The small ones are through before the large ones are.
    let first = soon(async {
        tokio::select! {
            _ = large => "large",
            () = small => "small",
        }
    });
    assert_eq!(first.await, "small");
}

#[tokio::test]
async fn a_panic_without_recover_fails_one_call() {
    let listener = serve(TcpConfig::default(), |mut request| async move {
        let body = request.take_body();
        match body.as_single() {
            Some(body) if body == "panic" => panic!("on purpose"),
            Some(body) if body == "later" => {
                tokio::task::yield_now().await;
                panic!("on purpose")
            }
            _ => Ok(Response::new(body)),
        }
    })
    .await;
    let peer = dial(listener.address(), one_connection()).await;
    for body in ["panic", "later"] {
        let (panicked, well) = soon(async {
            tokio::join!(
                peer.handle(Request::new("a", "B.C", body)),
                peer.handle(Request::new("a", "B.C", "well"))
            )
        })
        .await;
        let error = panicked.unwrap_err();
        assert!(error.code() == 500 && error.is_unanswered(), "{error}");
        assert!(well.is_ok());
    }
}
