//! What a server does not take.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use micro_core::ErrorKind;
use micro_core::registry::{Node, RegisterOptions, Registry, ServiceRecord};
use micro_nats_registry::{NatsRegistry, NatsRegistryConfig, NatsServers};
use servers::Kind;
use tempfile::TempDir;
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn a_goodbye_that_the_server_takes_no_longer_is_refused_at_once() {
    let files = TempDir::new().unwrap();
    let file = files.path().join("nats.conf");
    std::fs::write(&file, "max_payload: 8192\n").unwrap();
    let arguments = ["-c", file.to_str().unwrap()];
    let Some(mut server) = servers::start_with_or_skip(Kind::Nats, &arguments).await else {
        return;
    };
    let config = NatsRegistryConfig {
        servers: NatsServers {
            addresses: vec![server.address().to_string()],
            ..NatsServers::default()
        },
        request_timeout: Duration::from_secs(30),
        ..NatsRegistryConfig::default()
    };
    let registry = NatsRegistry::connect(config).await.unwrap();
    let mut node = Node::new("greeter-1", "192.0.2.1:9100");
    node.metadata.insert("notes".into(), "x".repeat(4096));
    let service = ServiceRecord::new("greeter", "1").with_nodes(vec![node]);
    registry
        .register(&service, RegisterOptions::default())
        .await
        .unwrap();

    server.kill().await.unwrap();
    std::fs::write(&file, "max_payload: 1024\n").unwrap();
    server.start_again().await.unwrap();
    // On a thread of its own, which must not spin.
    let goodbye = tokio::spawn(async move { registry.deregister(&service).await });
    let said = timeout(Duration::from_secs(60), goodbye).await.unwrap().unwrap();
    let error = said.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    assert!(error.detail().contains("max_payload"), "{error}");
}
