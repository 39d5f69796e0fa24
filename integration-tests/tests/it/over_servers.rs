//! Rust and Go find each other through registries that are servers.

use std::sync::Arc;

use integration_tests::{CountRequest, GreeterClient, GreeterServer, HelloRequest, RustGreeter};
use micro::prelude::*;
use micro::registry::Action;
use micro::{Registry, Settings};
use tokio::process::Command;
use tokio::time::timeout;

use crate::go_peer::{self, PATIENCE, Process};

/// The registry and where its server is.
type Place = (&'static str, &'static str);

const CONSUL: Place = ("consul", "127.0.0.1:8500");
const ETCD: Place = ("etcd", "127.0.0.1:2379");
const NATS: Place = ("nats", "127.0.0.1:4222");

fn settings(place: Place) -> Settings {
    settings_of("interop", place)
}

fn settings_of(service: &str, (registry, address): Place) -> Settings {
    let flags = [
        format!("--registry={registry}"),
        format!("--registry_address={address}"),
    ];
    let arguments = Arguments::new(service).default_value("server_address", "127.0.0.1:0");
    arguments.parse_from(flags, [("", ""); 0]).unwrap()
}

async fn registry(place: Place) -> Arc<dyn Registry> {
    let connected = settings(place).connect_registry().await;
    connected.unwrap_or_else(|error| panic!("`cargo xtask backends up {}`? {error}", place.0))
}

fn unique(language: &str, place: Place) -> String {
    format!("interop.{language}.{}.{}", place.0, std::process::id())
}

/// Waits until a service has a node, or has none any more.
async fn until(registry: &Arc<dyn Registry>, service: &str, is_there: bool) {
    let waited = timeout(PATIENCE, async {
        while registry.get_service(service).await.is_ok() != is_there {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    assert!(
        waited.await.is_ok(),
        "{service}: there should be a node: {is_there}"
    );
}

async fn rust_finds_calls_and_loses_go(place: Place) {
    let Some(go) = go_peer::program().await else {
        return;
    };
    let service = unique("go", place);
    let here = registry(place).await;
    let mut watcher = here.watch(Some(&service)).await.unwrap();
    let mut command = Command::new(go);
    command.args([
        "server",
        "--name",
        &service,
        "--address",
        "127.0.0.1:0",
        "--until-stdin-closes",
    ]);
    command.args(["--registry", place.0, "--registry-address", place.1]);
    let mut server = Process::start(&mut command);
    server.line_after("registered").await;
    let come = timeout(PATIENCE, watcher.next()).await.unwrap().unwrap();
    assert_eq!((come.action, &come.service.name), (Action::Create, &service));
    assert_eq!(
        come.service.nodes[0].metadata.get("protocol").map(String::as_str),
        Some("mucp")
    );
    assert!(
        come.service
            .endpoints
            .iter()
            .any(|endpoint| endpoint.name == "Greeter.Hello")
    );

    let client = settings(place).client().await.unwrap().build();
    let greeter = GreeterClient::new(service.as_str(), &client);
    let request = HelloRequest {
        name: "registry".into(),
        times: 1,
    };
    let reply = greeter.hello(request).await.unwrap();
    assert!(
        reply.greeting == "Hello registry" && reply.served_by.starts_with("go-micro"),
        "{reply:?}"
    );
    let mut numbers = greeter.count(CountRequest { count: 3 }).await.unwrap();
    for wanted in 1..=3 {
        assert_eq!(numbers.message().await.unwrap().unwrap().seq, wanted);
    }
    assert!(numbers.message().await.unwrap().is_none());

    server.stop().await;
    let gone = timeout(PATIENCE, async {
        loop {
            let change = watcher.next().await.unwrap();
            if change.action == Action::Delete {
                return change.service;
            }
        }
    });
    assert_eq!(gone.await.unwrap().nodes[0].id, come.service.nodes[0].id);
    until(&here, &service, false).await;
}

async fn go_finds_calls_and_loses_rust(place: Place) {
    let Some(go) = go_peer::program().await else {
        return;
    };
    let service = unique("rust", place);
    let here = registry(place).await;
    let flags = ["--registry", place.0, "--registry-address", place.1];
    let mut watching = Process::start(Command::new(&go).arg("watch").args(flags).arg(&service));
    watching.line_after("watching").await;
    let builder = settings_of(&service, place).service().await.unwrap();
    let handler = GreeterServer::new(RustGreeter);
    let running = builder.handler(handler).build().unwrap().start().await.unwrap();
    until(&here, &service, true).await;
    // Consul tells of a service before its check passes, and then without a node.
    let come = watching.line_with(r#""protocol":"mucp""#).await;
    assert!(
        come.contains(&service) && come.contains("Greeter.Hello"),
        "{come}"
    );

    let got = Command::new(&go)
        .arg("get")
        .args(flags)
        .arg(&service)
        .output()
        .await
        .unwrap();
    let got = String::from_utf8_lossy(&got.stdout).into_owned();
    assert!(
        got.contains(&running.address().to_string()) && got.contains("Greeter.Count"),
        "{got}"
    );
    let mut call = Command::new(&go);
    call.args(["call", "--service", &service, "--body", r#"{"name":"registry"}"#])
        .args(flags);
    let called = call.output().await.unwrap();
    let called = String::from_utf8_lossy(&called.stdout).into_owned();
    assert!(called.contains("Hello registry"), "{called}");

    running.stop().await.unwrap();
    until(&here, &service, false).await;
    watching.line_with(r#""Action":"delete""#).await;
}

#[tokio::test]
async fn rust_finds_calls_and_loses_go_through_etcd() {
    rust_finds_calls_and_loses_go(ETCD).await;
}

#[tokio::test]
async fn go_finds_calls_and_loses_rust_through_etcd() {
    go_finds_calls_and_loses_rust(ETCD).await;
}

#[tokio::test]
async fn rust_finds_calls_and_loses_go_through_consul() {
    rust_finds_calls_and_loses_go(CONSUL).await;
}

#[tokio::test]
async fn go_finds_calls_and_loses_rust_through_consul() {
    go_finds_calls_and_loses_rust(CONSUL).await;
}

#[tokio::test]
async fn rust_finds_calls_and_loses_go_through_nats() {
    rust_finds_calls_and_loses_go(NATS).await;
}

#[tokio::test]
async fn go_finds_calls_and_loses_rust_through_nats() {
    go_finds_calls_and_loses_rust(NATS).await;
}
