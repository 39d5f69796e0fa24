//! A thousand streams at once whose readers wait: what handlers are asked for is bounded by the windows.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use micro_core::handler::{CallKind, handler_fn};
use micro_core::registry::Node;
use micro_core::transport::Listener;
use micro_core::{Body, Request, Response, Transport};
use micro_grpc::{GrpcConfig, GrpcTransport};

use crate::callers_of_tonic::Caller;
use crate::message::Payload;

const STREAMS: usize = 1000;
/// The messages of each stream, and their size in bytes: 125 MiB in all.
const MESSAGES: usize = 32;
const SIZE: usize = 4 * 1024;
/// What may be on its way on a connection, in bytes.
const WINDOW: u32 = 1024 * 1024;
/// What is packed of each stream before it leaves, in bytes.
const PACKED: usize = 32 * 1024;

/// Waits for what takes its time, with so much to do.
async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(120), future)
        .await
        .expect("not within 2 min")
}

/// What the handlers saw.
#[derive(Default)]
struct Seen {
    /// How many bytes were taken from them.
    taken: AtomicUsize,
    /// From where they were called.
    ports: Mutex<BTreeSet<u16>>,
}

/// Serves such streams.
async fn serve() -> (Box<dyn Listener>, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let noted = seen.clone();
    let handler = handler_fn(move |request: Request| {
        let seen = noted.clone();
        async move {
            seen.ports
                .lock()
                .unwrap()
                .insert(request.peer.unwrap().remote.port());
            let messages = (0..MESSAGES).map(move |number| {
                let bytes = Payload::new(vec![number as u8; SIZE]).bytes();
                seen.taken.fetch_add(bytes.len(), Ordering::SeqCst);
                Ok(bytes)
            });
            Ok(Response::new(Body::stream(stream::iter(messages))))
        }
    });
    let transport = GrpcTransport::new(GrpcConfig::default()).unwrap();
    let listener = transport.listen("127.0.0.1:0", Arc::new(handler)).await.unwrap();
    (listener, seen)
}

/// Waits until the handlers are asked for nothing more, and checks what they were asked for.
async fn assert_stopped(seen: &Seen, connections: usize) {
    assert_eq!(seen.ports.lock().unwrap().len(), connections);
    let mut before = 0;
    let taken = in_time(async {
        loop {
            let now = seen.taken.load(Ordering::SeqCst);
            if now == before && now > 0 {
                return now;
            }
            before = now;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    })
    .await;
    let bound = connections * WINDOW as usize + STREAMS * (PACKED + SIZE + 16);
    assert!(
        taken <= bound,
        "{taken} bytes for readers that wait, at most {bound}"
    );
}

fn assert_is(message: &[u8], number: usize) {
    let payload = Payload::read(message);
    assert!(payload.data.len() == SIZE && payload.data.iter().all(|byte| *byte == number as u8));
}

async fn our_readers_wait(connections: usize) {
    let (listener, seen) = serve().await;
    let transport = GrpcTransport::new(GrpcConfig {
        connections,
        calls_per_connection: STREAMS / connections,
        connection_window: WINDOW,
        ..GrpcConfig::default()
    });
    let node = Node::new("node-1", listener.address());
    let peer = transport.unwrap().dial(&node).await.unwrap();
    let mut answers = Vec::new();
    for _ in 0..STREAMS {
        let mut request = Request::new("interop", "Echo.Count", "");
        request.kind = CallKind::Stream;
        answers.push(in_time(peer.handle(request)).await);
    }
    assert_stopped(&seen, connections).await;
    let readers = answers.into_iter().map(|answer| async move {
        let mut body = answer.unwrap().body;
        for number in 0..MESSAGES {
            assert_is(&body.message().await.unwrap().unwrap(), number);
            tokio::task::yield_now().await;
        }
        assert!(body.message().await.is_none());
    });
    in_time(join_all(readers)).await;
}

#[tokio::test]
async fn a_thousand_streams_on_one_connection_wait_for_their_readers() {
    our_readers_wait(1).await;
}

#[tokio::test]
async fn a_thousand_streams_on_several_connections_wait_for_their_readers() {
    our_readers_wait(4).await;
}

#[tokio::test]
async fn a_thousand_streams_wait_for_the_readers_of_tonic() {
    let (listener, seen) = serve().await;
    let caller = Caller::connect_with(listener.address(), Some(WINDOW)).await;
    let calls = (0..STREAMS).map(|_| {
        let mut caller = caller.clone();
        async move { caller.server_streaming("Count", Payload::new("")).await }
    });
    let answers = in_time(join_all(calls)).await;
    assert_stopped(&seen, 1).await;
    let readers = answers.into_iter().map(|answer| async move {
        let mut messages = answer.unwrap().into_inner();
        for number in 0..MESSAGES {
            assert_is(&messages.next().await.unwrap().unwrap().bytes(), number);
            tokio::task::yield_now().await;
        }
        assert!(messages.next().await.is_none());
    });
    in_time(join_all(readers)).await;
}
