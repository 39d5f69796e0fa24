//! Against NATS processes of the tests' own: who goes away, what is too much, and who is told.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use micro_core::handler::{CallKind, handler_fn};
use micro_core::registry::Node;
use micro_core::transport::Listener;
use micro_core::{Body, ErrorKind, Handler, Request, Response, Transport};
use micro_nats_transport::{NatsServers, NatsTransport, NatsTransportConfig};
use micro_testkit::proxy::Proxy;
use servers::Kind;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Generous, because it is met only by failing tests.
const PATIENCE: Duration = Duration::from_secs(60);

fn config(address: impl ToString) -> NatsTransportConfig {
    NatsTransportConfig {
        servers: NatsServers {
            addresses: vec![address.to_string()],
            ..NatsServers::default()
        },
        ..NatsTransportConfig::default()
    }
}

async fn connect(address: impl ToString) -> NatsTransport {
    NatsTransport::connect(config(address)).await.unwrap()
}

async fn echo(transport: &NatsTransport, address: &str) -> Box<dyn Listener> {
    let echo = handler_fn(|mut request: Request| async move { Ok(Response::new(request.take_body())) });
    transport.listen(address, Arc::new(echo)).await.unwrap()
}

async fn dial(transport: &NatsTransport, listener: &dyn Listener) -> Arc<dyn Handler> {
    let node = Node::new("node-1", listener.address());
    transport.dial(&node).await.unwrap()
}

fn request(body: impl Into<Body>) -> Request {
    Request::new("test", "Test.Call", body)
}

/// A handler that says when it has begun, holds its request, and never answers.
fn endless() -> (Arc<Semaphore>, Arc<dyn Handler>) {
    let began = Arc::new(Semaphore::new(0));
    let begins = began.clone();
    let handler = handler_fn(move |request: Request| {
        begins.add_permits(1);
        async move {
            // Dropped, it would say that nobody wants the rest of a stream.
            let _request = request;
            std::future::pending().await
        }
    });
    (began, Arc::new(handler))
}

#[tokio::test]
async fn a_node_that_was_killed_during_a_call_is_noticed() {
    let Some(server) = servers::start_or_skip(Kind::Nats).await else {
        return;
    };
    let mut proxy = Proxy::open(server.address()).await.unwrap();
    let killed = connect(proxy.address()).await;
    let (began, handler) = endless();
    let listener = killed.listen(":0", handler).await.unwrap();
    let caller = connect(server.address()).await;
    let peer = dial(&caller, &*listener).await;
    let kill = async {
        began.acquire().await.unwrap().forget();
        proxy.hang_up().await.unwrap();
    };
    let (answer, ()) = tokio::join!(timeout(PATIENCE, peer.handle(request("x"))), kill);
    let error = answer.unwrap().unwrap_err();
    assert!(error.is_unanswered(), "{error:?}");
    let error = timeout(PATIENCE, peer.handle(request("x")))
        .await
        .unwrap()
        .unwrap_err();
    assert!(error.is_never_started(), "{error:?}");
}

#[tokio::test]
async fn calls_fail_with_the_server_and_work_again_with_it() {
    let Some(mut server) = servers::start_or_skip(Kind::Nats).await else {
        return;
    };
    let transport = connect(server.address()).await;
    let (began, handler) = endless();
    let stuck = transport.listen(":0", handler).await.unwrap();
    let listener = echo(&transport, "test.echo").await;
    let (to_stuck, peer) = (
        dial(&transport, &*stuck).await,
        dial(&transport, &*listener).await,
    );
    let kill = async {
        began.acquire().await.unwrap().forget();
        server.kill().await.unwrap();
    };
    let (answer, ()) = tokio::join!(timeout(PATIENCE, to_stuck.handle(request("x"))), kill);
    let error = answer.unwrap().unwrap_err();
    assert!(error.is_unanswered(), "{error:?}");
    let error = timeout(PATIENCE, peer.handle(request("x")))
        .await
        .unwrap()
        .unwrap_err();
    assert!(error.is_never_started(), "{error:?}");
    assert!(error.detail().contains(&server.address().to_string()), "{error}");
    server.start_again().await.unwrap();
    let works = async {
        while peer.handle(request("x")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, works).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_closes_under_load_leaves_no_call_in_doubt() {
    let Some(server) = servers::start_or_skip(Kind::Nats).await else {
        return;
    };
    let serving = connect(server.address()).await;
    let calling = connect(server.address()).await;
    for _ in 0..5 {
        let listener = echo(&serving, ":0").await;
        let peer = dial(&calling, &*listener).await;
        let callers = (0..16).map(|_| {
            let peer = peer.clone();
            tokio::spawn(async move {
                let mut answered = 0;
                loop {
                    match timeout(PATIENCE, peer.handle(request("x"))).await.unwrap() {
                        Ok(_) => answered += 1,
                        Err(error) => return (answered, error),
                    }
                }
            })
        });
        let callers: Vec<_> = callers.collect();
        tokio::time::sleep(Duration::from_millis(50)).await;
        listener.close(PATIENCE).await;
        for caller in callers {
            let (answered, error) = caller.await.unwrap();
            assert!(error.is_never_started(), "after {answered} answers: {error:?}");
        }
    }
}

#[tokio::test]
async fn an_address_where_somebody_listens_is_refused_until_it_is_free() {
    let Some(server) = servers::start_or_skip(Kind::Nats).await else {
        return;
    };
    let (one, other) = (connect(server.address()).await, connect(server.address()).await);
    let first = echo(&one, "test.taken").await;
    let nobody = Arc::new(handler_fn(|_| async { Ok(Response::default()) }));
    let refused = other.listen("test.taken", nobody).await.err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    assert!(refused.detail().contains("test.taken"), "{refused}");
    first.close(PATIENCE).await;
    echo(&other, "test.taken").await;
}

#[tokio::test]
async fn messages_that_nats_does_not_take_are_refused_by_its_limit() {
    let Some(server) = servers::start_or_skip(Kind::Nats).await else {
        return;
    };
    let transport = connect(server.address()).await;
    let large = handler_fn(|_| async { Ok(Response::new(vec![7; 1 << 20])) });
    let listener = transport.listen(":0", Arc::new(large)).await.unwrap();
    let peer = dial(&transport, &*listener).await;
    let asked = peer.handle(request(vec![7; 1 << 20])).await.unwrap_err();
    assert!(asked.is_never_started(), "{asked:?}");
    let answered = peer.handle(request("x")).await.unwrap_err();
    for error in [asked, answered] {
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
        assert!(error.detail().contains("max_payload"), "{error}");
    }
    let mut parts = request(Body::stream(stream::iter([Ok(Bytes::from(vec![7; 1 << 20]))])));
    parts.kind = CallKind::Stream;
    let mut answer = peer.handle(parts).await.unwrap().body;
    let error = timeout(PATIENCE, answer.message())
        .await
        .unwrap()
        .unwrap()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
}

#[tokio::test]
async fn a_caller_in_go_that_floods_a_stream_is_cut_by_name() {
    let Some(server) = servers::start_or_skip(Kind::Nats).await else {
        return;
    };
    let transport = NatsTransport::connect(NatsTransportConfig {
        stream_buffer: 100,
        ..config(server.address())
    });
    let (began, handler) = endless();
    let listener = transport
        .await
        .unwrap()
        .listen("test.flood", handler)
        .await
        .unwrap();
    let client = async_nats::connect(server.address().to_string()).await.unwrap();
    let mut inbox = client.subscribe("go.inbox").await.unwrap();
    let message = r#"{"Header":{"Content-Type":"application/json","Micro-Endpoint":"A.B","Micro-ID":"1","Micro-Service":"a","Micro-Stream":"1"},"Body":"e30="}"#;
    for _ in 0..200 {
        let sent = client.publish_with_reply("test.flood", "go.inbox", message.into());
        sent.await.unwrap();
    }
    let told = timeout(PATIENCE, inbox.next()).await.unwrap().unwrap();
    let told = String::from_utf8_lossy(&told.payload).into_owned();
    assert!(
        told.contains("Micro-Error") && told.contains("stream_buffer"),
        "{told}"
    );
    assert!(began.available_permits() <= 1, "what comes late opens no stream");
    listener.close(PATIENCE).await;
}

#[tokio::test]
async fn what_is_no_message_is_answered_with_an_error() {
    let Some(server) = servers::start_or_skip(Kind::Nats).await else {
        return;
    };
    let transport = connect(server.address()).await;
    let _listener = echo(&transport, "test.bad").await;
    let client = async_nats::connect(server.address().to_string()).await.unwrap();
    for bad in ["", "[]", "{", r#"{"Body":"%"}"#, r#"{"Header":7}"#] {
        let answer = timeout(PATIENCE, client.request("test.bad", bad.into()));
        let answer = answer.await.unwrap().unwrap();
        assert!(
            answer.payload.starts_with(b"{\"Header\":{\"Micro-Error\":"),
            "{bad}"
        );
    }
}
