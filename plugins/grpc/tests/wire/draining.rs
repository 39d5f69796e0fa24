//! Farewells: no call is lost when a listener closes, or a connection becomes too old.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use micro_core::{Request, Response};
use micro_grpc::{GrpcConfig, GrpcLimits};
use tokio::sync::Semaphore;

use crate::raw::{accept, connect, dial, head, serve, serve_echo, soon};

/// Callers that call without a pause until they are told to stop, and count.
async fn under_load(
    peer: Arc<dyn micro_core::Handler>,
    while_calling: impl Future<Output = impl Sized>,
) -> (usize, Vec<micro_core::Error>) {
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
    let listener = serve_echo(GrpcConfig::default()).await;
    let address = listener.address().to_owned();
    let peer = dial(&address, GrpcConfig::default()).await;
    let (answered, failures) = under_load(peer, async {
        let mut listener = listener;
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            soon(listener.close(Duration::from_secs(20))).await;
            let transport = micro_grpc::GrpcTransport::new(GrpcConfig::default()).unwrap();
            let echo = micro_core::handler::handler_fn(|mut request: Request| async move {
                Ok(Response::new(request.take_body()))
            });
            listener = micro_core::Transport::listen(&transport, &address, Arc::new(echo))
                .await
                .unwrap();
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
    let config = GrpcConfig {
        limits: GrpcLimits {
            max_age: Some(Duration::from_millis(20)),
            ..GrpcLimits::default()
        },
        ..GrpcConfig::default()
    };
    let listener = serve_echo(config).await;
    let peer = dial(listener.address(), GrpcConfig::default()).await;
    let (answered, failures) = under_load(peer, tokio::time::sleep(Duration::from_millis(500))).await;
    assert!(
        failures.is_empty() && answered > 100,
        "{answered} answered, then {:?}",
        failures.first()
    );
}

#[tokio::test]
async fn a_caller_is_told_to_go_elsewhere_in_two_steps() {
    let go_on = Arc::new(Semaphore::new(0));
    let signal = go_on.clone();
    let listener = serve(GrpcConfig::default(), move |mut request| {
        let signal = signal.clone();
        async move {
            let _ = signal.acquire().await;
            Ok(Response::new(request.take_body()))
        }
    })
    .await;
    let mut caller = connect(listener.address()).await;
    let grpc = [("content-type", "application/grpc")];
    let mut requests = caller.requests.clone();
    let calling = caller.call(head("/a.B/C", &grpc), b"\0\0\0\0\x01x");
    let closing = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        tokio::join!(listener.close(Duration::from_secs(20)), async {
            // Takes no more soon, and answers what is running.
            while requests.send_request(head("/a.B/C", &grpc), true).is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
                go_on.add_permits(1);
            }
            go_on.add_permits(100);
        })
    };
    let (answer, _) = soon(async { tokio::join!(calling, closing) }).await;
    assert_eq!(answer.unwrap().grpc_status(), "0");
    soon(caller.connection).await.unwrap().unwrap();
}

#[tokio::test]
async fn calls_that_a_node_refused_or_bid_farewell_before_go_to_a_new_connection() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    let (address, _server) = accept(move |mut connection| {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                drop(request);
                match number {
                    0 => respond.send_reset(h2::Reason::REFUSED_STREAM),
                    1 => {
                        connection.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
                        // Its last stream is the one that came: this one was looked at, so it is left unanswered.
                        respond.send_reset(h2::Reason::REFUSED_STREAM);
                    }
                    _ => {
                        let mut response = http::Response::new(());
                        let headers = response.headers_mut();
                        headers.insert("content-type", http::HeaderValue::from_static("application/grpc"));
                        let mut stream = respond.send_response(response, false).unwrap();
                        let message = bytes::Bytes::from_static(b"\0\0\0\0\x01x");
                        stream.send_data(message, false).unwrap();
                        let mut trailers = http::HeaderMap::new();
                        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
                        stream.send_trailers(trailers).unwrap();
                    }
                }
                if number == 0 {
                    // Long enough that the caller has another connection before this one is gone.
                    connection.graceful_shutdown();
                }
            }
        }
    })
    .await;
    let peer = dial(&address, GrpcConfig::default()).await;
    let answer = soon(peer.handle(Request::new("a", "B.C", "x"))).await;
    // The second connection is closed in the middle of the call: nobody knows, unless the reset came first.
    match answer {
        Ok(answer) => assert_eq!(answer.body.single().await.unwrap(), "x"),
        Err(error) => assert!(error.is_unanswered(), "{error}"),
    }
    let answer = soon(peer.handle(Request::new("a", "B.C", "x"))).await.unwrap();
    assert_eq!(answer.body.single().await.unwrap(), "x");
}

#[tokio::test]
async fn connections_without_calls_are_closed_by_either_side() {
    let idle = Duration::from_millis(50);
    let listener = serve_echo(GrpcConfig {
        limits: GrpcLimits {
            idle_timeout: idle,
            ..GrpcLimits::default()
        },
        ..GrpcConfig::default()
    })
    .await;
    let mut caller = connect(listener.address()).await;
    let grpc = [("content-type", "application/grpc")];
    assert_eq!(
        caller
            .call(head("/a.B/C", &grpc), b"\0\0\0\0\0")
            .await
            .unwrap()
            .grpc_status(),
        "0"
    );
    soon(caller.connection).await.unwrap().unwrap();

    let ended = Arc::new(Semaphore::new(0));
    let ends = ended.clone();
    let (address, _server) = accept(move |mut connection| {
        let ends = ends.clone();
        async move {
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                drop(request);
                let mut response = http::Response::new(());
                response
                    .headers_mut()
                    .insert("grpc-status", http::HeaderValue::from_static("5"));
                respond.send_response(response, true).unwrap();
            }
            ends.add_permits(1);
        }
    })
    .await;
    let peer = dial(
        &address,
        GrpcConfig {
            idle_timeout: idle,
            ..GrpcConfig::default()
        },
    )
    .await;
    for _ in 0..2 {
        let error = soon(peer.handle(Request::new("a", "B.C", "x")))
            .await
            .unwrap_err();
        assert_eq!(error.code(), 404);
        soon(ended.acquire()).await.unwrap().forget();
    }
}
