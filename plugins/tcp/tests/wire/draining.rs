//! Farewells: no call is lost when a listener closes, or a connection becomes too old.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use micro_core::handler::handler_fn;
use micro_core::{Error, Handler, Request, Response, Transport};
use micro_tcp::{TcpConfig, TcpLimits, TcpTransport};
use tokio::sync::Semaphore;

use crate::raw::*;

/// Callers that call without a pause while something happens: how many calls were answered, and how others failed.
async fn under_load(
    peer: Arc<dyn Handler>,
    while_calling: impl Future<Output = impl Sized>,
) -> (usize, Vec<Error>) {
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..16)
        .map(|_| {
            let (peer, stop) = (peer.clone(), stop.clone());
            tokio::spawn(async move {
                let (mut answered, mut failures) = (0, Vec::new());
                while !stop.load(Ordering::Relaxed) {
                    match peer.handle(Request::new("a", "B.C", "x")).await {
                        Ok(_) => answered += 1,
                        Err(error) => failures.push(error),
                    }
                }
                (answered, failures)
            })
        })
        .collect();
    let _kept = while_calling.await;
    stop.store(true, Ordering::Relaxed);
    let (mut answered, mut failures) = (0, Vec::new());
    for caller in callers {
        let (more, failed) = soon(caller).await.unwrap();
        answered += more;
        failures.extend(failed);
    }
    (answered, failures)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_fails_no_call_that_was_begun() {
    let listener = serve_echo(TcpConfig::default()).await;
    let address = listener.address().to_owned();
    let peer = dial(&address, TcpConfig::default()).await;
    let (answered, failures) = under_load(peer, async {
        let mut listener = listener;
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            soon(listener.close(Duration::from_secs(20))).await;
            let transport = TcpTransport::new(TcpConfig::default()).unwrap();
            let echo =
                handler_fn(|mut request: Request| async move { Ok(Response::new(request.take_body())) });
            listener = transport.listen(&address, Arc::new(echo)).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        listener
    })
    .await;
    assert!(answered > 100, "{answered} calls were answered");
    // While nobody listens, calls fail as never started: they would go to another node.
    let lost: Vec<_> = failures
        .iter()
        .filter(|error| !error.is_never_started())
        .collect();
    assert!(
        lost.is_empty(),
        "{} of {answered} calls were lost: {:?}",
        lost.len(),
        lost.first()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_become_too_old_are_replaced_without_a_failed_call() {
    let listener = serve_echo(TcpConfig {
        limits: TcpLimits {
            max_age: Some(Duration::from_millis(20)),
            ..TcpLimits::default()
        },
        ..TcpConfig::default()
    })
    .await;
    let peer = dial(listener.address(), TcpConfig::default()).await;
    let (answered, failures) = under_load(peer, tokio::time::sleep(Duration::from_millis(500))).await;
    assert!(
        failures.is_empty() && answered > 100,
        "{answered} answered, then {:?}",
        failures.first()
    );
}

#[tokio::test]
async fn a_closing_listener_answers_what_was_sent_before_its_caller_knew() {
    let go_on = Arc::new(Semaphore::new(0));
    let signal = go_on.clone();
    let listener = serve(TcpConfig::default(), move |mut request| {
        let signal = signal.clone();
        async move {
            let _ = signal.acquire().await;
            Ok(Response::new(request.take_body()))
        }
    })
    .await;
    let mut end = RawEnd::connect(listener.address()).await;
    end.send(&call(1, b"first")).await;
    let speak = async {
        let goodbye = end.next().await.unwrap();
        assert_eq!((goodbye.kind, &goodbye.payload[..4]), (GOODBYE, &[0xff; 4][..]));
        end.send(&call(2, b"second")).await;
        end.send(&frame(0, GOODBYE, 0, &2_u32.to_be_bytes())).await;
        end.send(&call(3, b"behind the goodbye")).await;
        let refused = end.next().await.unwrap();
        assert_eq!(
            (refused.call, refused.kind, refused.payload),
            (3, CANCEL, vec![1])
        );
        go_on.add_permits(2);
        let mut answers = [end.next().await.unwrap().call, end.next().await.unwrap().call];
        answers.sort_unstable();
        assert_eq!(answers, [1, 2]);
        assert!(end.next().await.is_none());
    };
    soon(async { tokio::join!(listener.close(Duration::from_secs(20)), speak) }).await;
}

#[tokio::test]
async fn calls_that_a_node_did_not_look_at_go_to_a_new_connection() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    let (address, _server) = accept(move |mut end| {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            while let Some(said) = end.next().await {
                match (number, said.kind) {
                    (0, CALL) => end.send(&frame(said.call, CANCEL, 0, &[1])).await,
                    // It looked at none.
                    (1, CALL) => end.send(&frame(0, GOODBYE, 0, &[0; 4])).await,
                    (_, CALL) => end.send(&frame(said.call, ANSWER, 0, b"done")).await,
                    _ => {}
                }
            }
        }
    })
    .await;
    let peer = dial(&address, TcpConfig::default()).await;
    let answer = soon(peer.handle(Request::new("a", "B.C", "x"))).await.unwrap();
    assert_eq!(answer.body.single().await.unwrap(), "done");
    assert_eq!(connections.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn connections_without_calls_are_closed_by_either_side() {
    let idle = Duration::from_millis(50);
    let listener = serve_echo(TcpConfig {
        limits: TcpLimits {
            idle_timeout: idle,
            ..TcpLimits::default()
        },
        ..TcpConfig::default()
    })
    .await;
    let mut end = RawEnd::connect(listener.address()).await;
    assert!(end.goodbye().await.contains("idle"));

    let ended = Arc::new(Semaphore::new(0));
    let ends = ended.clone();
    let (address, _server) = accept(move |mut end| {
        let ends = ends.clone();
        async move {
            while let Some(said) = end.next().await {
                end.send(&frame(said.call, ANSWER, 0, b"x")).await;
            }
            ends.add_permits(1);
        }
    })
    .await;
    let peer = dial(
        &address,
        TcpConfig {
            idle_timeout: idle,
            ..TcpConfig::default()
        },
    )
    .await;
    for _ in 0..2 {
        soon(peer.handle(Request::new("a", "B.C", "x"))).await.unwrap();
        soon(ended.acquire()).await.unwrap().forget();
    }
}

#[tokio::test]
async fn a_call_that_never_left_or_left_in_part_was_never_started() {
    // The node takes the head of a large message and no more, and goes.
    let (address, _server) = accept(|mut end| async move {
        let mut some = [0; 100];
        let _ = tokio::io::AsyncReadExt::read_exact(&mut end.0, &mut some).await;
    })
    .await;
    let peer = dial(&address, TcpConfig::default()).await;
    let error = soon(peer.handle(Request::new("a", "B.C", vec![0; 16 << 20])))
        .await
        .unwrap_err();
    assert!(error.is_never_started(), "{error}");
}
