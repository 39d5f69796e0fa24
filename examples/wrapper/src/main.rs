//! Middleware of your own, at each of the three places where a wrapper can stand, and a tower layer as one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use micro::handler::{ConcurrencyLimit, TowerLayer, endpoint_fn, wrapper_fn};
use micro::prelude::*;
use micro::{Handler, Request};

/// Around the whole call: how long it took, all attempts together.
async fn timed(request: Request, next: Arc<dyn Handler>) -> micro::Result<micro::Response> {
    let (endpoint, began) = (request.endpoint.clone(), Instant::now());
    let result = next.handle(request).await;
    let quick = began.elapsed() < Duration::from_secs(1);
    println!(
        "caller:  {endpoint} {} {}",
        if result.is_ok() { "answered" } else { "failed" },
        if quick { "quickly" } else { "slowly" }
    );
    result
}

/// Around each attempt: a token that only this process's calls carry.
async fn with_token(mut request: Request, next: Arc<dyn Handler>) -> micro::Result<micro::Response> {
    request.metadata.insert("Token", "sesame");
    next.handle(request).await
}

/// Around the server: nobody gets in without the token.
async fn guarded(request: Request, next: Arc<dyn Handler>) -> micro::Result<micro::Response> {
    match request.metadata.get("Token") {
        Some("sesame") => next.handle(request).await,
        _ => Err(Error::unauthorized("cave", "say the word")),
    }
}

#[tokio::main]
async fn main() -> micro::Result<()> {
    let opened = Arc::new(AtomicU32::new(0));
    let count = opened.clone();
    let open = endpoint_fn("Cave.Open", move |_: Context, who: String| {
        let number = count.fetch_add(1, Ordering::Relaxed) + 1;
        async move { Ok(format!("come in, {who}, you are number {number}")) }
    });

    // Alone, the example keeps to this machine; flags and MICRO_* variables go before these defaults.
    let settings = Arguments::new("cave")
        .about("Middleware of your own")
        .default_value("registry_address", "lo")
        .default_value("server_address", "127.0.0.1:0")
        .parse();
    let service = settings
        .service()
        .await?
        .handler(open)
        .wrap_call(wrapper_fn(timed))
        .wrap_attempt(wrapper_fn(with_token))
        .wrap_server(ConcurrencyLimit::new(100))
        .wrap_server(TowerLayer(tower_layer::layer_fn(|inner| inner)))
        .wrap_server(wrapper_fn(guarded))
        .build()?;
    let running = service.start().await?;

    let welcome: String = running
        .client()
        .call_plain("cave", "Cave.Open", "Ali Baba".to_owned())
        .await?;
    println!("cave:    {welcome}");

    // Another client has no such wrapper.
    let other = micro::Client::new(running.registry().clone(), running.transport().clone());
    let refused = other
        .call_plain::<_, String>("cave", "Cave.Open", "Kasim".to_owned())
        .await;
    match refused {
        Err(error) => println!("cave:    {} (code {})", error.detail(), error.code()),
        Ok(_) => return Err(Error::internal("wrapper", "the cave let Kasim in")),
    }
    println!("opened {} time(s)", opened.load(Ordering::Relaxed));
    running.stop().await
}
