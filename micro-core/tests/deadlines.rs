//! What a server does when its caller stops waiting.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use micro_core::debug::Diagnostics;
use micro_core::handler::{Endpoint, handler_fn};
use micro_core::server::ServerBuilder;
use micro_core::{Body, Handler, Request, Response};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Tells when it is dropped.
struct Held(mpsc::Sender<Instant>);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.try_send(Instant::now());
    }
}

/// Servers with an endpoint that never answers and one whose stream never ends, with and without diagnostics.
fn servers(dropped: &mpsc::Sender<Instant>) -> [Arc<dyn Handler>; 2] {
    [None, Some(Diagnostics::default())].map(|diagnostics| {
        let held = dropped.clone();
        let never = handler_fn(move |_: Request| {
            let held = Held(held.clone());
            async move {
                let _held = held;
                std::future::pending().await
            }
        });
        let held = dropped.clone();
        let endless = handler_fn(move |_: Request| {
            let held = Held(held.clone());
            async move {
                let first = stream::iter([Ok("first".into())]);
                let rest = stream::once(async move {
                    let _held = held;
                    std::future::pending().await
                });
                Ok(Response::new(Body::stream(first.chain(rest))))
            }
        });
        let mut server = ServerBuilder::new()
            .handler(Endpoint::new("Kit.Never", never))
            .handler(Endpoint::new("Kit.Endless", endless));
        if let Some(diagnostics) = diagnostics {
            server = server.diagnostics(diagnostics);
        }
        server.build().unwrap().handler().clone()
    })
}

fn within(endpoint: &'static str, left: Duration) -> Request {
    let mut request = Request::new("kit", endpoint, "");
    request.deadline = Some(Instant::now() + left);
    request
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_stopped_when_its_caller_stops_waiting() {
    let (told, mut dropped) = mpsc::channel(64);
    for server in servers(&told) {
        let began = Instant::now();
        let error = server
            .handle(within("Kit.Never", Duration::from_secs(2)))
            .await
            .unwrap_err();
        assert_eq!((error.id(), error.code()), ("go.micro.server", 408));
        assert!(error.detail().starts_with("Kit.Never: "), "{error}");
        assert_eq!(began.elapsed().as_secs(), 2);
        assert_eq!((dropped.try_recv().unwrap() - began).as_secs(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_an_error_when_its_caller_stops_waiting() {
    let (told, mut dropped) = mpsc::channel(64);
    for server in servers(&told) {
        let began = Instant::now();
        let mut answer = server
            .handle(within("Kit.Endless", Duration::from_secs(2)))
            .await
            .unwrap();
        assert_eq!(answer.body.message().await.unwrap().unwrap(), "first");
        let error = answer.body.message().await.unwrap().unwrap_err();
        assert_eq!((error.code(), began.elapsed().as_secs()), (408, 2));
        assert!(dropped.try_recv().is_ok());
        assert!(answer.body.message().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_of_a_caller_that_waits_without_end_goes_on() {
    let (told, _dropped) = mpsc::channel(64);
    for server in servers(&told) {
        let call = server.handle(Request::new("kit", "Kit.Never", ""));
        let day = Duration::from_secs(24 * 3600);
        assert!(tokio::time::timeout(day, call).await.is_err());
    }
}
