//! Kubernetes' own services.

use micro_core::registry::{Action, Registry};
use micro_kubernetes::EndpointSlices;
use serde_json::{Value, json};

use crate::cluster::{Pod, ask, connect};
use crate::told::{LONG, found, name, next, record};

const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

fn slice(service: &str, ready: bool) -> Value {
    json!({
        "metadata": {"name": service, "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": ["10.9.0.1"], "conditions": {"ready": ready}},
            {"addresses": ["10.9.0.2"], "conditions": {"ready": false}},
        ],
        "ports": [{"name": "rpc", "port": 9000}, {"name": "metrics", "port": 9100}],
    })
}

#[tokio::test]
async fn the_endpoints_of_a_kubernetes_service_are_found_and_watched_until_somebody_registers() {
    let pod = Pod::start().await;
    let mut config = pod.config();
    config.endpoint_slices = Some(EndpointSlices {
        port: Some("rpc".into()),
    });
    let registry = connect(config).await.unwrap();
    let name = name();
    let mut watcher = registry.watch(Some(&name)).await.unwrap();
    ask("POST", SLICES, Some(&slice(&name, true))).await;
    let told = next(&mut watcher).await;
    assert_eq!(
        (told.action, told.service.version.as_str()),
        (Action::Create, "latest")
    );
    assert_eq!(told.service.nodes[0].address, "10.9.0.1:9000");
    let of_kubernetes = format!("{name}-10.9.0.1:9000");
    assert_eq!(found(&registry, &name).await, [of_kubernetes.as_str()]);

    registry
        .register(&record(&name, "1", &["a"]), LONG)
        .await
        .unwrap();
    assert_eq!(next(&mut watcher).await.action, Action::Delete);
    assert_eq!(next(&mut watcher).await.service.nodes[0].id, "a");
    assert_eq!(found(&registry, &name).await, ["a"]);
    registry.deregister(&record(&name, "1", &["a"])).await.unwrap();
    assert_eq!(next(&mut watcher).await.action, Action::Delete);
    assert_eq!(next(&mut watcher).await.service.nodes[0].id, of_kubernetes);

    let path = format!("{SLICES}/{name}");
    ask("PATCH", &path, Some(&slice(&name, false))).await;
    assert_eq!(next(&mut watcher).await.action, Action::Delete);
    assert!(found(&registry, &name).await.is_empty());
    ask("DELETE", &path, None).await;
}

#[tokio::test]
async fn without_the_option_kubernetes_services_are_not_looked_at() {
    let pod = Pod::start().await;
    let registry = connect(pod.config()).await.unwrap();
    let name = name();
    ask("POST", SLICES, Some(&slice(&name, true))).await;
    assert!(found(&registry, &name).await.is_empty());
    ask("DELETE", &format!("{SLICES}/{name}"), None).await;
}
