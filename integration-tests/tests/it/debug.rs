//! Both sides ask each other for health and counts.

use std::sync::Arc;

use micro::client::CallOptions;
use micro::codec::{JSON, JSON_RPC, PROTO_RPC, PROTOBUF};
use micro::debug::{HealthRequest, HealthResponse, StatsRequest, StatsResponse};
use micro::registry::MemoryRegistry;
use micro::transport::HttpTransport;
use micro::transport::http::HttpConfig;
use micro::{Client, Service};
use serde_json::Value;

use crate::go_peer;

#[tokio::test]
async fn go_reads_the_health_and_the_counts_of_a_service_in_rust() {
    let Some(program) = go_peer::program().await else {
        return;
    };
    let service = Service::builder("interop.greeter").address("127.0.0.1:0");
    let service = service.build().unwrap().start().await.unwrap();
    for codec in ["protobuf", "json", "proto-rpc", "json-rpc"] {
        let ask = async |endpoint: &str| {
            let arguments = [
                "call",
                "--address",
                service.address(),
                "--endpoint",
                endpoint,
                "--codec",
                codec,
            ];
            let lines = go_peer::call(&program, &arguments).await;
            let line: Value = serde_json::from_str(&lines[0]).unwrap();
            assert!(line["error"].is_null(), "{codec} {endpoint}: {line}");
            line["reply"].clone()
        };
        assert_eq!(ask("Debug.Health").await["status"], "ok", "{codec}");
        let stats = ask("Debug.Stats").await;
        let started = service.diagnostics().stats().started.to_string();
        assert_eq!(stats["started"], started.as_str(), "{codec}: {stats}");
        assert!(stats["threads"].is_string(), "{codec}: {stats}");
    }
    service.stop().await.unwrap();
}

#[tokio::test]
async fn rust_reads_the_health_and_the_counts_of_a_service_in_go() {
    let Some(program) = go_peer::program().await else {
        return;
    };
    let (server, address) = go_peer::server(&program).await;
    let transport = Arc::new(HttpTransport::new(HttpConfig::default()).unwrap());
    let client = Client::new(Arc::new(MemoryRegistry::new()), transport);
    for content_type in [PROTOBUF, JSON, PROTO_RPC, JSON_RPC] {
        let client = client.with_options(CallOptions {
            addresses: vec![address.clone()],
            content_type: Some(content_type.clone()),
            timeout: Some(go_peer::PATIENCE),
            ..CallOptions::default()
        });
        let health: HealthResponse = client
            .call("interop.greeter", "Debug.Health", &HealthRequest::default())
            .await
            .unwrap();
        assert_eq!(health.status, "ok", "{content_type}");
        let stats: StatsResponse = client
            .call("interop.greeter", "Debug.Stats", &StatsRequest::default())
            .await
            .unwrap();
        assert!(stats.memory > 0 && stats.threads > 0, "{content_type}: {stats:?}");
    }
    server.stop().await;
}
