//! A service and its callers, with their neighbours in memory or on loopback.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use micro_core::client::CallOptions;
use micro_core::handler::{Context, Endpoint, Recover, endpoint_fn, handler_fn, wrapper_fn};
use micro_core::registry::MemoryRegistry;
use micro_core::service::RunningService;
use micro_core::transport::http::HttpConfig;
use micro_core::transport::{HttpTransport, MemoryTransport};
use micro_core::{
    Body, Client, Error, ErrorKind, Handler, Registry, Request, Response, Result, Service, ServiceBuilder,
    Transport,
};

struct House {
    registry: Arc<dyn Registry>,
    transport: Arc<dyn Transport>,
}

impl House {
    fn memory() -> Self {
        Self {
            registry: Arc::new(MemoryRegistry::new()),
            transport: Arc::new(MemoryTransport::new()),
        }
    }

    fn http() -> Self {
        let transport = HttpTransport::new(HttpConfig::default()).unwrap();
        Self {
            registry: Arc::new(MemoryRegistry::new()),
            transport: Arc::new(transport),
        }
    }

    fn service(&self, name: &str) -> ServiceBuilder {
        let mut builder = Service::builder(name)
            .registry(self.registry.clone())
            .transport(self.transport.clone())
            .address("127.0.0.1:0");
        builder.options_mut().notice = Duration::from_millis(1);
        builder
    }

    fn client(&self) -> Client {
        Client::new(self.registry.clone(), self.transport.clone())
    }

    async fn greeter(&self) -> RunningService {
        let greeter = self
            .service("greeter")
            .handler(endpoint_fn(
                "Greeter.Hello",
                |_: Context, name: String| async move { Ok(format!("Hello {name}")) },
            ))
            .handler(endpoint_fn("Greeter.Fail", |_: Context, (): ()| async move {
                Err::<(), _>(Error::conflict("greeter.fail", "as asked"))
            }))
            .handler(endpoint_fn("Greeter.Panic", |_: Context, (): ()| async move {
                if true {
                    panic!("on purpose");
                }
                Ok(())
            }))
            .handler(endpoint_fn(
                "Greeter.Remaining",
                |context: Context, (): ()| async move {
                    Ok(context.remaining().map(|remaining| remaining.as_millis() as u64))
                },
            ))
            .handler(endpoint_fn(
                "Greeter.Metadata",
                |context: Context, name: String| async move {
                    Ok(context.metadata().get(&name).map(str::to_owned))
                },
            ));
        greeter.build().unwrap().start().await.unwrap()
    }
}

async fn hello(client: &Client) -> Result<String> {
    client
        .call_plain("greeter", "Greeter.Hello", "World".to_owned())
        .await
}

#[tokio::test]
async fn a_service_is_found_and_called_over_each_transport() {
    for house in [House::memory(), House::http()] {
        let greeter = house.greeter().await;
        let client = house.client();
        for _ in 0..3 {
            assert_eq!(hello(&client).await.unwrap(), "Hello World");
        }
        greeter.stop().await.unwrap();
        let error = hello(&client).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
}

#[tokio::test]
async fn errors_travel_with_id_code_and_detail() {
    for house in [House::memory(), House::http()] {
        let greeter = house.greeter().await;
        let client = house.client();
        let failed = client
            .call_plain::<(), ()>("greeter", "Greeter.Fail", ())
            .await
            .unwrap_err();
        assert_eq!(
            (failed.id(), failed.code(), failed.detail()),
            ("greeter.fail", 409, "as asked")
        );
        let panicked = client
            .call_plain::<(), ()>("greeter", "Greeter.Panic", ())
            .await
            .unwrap_err();
        assert_eq!(panicked.code(), 500);
        assert!(panicked.detail().contains("on purpose"), "{panicked}");
        let unknown = client
            .call_plain::<(), ()>("greeter", "Greeter.Nothing", ())
            .await
            .unwrap_err();
        assert_eq!(unknown.code(), 404);
        assert!(unknown.detail().contains("Hello, Metadata"), "{unknown}");
        assert_eq!(
            hello(&client).await.unwrap(),
            "Hello World",
            "still there after all that"
        );
        greeter.stop().await.unwrap();
    }
}

#[tokio::test]
async fn the_deadline_and_metadata_travel() {
    for house in [House::memory(), House::http()] {
        let greeter = house.greeter().await;
        let options = CallOptions {
            timeout: Some(Duration::from_secs(3)),
            metadata: [("Tenant", "acme")].into(),
            ..CallOptions::default()
        };
        let client = house.client().with_options(options);
        let remaining: Option<u64> = client
            .call_plain("greeter", "Greeter.Remaining", ())
            .await
            .unwrap();
        assert!((2000..=3000).contains(&remaining.unwrap()), "{remaining:?}");
        let tenant: Option<String> = client
            .call_plain("greeter", "Greeter.Metadata", "tenant".to_owned())
            .await
            .unwrap();
        assert_eq!(tenant.as_deref(), Some("acme"));
        greeter.stop().await.unwrap();
    }
}

/// Counts what is dropped.
struct Tell(Arc<tokio::sync::Notify>);

impl Drop for Tell {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn dropping_a_call_drops_its_handler() {
    for house in [House::memory(), House::http()] {
        let (began, dropped) = (
            Arc::new(tokio::sync::Notify::new()),
            Arc::new(tokio::sync::Notify::new()),
        );
        let signals = (began.clone(), dropped.clone());
        let sleeper = handler_fn(move |_| {
            let (began, dropped) = signals.clone();
            async move {
                let _tell = Tell(dropped);
                began.notify_one();
                std::future::pending().await
            }
        });
        let service = house
            .service("sleeper")
            .handler(Endpoint::new("Sleeper.Sleep", sleeper));
        let service = service.build().unwrap().start().await.unwrap();
        let client = house.client();
        let call = client.request(Request::new("sleeper", "Sleeper.Sleep", ""));
        tokio::select! {
            _ = call => panic!("it never answers"),
            () = began.notified() => {}
        }
        tokio::time::timeout(Duration::from_secs(5), dropped.notified())
            .await
            .expect("the handler is dropped");
        service.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_refused_attempt_goes_to_another_node_and_runs_once() {
    let house = House::http();
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let count = handler_fn(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Ok(Response::new(Body::empty())) }
    });
    let service = house
        .service("counter")
        .handler(Endpoint::new("Counter.Count", count));
    let service = service.build().unwrap().start().await.unwrap();
    let mut gone = service.record().clone();
    for (number, node) in gone.nodes.iter_mut().enumerate() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        node.id = format!("gone-{number}");
        node.address = free.local_addr().unwrap().to_string();
    }
    house.registry.register(&gone, Default::default()).await.unwrap();
    let client = house.client();
    for _ in 0..50 {
        client
            .request(Request::new("counter", "Counter.Count", ""))
            .await
            .unwrap();
    }
    assert_eq!(runs.load(Ordering::SeqCst), 50);
    service.stop().await.unwrap();
}

#[tokio::test]
async fn wrappers_stand_where_they_are_put() {
    let house = House::http();
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let note = |place: &'static str| {
        let seen = seen.clone();
        wrapper_fn(move |request: Request, next: Arc<dyn Handler>| {
            seen.lock().unwrap().push(place);
            async move { next.handle(request).await }
        })
    };
    let service = house
        .service("wrapped")
        .handler(endpoint_fn("Wrapped.Call", |_: Context, (): ()| async { Ok(()) }))
        .wrap_call(note("call 1"))
        .wrap_call(note("call 2"))
        .wrap_attempt(note("attempt"))
        .wrap_server(note("server 1"))
        .wrap_server(note("server 2"))
        .wrap_server(Recover);
    let service = service.build().unwrap().start().await.unwrap();
    service
        .client()
        .call_plain::<(), ()>("wrapped", "Wrapped.Call", ())
        .await
        .unwrap();
    assert_eq!(
        *seen.lock().unwrap(),
        ["call 1", "call 2", "attempt", "server 1", "server 2"]
    );
    service.stop().await.unwrap();
}

#[tokio::test]
async fn running_calls_end_before_a_service_stops() {
    let house = House::http();
    let (began, go_on) = (
        Arc::new(tokio::sync::Notify::new()),
        Arc::new(tokio::sync::Notify::new()),
    );
    let signals = (began.clone(), go_on.clone());
    let slow = handler_fn(move |_| {
        let (began, go_on) = signals.clone();
        async move {
            began.notify_one();
            go_on.notified().await;
            Ok(Response::new("done"))
        }
    });
    let service = house
        .service("slow")
        .handler(Endpoint::new("Slow.Call", slow))
        .build()
        .unwrap()
        .start()
        .await
        .unwrap();
    let client = house.client();
    let call = tokio::spawn(async move { client.request(Request::new("slow", "Slow.Call", "")).await });
    began.notified().await;
    let stop = tokio::spawn(service.stop());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!stop.is_finished());
    go_on.notify_one();
    let answer = call.await.unwrap().unwrap();
    assert_eq!(answer.body.single().await.unwrap(), "done");
    stop.await.unwrap().unwrap();
}
