//! How services start, stay registered, and stop.

#![allow(clippy::unwrap_used, reason = "tests")]

mod registries;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use micro_core::handler::{Context, endpoint_fn};
use micro_core::registry::{MemoryRegistry, RegisterOptions, ServiceRecord, Watcher};
use micro_core::service::{RegistrationOptions, RunningService};
use micro_core::transport::http::HttpConfig;
use micro_core::transport::{HttpTransport, MemoryTransport};
use micro_core::{Client, Error, ErrorKind, Registry, Result, Service, ServiceBuilder, Transport};
use tokio::time::sleep;

use self::registries::Moody;

const HOUR: Duration = Duration::from_secs(3600);

fn service(registry: Arc<dyn Registry>) -> ServiceBuilder {
    Service::builder("greeter")
        .registry(registry)
        .transport(Arc::new(MemoryTransport::new()))
}

async fn is_registered(registry: &dyn Registry) -> bool {
    registry.get_service("greeter").await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn a_service_is_registered_again_when_a_registry_comes_back_empty_after_hours() {
    let registry = Moody::new();
    let options = RegistrationOptions::default();
    let running = service(registry.clone()).build().unwrap().start().await.unwrap();
    for _ in 0..3 {
        registry.go_down();
        sleep(HOUR).await;
        registry.come_back_empty().await;
        assert!(!is_registered(&*registry).await);
        sleep(options.interval + Duration::from_secs(5)).await;
        assert!(is_registered(&*registry).await);
    }
    running.stop().await.unwrap();
    assert!(!is_registered(&*registry).await);
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_forgets_silently_is_told_again_within_an_interval() {
    let registry = Moody::new();
    let _running = service(registry.clone()).build().unwrap().start().await.unwrap();
    registry.come_back_empty().await;
    sleep(RegistrationOptions::default().interval).await;
    assert!(is_registered(&*registry).await);
}

#[tokio::test(start_paused = true)]
async fn a_service_starts_without_its_registry_only_where_it_is_told_to() {
    let registry = Moody::new();
    registry.go_down();
    let error = service(registry.clone())
        .build()
        .unwrap()
        .start()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        error.detail().contains("greeter") && error.detail().contains("moody"),
        "{error}"
    );
    let patient = service(registry.clone()).registration(RegistrationOptions {
        start_without_registry: true,
        ..RegistrationOptions::default()
    });
    let running = patient.build().unwrap().start().await.unwrap();
    sleep(HOUR).await;
    registry.come_back();
    sleep(RegistrationOptions::default().interval).await;
    assert!(is_registered(&*registry).await);
    running.stop().await.unwrap();
}

#[test]
fn a_registration_that_would_lapse_is_refused() {
    let seconds = Duration::from_secs;
    for (ttl, interval) in [(60, 0), (0, 0), (0, 30), (30, 30), (30, 60)] {
        let options = RegistrationOptions {
            ttl: seconds(ttl),
            interval: seconds(interval),
            ..RegistrationOptions::default()
        };
        let error = service(Moody::new()).registration(options).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadRequest);
        assert!(error.detail().contains(&format!("every {interval}")), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn times_beyond_measure_are_no_harm() {
    let registry = Arc::new(MemoryRegistry::new());
    let forever = RegistrationOptions {
        ttl: Duration::MAX,
        interval: Duration::MAX - Duration::from_nanos(1),
        ..RegistrationOptions::default()
    };
    let running = service(registry.clone()).registration(forever);
    let running = running.build().unwrap().start().await.unwrap();
    sleep(HOUR).await;
    assert!(is_registered(&*registry).await);
    running.stop().await.unwrap();
}

/// Does what it is told, and says that it failed.
struct Liar(MemoryRegistry);

#[async_trait]
impl Registry for Liar {
    fn name(&self) -> &str {
        "liar"
    }

    async fn register(&self, service: &ServiceRecord, options: RegisterOptions) -> Result<()> {
        self.0.register(service, options).await?;
        Err(Error::unavailable("liar", "the answer was lost"))
    }

    async fn deregister(&self, service: &ServiceRecord) -> Result<()> {
        self.0.deregister(service).await
    }

    async fn get_service(&self, name: &str) -> Result<Vec<ServiceRecord>> {
        self.0.get_service(name).await
    }

    async fn list_services(&self) -> Result<Vec<ServiceRecord>> {
        self.0.list_services().await
    }

    async fn watch(&self, service: Option<&str>) -> Result<Watcher> {
        self.0.watch(service).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_failed_leaves_no_node_behind() {
    let registry = Arc::new(Liar(MemoryRegistry::new()));
    let error = service(registry.clone())
        .build()
        .unwrap()
        .start()
        .await
        .unwrap_err();
    assert!(error.detail().contains("the answer was lost"), "{error}");
    assert!(!is_registered(&*registry).await);
}

/// A service that notes its hooks, of which one fails.
fn hooked(registry: Arc<dyn Registry>, failing: &'static str) -> (ServiceBuilder, Arc<Mutex<Vec<String>>>) {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let hook = |place: &'static str| {
        let (seen, registry) = (seen.clone(), registry.clone());
        move || async move {
            let state = if is_registered(&*registry).await {
                "in"
            } else {
                "out"
            };
            seen.lock().unwrap().push(format!("{place} {state}"));
            if place == failing {
                return Err(Error::internal("hook", place));
            }
            Ok(())
        }
    };
    let builder = service(registry.clone())
        .after_stop(hook("after stop"))
        .before_stop(hook("before stop"))
        .before_stop(hook("before stop 2"))
        .after_start(hook("after start"))
        .before_start(hook("before start"))
        .before_start(hook("before start 2"));
    (builder, seen)
}

#[tokio::test(start_paused = true)]
async fn hooks_run_in_order_at_the_turns_of_a_life() {
    let (builder, seen) = hooked(Arc::new(MemoryRegistry::new()), "");
    builder
        .build()
        .unwrap()
        .start()
        .await
        .unwrap()
        .stop()
        .await
        .unwrap();
    let order = [
        "before start out",
        "before start 2 out",
        "after start in",
        "before stop in",
        "before stop 2 in",
        "after stop out",
    ];
    assert_eq!(*seen.lock().unwrap(), order);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_fails_keeps_a_service_from_starting_but_not_from_stopping() {
    let registry = Arc::new(MemoryRegistry::new());
    let (builder, seen) = hooked(registry.clone(), "before start");
    let error = builder.build().unwrap().start().await.unwrap_err();
    assert_eq!(error.detail(), "before start");
    assert_eq!(*seen.lock().unwrap(), ["before start out"]);

    let (builder, seen) = hooked(registry.clone(), "after start");
    let error = builder.build().unwrap().start().await.unwrap_err();
    assert_eq!(error.detail(), "after start");
    assert_eq!(seen.lock().unwrap().last().unwrap(), "after stop out");

    let (builder, seen) = hooked(registry.clone(), "before stop");
    let running = builder.build().unwrap().start().await.unwrap();
    assert_eq!(running.stop().await.unwrap_err().detail(), "before stop");
    assert_eq!(seen.lock().unwrap().last().unwrap(), "after stop out");
    assert!(!is_registered(&*registry).await);
}

type Runs = Arc<Mutex<HashMap<u64, u32>>>;

async fn counter(
    registry: &Arc<dyn Registry>,
    transport: &Arc<dyn Transport>,
    runs: &Runs,
) -> RunningService {
    let runs = runs.clone();
    let mut builder = Service::builder("counter")
        .registry(registry.clone())
        .transport(transport.clone())
        .address("127.0.0.1:0")
        .handler(endpoint_fn("Counter.Count", move |_: Context, call: u64| {
            *runs.lock().unwrap().entry(call).or_default() += 1;
            async move {
                tokio::task::yield_now().await;
                Ok(call)
            }
        }));
    builder.options_mut().notice = Duration::from_millis(20);
    builder.build().unwrap().start().await.unwrap()
}

#[tokio::test]
async fn a_rolling_restart_under_load_fails_no_call_and_runs_each_once() {
    let transport: Arc<dyn Transport> = Arc::new(HttpTransport::new(HttpConfig::default()).unwrap());
    let registry: Arc<dyn Registry> = Arc::new(MemoryRegistry::new());
    let (runs, calls, done) = (
        Runs::default(),
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(counter(&registry, &transport, &runs).await);
    }
    let client = Client::new(registry.clone(), transport.clone());
    let load = |_| {
        let (client, calls, done) = (client.clone(), calls.clone(), done.clone());
        tokio::spawn(async move {
            while !done.load(SeqCst) {
                let call = calls.fetch_add(1, SeqCst);
                let answer: u64 = client.call_plain("counter", "Counter.Count", call).await?;
                assert_eq!(answer, call);
            }
            Ok::<_, Error>(())
        })
    };
    let callers: Vec<_> = (0..8).map(load).collect();
    for _ in 0..9 {
        let before = calls.load(SeqCst);
        nodes.push(counter(&registry, &transport, &runs).await);
        nodes.remove(0).stop().await.unwrap();
        while calls.load(SeqCst) < before + 50 {
            tokio::task::yield_now().await;
        }
    }
    done.store(true, SeqCst);
    for caller in callers {
        caller.await.unwrap().expect("no call fails");
    }
    let runs = runs.lock().unwrap();
    assert_eq!(runs.len() as u64, calls.load(SeqCst));
    assert!(runs.values().all(|times| *times == 1), "each exactly once");
    drop(nodes);
}
