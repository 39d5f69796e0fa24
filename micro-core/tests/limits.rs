//! Limits of a service and of its callers, with their neighbours in memory.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use futures_util::future::join_all;
use micro_core::client::{CallOptions, ClientBuilder};
use micro_core::debug::{HealthRequest, HealthResponse};
use micro_core::handler::{ConcurrencyLimit, Context, Rate, RateLimit, endpoint_fn};
use micro_core::registry::MemoryRegistry;
use micro_core::service::RunningService;
use micro_core::transport::MemoryTransport;
use micro_core::{Client, ErrorKind, Registry, Result, Service, Transport, Wrapper};
use tokio::time::{Instant, advance};

/// Where services and callers meet.
struct House {
    registry: Arc<dyn Registry>,
    transport: Arc<dyn Transport>,
}

impl House {
    fn new() -> Self {
        Self {
            registry: Arc::new(MemoryRegistry::new()),
            transport: Arc::new(MemoryTransport::new()),
        }
    }

    /// A node of `greeter` behind a limit, and how often its handler ran.
    async fn greeter(&self, limit: impl Wrapper) -> (RunningService, Arc<AtomicU32>) {
        let ran = Arc::new(AtomicU32::new(0));
        let count = ran.clone();
        let hello = endpoint_fn("Greeter.Hello", move |_: Context, name: String| {
            count.fetch_add(1, SeqCst);
            async move { Ok(format!("Hello {name}")) }
        });
        let service = Service::builder("greeter")
            .registry(self.registry.clone())
            .transport(self.transport.clone())
            .handler(hello)
            .wrap_server(limit);
        (service.build().unwrap().start().await.unwrap(), ran)
    }

    fn client(&self) -> ClientBuilder {
        Client::builder(self.registry.clone(), self.transport.clone())
    }
}

fn rate(per_second: f64, burst: u32) -> Rate {
    Rate::new(per_second).unwrap().with_burst(burst).unwrap()
}

async fn hello(client: &Client) -> Result<String> {
    client
        .call_plain("greeter", "Greeter.Hello", "World".to_owned())
        .await
}

/// How many of so many calls are answered; the others are refused with 429.
async fn answered(client: &Client, calls: usize) -> usize {
    let answers = join_all((0..calls).map(|_| hello(client))).await;
    let is_answered = |answer: &Result<String>| match answer {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::TooManyRequests, "{error}");
            false
        }
    };
    answers.iter().filter(|answer| is_answered(answer)).count()
}

#[tokio::test(start_paused = true)]
async fn a_service_sheds_what_is_beyond_its_rate_and_takes_what_comes_later() {
    let house = House::new();
    let limit = RateLimit::new(rate(100.0, 20));
    let (service, ran) = house.greeter(limit.clone()).await;
    let client = house.client().build();
    assert_eq!(answered(&client, 50).await, 20);
    for _ in 0..10 {
        advance(Duration::from_millis(100)).await;
        assert_eq!(answered(&client, 50).await, 10);
    }
    let error = hello(&client).await.unwrap_err();
    assert_eq!((error.code(), error.status()), (429, "Too Many Requests"));
    assert_eq!(error.id(), "go.micro.server");
    let detail = "greeter Greeter.Hello: too many requests: the limit is 100 calls a second, 20 at once; try again in 10ms";
    assert!(error.detail().starts_with(detail), "{error}");
    assert_eq!(ran.load(SeqCst), 120);

    limit.set(None);
    assert_eq!(answered(&client, 500).await, 500);
    limit.set(rate(1.0, 1));
    assert_eq!(answered(&client, 50).await, 1);
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_service_at_its_limits_still_tells_about_itself() {
    let house = House::new();
    let nothing = ConcurrencyLimit::new(0);
    let (service, _) = house.greeter(nothing.clone()).await;
    let client = house.client().build();
    let error = hello(&client).await.unwrap_err();
    assert!(error.detail().contains("limit of 0 at a time"), "{error}");
    let health = |client: Client| async move {
        let request = HealthRequest::default();
        let health = client.call::<_, HealthResponse>("greeter", "Debug.Health", &request);
        health.await.unwrap().status == "ok"
    };
    assert!(health(client).await);
    service.stop().await.unwrap();

    let house = House::new();
    let limit = RateLimit::new(rate(1.0, 1));
    let (service, _) = house.greeter(limit).await;
    let client = house.client().build();
    assert_eq!(answered(&client, 2).await, 1);
    assert!(health(client).await);
    assert_eq!(service.diagnostics().stats().errors, 1);
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_one_node_refuses_goes_to_another_where_it_may_be_repeated() {
    let house = House::new();
    let (full, ran_at_full) = house.greeter(ConcurrencyLimit::new(0)).await;
    let (free, ran_at_free) = house.greeter(RateLimit::new(None)).await;
    let client = house.client().build();
    let repeating = client.with_options(CallOptions {
        idempotent: true,
        ..CallOptions::default()
    });
    assert_eq!(answered(&repeating, 50).await, 50);
    assert_eq!((ran_at_full.load(SeqCst), ran_at_free.load(SeqCst)), (0, 50));
    // A caller that did not say so hears of it.
    assert!(answered(&client, 50).await < 50);
    full.stop().await.unwrap();
    free.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_keeps_to_what_it_may_ask_of_others() {
    let house = House::new();
    let (service, ran) = house.greeter(RateLimit::new(None)).await;
    let limit = RateLimit::new(rate(10.0, 1));
    let client = house.client().wrap_attempt(limit.waiting()).build();
    let began = Instant::now();
    assert_eq!(answered(&client, 21).await, 21);
    assert_eq!(began.elapsed(), Duration::from_secs(2));
    // Whose turn comes after the deadline is not kept waiting for it.
    let began = Instant::now();
    let hasty = client.with_options(CallOptions {
        timeout: Some(Duration::from_millis(550)),
        ..CallOptions::default()
    });
    assert_eq!(answered(&hasty, 100).await, 5);
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(ran.load(SeqCst), 26);
    service.stop().await.unwrap();
}
