//! Farewells: no call is lost when a listener closes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use micro_core::handler::handler_fn;
use micro_core::{Request, Response, Transport};
use micro_udp::{UdpConfig, UdpTransport};

use crate::raw::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_fails_no_call_that_was_begun() {
    let mut listener = serve_echo().await;
    let address = listener.address().to_owned();
    let peer = dial(&address, UdpConfig::default()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..8)
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
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        soon(listener.close(Duration::from_secs(20))).await;
        let echo = handler_fn(|mut request: Request| async move { Ok(Response::new(request.take_body())) });
        let transport = UdpTransport::new(UdpConfig::default());
        listener = transport.listen(&address, Arc::new(echo)).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    stop.store(true, Ordering::Relaxed);
    let mut answered = 0;
    for caller in callers {
        let (more, failures) = soon(caller).await.unwrap();
        answered += more;
        let lost: Vec<_> = failures
            .iter()
            .filter(|error| !error.is_never_started())
            .collect();
        assert!(
            lost.is_empty(),
            "{} calls were lost: {:?}",
            lost.len(),
            lost.first()
        );
    }
    assert!(answered > 100, "{answered} calls were answered");
}

#[tokio::test]
async fn a_closing_listener_repeats_its_answers_until_they_were_seen() {
    let listener = serve_echo().await;
    let caller = RawCaller::new(listener.address()).await;
    caller.send(CALL, 1, 1, &call_body(1, b"x")).await;
    assert_eq!(caller.next().await.0, ANSWER);
    let speak = async {
        assert_eq!(caller.next().await.0, GOODBYE);
        // As if the answer was lost.
        caller.send(CALL, 1, 1, &call_body(1, b"x")).await;
        caller.send(CALL, 1, 2, &call_body(1, b"x")).await;
        let mut said = Vec::new();
        while said.len() < 2 {
            match caller.next().await.0 {
                GOODBYE => {}
                kind => said.push(kind),
            }
        }
        assert_eq!(said, [ANSWER, REFUSED]);
        caller.send(SEEN, 1, 3, &3_u64.to_be_bytes()).await;
    };
    soon(async { tokio::join!(listener.close(Duration::from_secs(20)), speak) }).await;
}
