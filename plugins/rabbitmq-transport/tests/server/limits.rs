//! What is too large or too many.

use std::sync::Arc;

use micro_core::handler::handler_fn;
use micro_core::{Request, Response, Transport};
use tokio::sync::Semaphore;

use crate::shared::{at, call, connect, dial, echo, shared};

#[tokio::test]
async fn messages_past_the_limit_are_refused_by_name() {
    let large = connect(at(shared())).await;
    let mut config = at(shared());
    config.max_message = 10;
    let small = connect(config).await;
    let listener = large.listen(":0", echo()).await.unwrap();
    let error = call(&dial(&small, listener.address()).await, "01234567890")
        .await
        .unwrap_err();
    assert!(error.code() == 413 && error.is_never_started(), "{error}");
    assert!(error.detail().contains("max_message"), "{error}");

    let listener = small.listen(":0", echo()).await.unwrap();
    let error = call(&dial(&large, listener.address()).await, "01234567890")
        .await
        .unwrap_err();
    assert!(error.detail().contains("max_message"), "{error}");

    let talkative = handler_fn(|_| async { Ok(Response::new("01234567890")) });
    let listener = large.listen(":0", Arc::new(talkative)).await.unwrap();
    let error = call(&dial(&small, listener.address()).await, "")
        .await
        .unwrap_err();
    assert!(
        error.code() == 413 && error.detail().contains("max_message"),
        "{error}"
    );
}

#[tokio::test]
async fn calls_past_the_limit_are_refused_and_never_start() {
    let mut config = at(shared());
    config.max_calls = 1;
    let transport = connect(config).await;
    let (began, go_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let held = {
        let (began, go_on) = (began.clone(), go_on.clone());
        handler_fn(move |_| {
            let (began, go_on) = (began.clone(), go_on.clone());
            async move {
                began.add_permits(1);
                let _ = go_on.acquire().await;
                Ok(Response::new("done"))
            }
        })
    };
    let listener = transport.listen(":0", Arc::new(held)).await.unwrap();
    let peer = dial(&transport, listener.address()).await;
    let (first, ()) = tokio::join!(call(&peer, "x"), async {
        let _ = began.acquire().await;
        let error = call(&peer, "y").await.unwrap_err();
        assert!(
            error.is_never_started() && error.detail().contains("max_calls"),
            "{error}"
        );
        go_on.add_permits(1);
    });
    assert_eq!(first.unwrap(), "done");
}

#[tokio::test]
async fn headers_that_no_frame_takes_are_refused_and_harm_nobody() {
    let transport = connect(at(shared())).await;
    let listener = transport.listen(":0", echo()).await.unwrap();
    let peer = dial(&transport, listener.address()).await;
    let mut request = Request::new("kit", "Kit.Call", "x");
    request.metadata.insert("Long", "x".repeat(200_000));
    let error = peer.handle(request).await.unwrap_err();
    assert!(error.is_never_started() && error.code() == 431, "{error}");
    assert_eq!(call(&peer, "y").await.unwrap(), "y");
}
