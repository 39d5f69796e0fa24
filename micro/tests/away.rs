//! A service made from flags whose registry is away when it starts.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use micro::prelude::*;
use micro::registry::MemoryRegistry;
use micro::{ErrorKind, Registry, Settings};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

/// What there is to connect to, and what became of it.
#[derive(Clone)]
struct Server {
    records: MemoryRegistry,
    is_there: Arc<AtomicBool>,
    connected: Arc<AtomicU32>,
    problem: fn() -> Error,
}

impl Server {
    fn away(problem: fn() -> Error) -> Self {
        Self {
            records: MemoryRegistry::new(),
            is_there: Arc::default(),
            connected: Arc::default(),
            problem,
        }
    }

    fn settings(&self, words: &[&str]) -> Settings {
        let server = self.clone();
        let plugins = Plugins::builtin().registry("moody", move |_| {
            let server = server.clone();
            async move {
                if !server.is_there.load(Ordering::SeqCst) {
                    return Err((server.problem)());
                }
                server.connected.fetch_add(1, Ordering::SeqCst);
                Ok(Arc::new(server.records) as Arc<dyn Registry>)
            }
        });
        let arguments = Arguments::new("greeter")
            .plugins(plugins)
            .default_value("registry", "moody")
            .default_value("server_address", "127.0.0.1:0");
        arguments
            .parse_from(words.iter().copied(), [("", ""); 0])
            .unwrap()
    }
}

fn refused() -> Error {
    Error::unavailable("moody", "connection refused")
}

#[tokio::test]
async fn it_starts_where_it_is_told_to_and_registers_once_the_registry_is_there() {
    let server = Server::away(refused);
    let settings = server.settings(&["--start_without_registry", "--register_interval=1"]);
    let mut watcher = server.records.watch(None).await.unwrap();
    let running = settings
        .service()
        .await
        .unwrap()
        .build()
        .unwrap()
        .start()
        .await
        .unwrap();
    let call = running.client().call_plain::<u64, u64>("other", "Other.Call", 1);
    let error = call.await.unwrap_err();
    assert!(
        error.detail().contains("moody") && error.detail().contains("connection refused"),
        "{error}"
    );
    server.is_there.store(true, Ordering::SeqCst);
    let change = timeout(PATIENCE, watcher.next()).await.unwrap().unwrap();
    assert_eq!(change.service.name, "greeter");
    running.stop().await.unwrap();
    assert!(server.records.get_service("greeter").await.is_err());
    assert_eq!(
        server.connected.load(Ordering::SeqCst),
        1,
        "the connection is kept"
    );
}

#[tokio::test]
async fn it_does_not_start_where_it_is_not_told_to() {
    let error = Server::away(refused).settings(&[]).service().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        error.detail().contains("cannot connect to the registry moody"),
        "{error}"
    );
}

#[tokio::test]
async fn what_waiting_does_not_mend_is_told_at_once() {
    let server = Server::away(|| Error::unauthorized("moody", "the password is wrong"));
    let settings = server.settings(&["--start_without_registry"]);
    let error = settings.service().await.unwrap_err();
    assert!(error.detail().contains("the password is wrong"), "{error}");
}
