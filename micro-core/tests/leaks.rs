//! Calls, streams and services leave nothing behind: no task, no socket, no memory.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream;
use micro_core::broker::{HttpBroker, Message};
use micro_core::handler::{CallKind, Context, Endpoint, endpoint_fn, handler_fn};
use micro_core::registry::MemoryRegistry;
use micro_core::service::RunningService;
use micro_core::transport::HttpTransport;
use micro_core::transport::http::HttpConfig;
use micro_core::{Body, Broker, Client, Error, Registry, Request, Response, Service};
use tokio::runtime::{Builder, Handle};

/// The counts are those of the process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// How many bytes of memory a test may keep, for what allocators keep anyway.
const SLACK: usize = 24 * 1024 * 1024;
const AT_ONCE: usize = 16;
/// Large enough that what the sockets hold is a few messages.
const MESSAGE: &[u8] = &[7; 64 * 1024];

/// What a process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    tasks: usize,
    files: usize,
}

fn held() -> Held {
    Held {
        tasks: Handle::current().metrics().num_alive_tasks(),
        files: fs::read_dir("/proc/self/fd").unwrap().count(),
    }
}

/// Bytes of memory that are resident.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kibibytes: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kibibytes * 1024
}

/// Waits until no more is held than before.
async fn until_back_at(before: Held) {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let now = held();
        if now.tasks <= before.tasks && now.files <= before.files {
            return;
        }
        assert!(
            Instant::now() < until,
            "{now:?} are held for good, before it were {before:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn alone(test: impl Future<Output = ()>) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let before = held();
        test.await;
        until_back_at(before).await;
    });
}

/// Does something in rounds: first to warm up, then to see that memory does not grow with it.
async fn without_growing<F: AsyncFnMut(usize)>(warm_up: usize, rounds: usize, mut round: F) {
    for number in 0..warm_up {
        round(number).await;
    }
    let (before, held_before) = (resident(), held());
    for number in warm_up..warm_up + rounds {
        round(number).await;
    }
    let (grown, held_after) = (resident().saturating_sub(before), held());
    assert!(grown < SLACK, "{rounds} rounds kept {grown} bytes");
    let most = Held {
        tasks: held_before.tasks + 4 * AT_ONCE,
        files: held_before.files + 4 * AT_ONCE,
    };
    assert!(
        held_after.tasks <= most.tasks && held_after.files <= most.files,
        "{rounds} rounds went from {held_before:?} to {held_after:?}"
    );
}

struct House {
    registry: Arc<MemoryRegistry>,
    transport: Arc<HttpTransport>,
}

impl House {
    fn new() -> Self {
        Self {
            registry: Arc::new(MemoryRegistry::new()),
            transport: Arc::new(HttpTransport::new(HttpConfig::default()).unwrap()),
        }
    }

    fn client(&self) -> Client {
        Client::new(self.registry.clone(), self.transport.clone())
    }

    async fn start(&self, name: &str) -> RunningService {
        let mut service = Service::builder(name)
            .registry(self.registry.clone())
            .transport(self.transport.clone())
            .address("127.0.0.1:0")
            .handler(endpoint_fn("Kit.Echo", |_: Context, text: String| async move {
                Ok(text)
            }))
            .handler(endpoint_fn("Kit.Fail", |_: Context, (): ()| async move {
                Err::<(), _>(Error::conflict("kit", "as asked"))
            }))
            .handler(Endpoint::new("Kit.Hang", handler_fn(|_| std::future::pending())))
            .handler(Endpoint::new(
                "Kit.Stream",
                handler_fn(|_| async {
                    let endless = stream::repeat_with(|| Ok(Bytes::from_static(MESSAGE)));
                    Ok(Response::new(Body::stream(endless)))
                }),
            ));
        service.options_mut().notice = Duration::from_millis(1);
        service.build().unwrap().start().await.unwrap()
    }
}

#[test]
fn ten_thousand_calls_leave_nothing_behind() {
    alone(async {
        let house = House::new();
        let (service, client) = (house.start("called").await, house.client());
        without_growing(100, 10_000 / AT_ONCE, async |round| {
            let calls = (0..AT_ONCE).map(|call| {
                let client = &client;
                async move {
                    let text = format!("{round}-{call}");
                    match call {
                        0 => {
                            let failed = client.call_plain::<(), ()>("called", "Kit.Fail", ()).await;
                            assert_eq!(failed.unwrap_err().code(), 409);
                        }
                        1 => {
                            let hangs = client.request(Request::new("called", "Kit.Hang", ""));
                            let dropped = tokio::time::timeout(Duration::from_micros(500), hangs).await;
                            assert!(dropped.is_err());
                        }
                        _ => {
                            let echoed: String = client
                                .call_plain("called", "Kit.Echo", text.clone())
                                .await
                                .unwrap();
                            assert_eq!(echoed, text);
                        }
                    }
                }
            });
            join_all(calls).await;
        })
        .await;
        service.stop().await.unwrap();
    });
}

#[test]
fn a_thousand_dropped_streams_leave_nothing_behind() {
    alone(async {
        let house = House::new();
        let (service, client) = (house.start("streamed").await, house.client());
        without_growing(20, 1000 / AT_ONCE, async |_| {
            let streams = (0..AT_ONCE).map(|number| {
                let client = &client;
                async move {
                    // One half says something once, the other half never stops.
                    let body = match number % 2 {
                        0 => Body::from("once"),
                        _ => Body::stream(stream::repeat_with(|| Ok(Bytes::from_static(MESSAGE)))),
                    };
                    let mut request = Request::new("streamed", "Kit.Stream", body);
                    request.kind = CallKind::Stream;
                    let mut answers = client.request(request).await.unwrap().body;
                    for _ in 0..number {
                        assert_eq!(answers.message().await.unwrap().unwrap(), MESSAGE);
                    }
                }
            });
            join_all(streams).await;
        })
        .await;
        service.stop().await.unwrap();
    });
}

#[test]
fn a_hundred_services_leave_nothing_behind() {
    alone(async {
        let house = House::new();
        without_growing(20, 100, async |round| {
            let (service, client) = (house.start("short-lived").await, house.client());
            let echoed: String = client
                .call_plain("short-lived", "Kit.Echo", "here".to_owned())
                .await
                .unwrap();
            assert_eq!(echoed, "here");
            // Most are stopped well, without callers or, which takes longer, with one; some are just dropped.
            match round % 10 {
                0 | 1 => drop(service),
                2 => service.stop().await.unwrap(),
                _ => {
                    drop(client);
                    service.stop().await.unwrap();
                }
            }
            until_forgotten(&house).await;
        })
        .await;
    });
}

/// Waits until the registry knows no node of the service: one that was dropped is taken out by hand.
async fn until_forgotten(house: &House) {
    use micro_core::Registry;
    for record in house
        .registry
        .get_service("short-lived")
        .await
        .unwrap_or_default()
    {
        house.registry.deregister(&record).await.unwrap();
    }
}

#[test]
fn two_hundred_subscriptions_leave_nothing_behind() {
    alone(async {
        let registry = Arc::new(MemoryRegistry::new());
        let broker = HttpBroker::with_defaults(registry.clone());
        let nobody = async || {
            let until = Instant::now() + Duration::from_secs(20);
            while registry.get_service("micro.http.broker").await.is_ok() {
                assert!(Instant::now() < until, "a dropped subscription stays registered");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        without_growing(20, 200, async |round| {
            let mut subscription = broker.subscribe("leaks", Default::default()).await.unwrap();
            if round % 2 == 0 {
                // Its publisher learns of it now and then, and it takes an event.
                let take_all = async {
                    while let Some(event) = subscription.next().await {
                        event.unwrap().acknowledge().await.unwrap();
                    }
                };
                tokio::select! {
                    published = broker.publish("leaks", Message::new(MESSAGE)) => published.unwrap(),
                    () = take_all => panic!("the subscription ended"),
                }
            }
            if round % 3 == 0 {
                subscription.drain();
            }
            drop(subscription);
            nobody().await;
        })
        .await;
        broker.flush().await.unwrap();
        assert_eq!(broker.backlog(), []);
    });
}
