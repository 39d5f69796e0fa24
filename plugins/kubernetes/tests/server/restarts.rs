//! An API server of the tests' own, which is killed and comes back, with its data and without.

use std::net::SocketAddr;
use std::time::Duration;

use micro_core::ErrorKind;
use micro_core::registry::{Action, KnownNodes, Registry, Watcher};
use micro_kubernetes::{KubernetesConfig, KubernetesRegistry, KubernetesTls, Token};
use servers::Kind;
use servers::kubernetes::{TOKEN, authority, request};
use tokio::time::timeout;

use crate::cluster::PODS;
use crate::told::{LONG, record};

/// Long enough for an API server that starts on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(60);

async fn start_pod(address: SocketAddr, name: &str) {
    let pod = format!(
        r#"{{"metadata":{{"name":"{name}"}},"spec":{{"containers":[{{"name":"none","image":"none"}}]}}}}"#
    );
    request(address, "POST", PODS, &pod).await.unwrap();
    let status = r#"{"status":{"phase":"Running"}}"#;
    request(address, "PATCH", &format!("{PODS}/{name}/status"), status)
        .await
        .unwrap();
}

async fn connect(address: SocketAddr, pod: &str) -> KubernetesRegistry {
    let config = KubernetesConfig {
        token: Token::Text(TOKEN.to_owned()),
        tls: Some(KubernetesTls {
            authorities: std::fs::read(authority()).unwrap(),
            ..KubernetesTls::default()
        }),
        pod: pod.to_owned(),
        ..KubernetesConfig::new(format!("https://{address}"))
    };
    KubernetesRegistry::connect(config).await.unwrap()
}

/// Registers, as core does: until it works.
async fn register(registry: &KubernetesRegistry, id: &str) {
    let registering = async {
        while registry
            .register(&record("greeter", "1", &[id]), LONG)
            .await
            .is_err()
        {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, registering).await.unwrap();
}

/// Reads changes until just these nodes are known.
async fn until(watcher: &mut Watcher, known: &mut KnownNodes, wanted: &[&str]) {
    let reading = async {
        while !ids(known).iter().eq(wanted) {
            match watcher.next().await {
                Ok(change) => assert_eq!(
                    known.apply(change.clone()),
                    [change],
                    "what is told is really another"
                ),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
            }
        }
    };
    timeout(PATIENCE, reading).await.unwrap();
}

fn ids(known: &KnownNodes) -> Vec<String> {
    let nodes = known
        .service("greeter")
        .into_iter()
        .flat_map(|record| record.nodes);
    nodes.map(|node| node.id).collect()
}

#[tokio::test]
async fn a_watcher_knows_the_truth_after_restarts_with_and_without_data() {
    let Some(mut server) = servers::start_or_skip(Kind::Kubernetes).await else {
        return;
    };
    let address = server.address();
    start_pod(address, "greeter-1").await;
    let registry = connect(address, "greeter-1").await;
    let mut watcher = registry.watch(Some("greeter")).await.unwrap();
    let mut known = KnownNodes::new();
    register(&registry, "goes").await;
    register(&registry, "stays").await;
    until(&mut watcher, &mut known, &["goes", "stays"]).await;

    server.kill().await.unwrap();
    let error = timeout(PATIENCE, watcher.next()).await.unwrap().unwrap_err();
    assert!(error.detail().contains(&address.to_string()), "{error}");
    server.start_again().await.unwrap();
    register(&registry, "stays").await;
    register(&registry, "then").await;
    let told = timeout(PATIENCE, watcher.next()).await.unwrap().unwrap();
    assert_eq!(
        (told.action, told.service.nodes[0].id.as_str()),
        (Action::Create, "then")
    );
    known.apply(told);

    server.start_empty().await.unwrap();
    start_pod(address, "greeter-1").await;
    register(&registry, "stays").await;
    register(&registry, "comes").await;
    until(&mut watcher, &mut known, &["comes", "stays"]).await;
}
