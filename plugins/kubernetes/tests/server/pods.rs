//! Which pods count.

use micro_core::ErrorKind;
use micro_core::registry::{Action, Registry};
use serde_json::{Value, json};

use crate::cluster::{Pod, address, ask, config, connect};
use crate::told::{LONG, found, name, next, record};

#[tokio::test]
async fn a_pod_that_no_longer_runs_is_gone_and_one_that_runs_again_is_back() {
    let pod = Pod::start().await;
    let registry = connect(pod.config()).await.unwrap();
    let name = name();
    registry
        .register(&record(&name, "1", &["a"]), LONG)
        .await
        .unwrap();
    let mut watcher = registry.watch(Some(&name)).await.unwrap();
    for phase in ["Unknown", "Pending"] {
        pod.set(&json!({"phase": phase})).await;
        assert_eq!(next(&mut watcher).await.action, Action::Delete, "{phase}");
        assert!(found(&registry, &name).await.is_empty());
        pod.set(&json!({"phase": "Running"})).await;
        assert_eq!(next(&mut watcher).await.action, Action::Create);
        assert_eq!(found(&registry, &name).await, ["a"]);
    }
}

#[tokio::test]
async fn a_pod_that_is_being_taken_down_is_gone_while_it_still_runs() {
    let pod = Pod::start().await;
    let registry = connect(pod.config()).await.unwrap();
    let name = name();
    let finalizers = |finalizers: Value| json!({"metadata": {"finalizers": finalizers}});
    ask("PATCH", &pod.path(), Some(&finalizers(json!(["micro.mu/test"])))).await;
    registry
        .register(&record(&name, "1", &["a"]), LONG)
        .await
        .unwrap();
    let mut watcher = registry.watch(Some(&name)).await.unwrap();
    ask("DELETE", &pod.path(), None).await;
    assert_eq!(next(&mut watcher).await.action, Action::Delete);
    let object = ask("GET", &pod.path(), None).await;
    assert_eq!(object["status"]["phase"], "Running");
    assert!(found(&registry, &name).await.is_empty());
    ask("PATCH", &pod.path(), Some(&finalizers(Value::Null))).await;
}

#[tokio::test]
async fn a_deleted_pod_is_gone() {
    let (pod, other) = (Pod::start().await, Pod::start().await);
    let (registry, reader) = (
        connect(pod.config()).await.unwrap(),
        connect(other.config()).await.unwrap(),
    );
    let name = name();
    registry
        .register(&record(&name, "1", &["a"]), LONG)
        .await
        .unwrap();
    let mut watcher = reader.watch(None).await.unwrap();
    drop(pod);
    loop {
        let told = next(&mut watcher).await;
        if told.service.name == name {
            assert_eq!(told.action, Action::Delete);
            break;
        }
    }
    assert!(found(&reader, &name).await.is_empty());
    let error = registry
        .register(&record(&name, "1", &["b"]), LONG)
        .await
        .unwrap_err();
    assert!(
        error.detail().contains("micro-test-") && error.detail().contains("not found"),
        "{error}"
    );
}

#[tokio::test]
async fn readiness_counts_where_it_is_asked_for() {
    let pod = Pod::start().await;
    let mut config = pod.config();
    let as_go = connect(config.clone()).await.unwrap();
    config.ready_only = true;
    let registry = connect(config).await.unwrap();
    let name = name();
    registry
        .register(&record(&name, "1", &["a"]), LONG)
        .await
        .unwrap();
    let mut watcher = registry.watch(Some(&name)).await.unwrap();
    let ready = |status: &str| json!({"conditions": [{"type": "Ready", "status": status}]});
    pod.set(&ready("False")).await;
    assert_eq!(next(&mut watcher).await.action, Action::Delete);
    assert!(found(&registry, &name).await.is_empty());
    assert_eq!(found(&as_go, &name).await, ["a"]);
    pod.set(&ready("True")).await;
    assert_eq!(next(&mut watcher).await.action, Action::Create);
    assert_eq!(found(&registry, &name).await, ["a"]);
}

#[tokio::test]
async fn outside_of_a_pod_one_may_look_up_and_is_told_why_one_cannot_register() {
    let registry = connect(config(address())).await.unwrap();
    let name = name();
    assert!(found(&registry, &name).await.is_empty());
    let error = registry
        .register(&record(&name, "1", &["a"]), LONG)
        .await
        .unwrap_err();
    assert!(
        error.detail().contains(&name) && error.detail().contains("HOSTNAME"),
        "{error}"
    );
    assert_eq!(error.kind(), ErrorKind::BadRequest);
}
