//! Bytes that nobody should send: no panic, no hang, and everybody else is served.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use micro_core::handler::CallKind;
use micro_core::transport::http::{HttpConfig, HttpLimits, probe};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tokio::io::AsyncWriteExt;

use crate::beside_hyper::{Pieces, cases, mutated, requests, responses, sizes};
use crate::raw::{Fake, Raw, assert_greets, capture, dial, listen, request, within};

/// Panics of this process since the first call. Those of a listener's tasks would go unnoticed otherwise.
fn panics() -> usize {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    static WATCH: std::sync::Once = std::sync::Once::new();
    WATCH.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            COUNT.fetch_add(1, Ordering::SeqCst);
            usual(panic);
        }));
    });
    COUNT.load(Ordering::SeqCst)
}

fn quick() -> HttpConfig {
    HttpConfig {
        limits: HttpLimits {
            head_timeout: Duration::from_millis(30),
            body_timeout: Duration::from_millis(30),
            idle_timeout: Duration::from_millis(30),
            ..HttpLimits::default()
        },
        ..HttpConfig::default()
    }
}

fn captured(names: &[&str]) -> impl Strategy<Value = Vec<u8>> + use<> {
    prop::sample::select(names.iter().map(|name| capture(name)).collect::<Vec<_>>())
}

fn bad_requests() -> impl Strategy<Value = Vec<u8>> {
    let calls = [
        "unary-json.request",
        "empty.request",
        "error-protorpc.request",
        "stream-echo.client",
        "stream-count-json.client",
    ];
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        mutated(requests()),
        mutated(captured(&calls)),
    ]
}

fn bad_responses() -> impl Strategy<Value = Vec<u8>> {
    let answers = [
        "unary-json.response",
        "error-jsonrpc.response",
        "stream-echo.server",
        "stream-count-json.server",
    ];
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        mutated(responses()),
        mutated(captured(&answers)),
    ]
}

fn each<T: std::fmt::Debug>(count: u32, strategy: impl Strategy<Value = T>, mut check: impl FnMut(T)) {
    let config = ProptestConfig {
        cases: cases(count),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner = TestRunner::new(config);
    let check = std::cell::RefCell::new(&mut check);
    runner
        .run(&strategy, |value| {
            (check.borrow_mut())(value);
            Ok(())
        })
        .unwrap();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn a_listener_answers_or_closes_and_goes_on() {
    let (before, runtime) = (panics(), runtime());
    let server = runtime.block_on(listen(crate::greeter::handler(), quick()));
    let strategy = (bad_requests(), sizes(), any::<bool>());
    each(300, strategy, |(bytes, sizes, ends)| {
        runtime.block_on(within(async {
            let mut connection = Raw::connect(server.address()).await;
            let mut rest = &bytes[..];
            for size in sizes.iter().cycle() {
                let (piece, behind) = rest.split_at((*size).min(rest.len()));
                if piece.is_empty() || connection.stream.write_all(piece).await.is_err() {
                    break;
                }
                rest = behind;
            }
            if ends {
                let _ = connection.stream.shutdown().await;
            }
            let answer = connection.rest().await;
            assert!(
                answer.is_empty() || answer.starts_with(b"HTTP/1.1 "),
                "{:?}",
                String::from_utf8_lossy(&answer)
            );
        }));
    });
    runtime.block_on(within(assert_greets(server.address())));
    assert_eq!(panics(), before);
}

#[test]
fn a_caller_gets_an_answer_or_an_error() {
    let (before, runtime) = (panics(), runtime());
    let bytes = Arc::new(std::sync::Mutex::new((Vec::new(), vec![1])));
    let sent = bytes.clone();
    let fake = runtime.block_on(Fake::start(move |_, mut connection| {
        let (bytes, sizes) = sent.lock().unwrap().clone();
        async move {
            if connection.message().await.is_none() {
                return;
            }
            let mut rest = &bytes[..];
            for size in sizes.iter().cycle() {
                let (piece, behind) = rest.split_at((*size).min(rest.len()));
                if piece.is_empty() || connection.stream.write_all(piece).await.is_err() {
                    return;
                }
                rest = behind;
            }
        }
    }));
    each(
        400,
        (bad_responses(), sizes(), any::<bool>()),
        |(answer, sizes, is_stream)| {
            *bytes.lock().unwrap() = (answer, sizes);
            runtime.block_on(within(async {
                let node = dial(&fake.address, HttpConfig::default()).await;
                let mut request = request("x");
                if is_stream {
                    request.kind = CallKind::Stream;
                }
                if let Ok(mut response) = node.handle(request).await {
                    while let Some(Ok(_)) = response.body.message().await {}
                }
            }));
        },
    );
    assert_eq!(panics(), before);
}

/// The fuzzer's target, on many more cases than go over sockets.
#[test]
fn the_framing_ends_on_any_bytes() {
    let runtime = runtime();
    let limits = HttpLimits {
        message_size: usize::MAX,
        ..HttpLimits::default()
    };
    let strategy = (
        prop_oneof![bad_requests(), bad_responses()],
        sizes(),
        any::<bool>(),
    );
    each(6000, strategy, |(bytes, sizes, requests)| {
        let whole = runtime.block_on(probe::read(Pieces::new(&bytes, &[usize::MAX]), requests, &limits));
        let cut = runtime.block_on(probe::read(Pieces::new(&bytes, &sizes), requests, &limits));
        assert_eq!(
            whole.0, cut.0,
            "what was understood does not depend on how it arrived"
        );
    });
}
