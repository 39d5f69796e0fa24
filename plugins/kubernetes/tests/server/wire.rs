//! What Go Micro writes and reads.

use std::time::Duration;

use micro_core::registry::{Action, RegisterOptions, Registry};
use serde_json::{Value, json};

use crate::cluster::{Pod, ask, connect};
use crate::told::{LONG, PATIENCE, found, name, next, record};

#[tokio::test]
async fn what_is_registered_is_what_go_micro_reads() {
    let pod = Pod::start().await;
    let registry = connect(pod.config()).await.unwrap();
    let name = name();
    let mut service = record(&name, "latest", &["greeter-1"]);
    service.nodes[0].metadata.insert("protocol".into(), "mucp".into());
    registry.register(&service, LONG).await.unwrap();
    let metadata = ask("GET", &pod.path(), None).await["metadata"].take();
    let labels = &metadata["labels"];
    assert_eq!(labels["micro.mu/type"], "service");
    assert_eq!(labels[format!("micro.mu/selector-{name}")], "service");
    assert_eq!(
        metadata["annotations"][format!("micro.mu/service-{name}")],
        format!(
            r#"{{"name":"{name}","version":"latest","metadata":null,"endpoints":null,"nodes":[{{"metadata":{{"protocol":"mucp"}},"id":"greeter-1","address":"127.0.0.1:9101"}}]}}"#
        )
    );
    let expires = metadata["annotations"][format!("micro.mu/expires-{name}")]
        .as_str()
        .unwrap();
    let expires: Value = serde_json::from_str(expires).unwrap();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let left = expires["latest"]["greeter-1"].as_u64().unwrap() - now.as_millis() as u64;
    assert!((200_000..=300_000).contains(&left), "{left} ms are left of 300 s");

    registry.deregister(&service).await.unwrap();
    let metadata = ask("GET", &pod.path(), None).await["metadata"].take();
    let left = metadata.to_string();
    let managed = metadata["managedFields"].to_string();
    assert_eq!(
        left.matches(&name).count(),
        managed.matches(&name).count(),
        "{left}"
    );
}

#[tokio::test]
async fn what_go_micro_registers_is_found_listed_and_watched() {
    let pod = Pod::start().await;
    let registry = connect(pod.config()).await.unwrap();
    let name = name();
    let mut watcher = registry.watch(Some(&name)).await.unwrap();
    let of_go = format!(
        r#"{{"name":"{name}","version":"latest","metadata":{{"a":"b"}},"endpoints":[{{"request":{{"name":"Request","type":"Request","values":null}},"response":null,"metadata":{{}},"name":"Greeter.Hello"}}],"nodes":[{{"metadata":{{"protocol":"mucp"}},"id":"go-1","address":"10.0.0.7:9101"}}]}}"#
    );
    let label = format!("micro.mu/selector-{name}");
    let annotation = format!("micro.mu/service-{name}");
    let patch = |label_value: Value, annotation_value: Value| {
        json!({"metadata": {
            "labels": {"micro.mu/type": "service", label.as_str(): label_value},
            "annotations": {annotation.as_str(): annotation_value},
        }})
    };
    ask("PATCH", &pod.path(), Some(&patch(json!("service"), json!(of_go)))).await;
    let told = next(&mut watcher).await;
    assert_eq!(told.action, Action::Create);
    let wanted = serde_json::from_str(&of_go).unwrap();
    assert_eq!(told.service, wanted);
    assert_eq!(registry.get_service(&name).await.unwrap(), [wanted]);
    let listed = registry.list_services().await.unwrap();
    assert!(listed.iter().any(|record| record.name == name));

    ask("PATCH", &pod.path(), Some(&patch(Value::Null, Value::Null))).await;
    assert_eq!(next(&mut watcher).await.action, Action::Delete);
    assert!(found(&registry, &name).await.is_empty());
}

#[tokio::test]
async fn a_record_of_a_process_that_was_in_the_pod_before_gives_way() {
    let pod = Pod::start().await;
    let mut config = pod.config();
    config.expire = false;
    let (before, after) = (
        connect(config.clone()).await.unwrap(),
        connect(config).await.unwrap(),
    );
    let name = name();
    before
        .register(&record(&name, "1", &["before"]), LONG)
        .await
        .unwrap();
    after
        .register(&record(&name, "1", &["after"]), LONG)
        .await
        .unwrap();
    after
        .register(&record(&name, "2", &["another"]), LONG)
        .await
        .unwrap();
    assert_eq!(found(&after, &name).await, ["after", "another"]);
    let metadata = ask("GET", &pod.path(), None).await["metadata"].take();
    assert!(metadata["annotations"][format!("micro.mu/expires-{name}")].is_null());
}

#[tokio::test]
async fn what_a_neighbour_in_the_pod_keeps_registering_stays() {
    let pod = Pod::start().await;
    let mut config = pod.config();
    config.expire = false;
    let (one, two) = (
        connect(config.clone()).await.unwrap(),
        connect(config).await.unwrap(),
    );
    let name = name();
    // Who comes later takes away what may be of an earlier process, once.
    for (registry, id) in [(&one, "one"), (&two, "two"), (&one, "one")] {
        registry.register(&record(&name, "1", &[id]), LONG).await.unwrap();
    }
    for (registry, id) in [(&two, "two"), (&one, "one"), (&two, "two")] {
        registry.register(&record(&name, "1", &[id]), LONG).await.unwrap();
        assert_eq!(found(&one, &name).await, ["two", "one"]);
    }
}

#[tokio::test]
async fn a_name_whose_nodes_lapsed_is_free_for_one_that_labels_cannot_tell_apart() {
    let pod = Pod::start().await;
    let registry = connect(pod.config()).await.unwrap();
    let name = name();
    let (slash, space) = (format!("{name}/a"), format!("{name} a"));
    let short = RegisterOptions {
        ttl: Some(Duration::from_secs(1)),
    };
    let mut watcher = registry.watch(Some(&slash)).await.unwrap();
    registry
        .register(&record(&slash, "1", &["slash"]), short)
        .await
        .unwrap();
    for action in [Action::Create, Action::Delete] {
        assert_eq!(next(&mut watcher).await.action, action);
    }
    registry
        .register(&record(&space, "1", &["space"]), LONG)
        .await
        .unwrap();
    assert_eq!(found(&registry, &space).await, ["space"]);
}

#[tokio::test]
async fn two_registries_of_one_pod_do_not_undo_each_others_work() {
    let pod = Pod::start().await;
    let (one, two) = (
        connect(pod.config()).await.unwrap(),
        connect(pod.config()).await.unwrap(),
    );
    let name = name();
    let registering = async {
        for round in 0..5 {
            let (first, second) = (format!("one-{round}"), format!("two-{round}"));
            let (first, second) = (record(&name, "1", &[&first]), record(&name, "1", &[&second]));
            let (first, second) = tokio::join!(one.register(&first, LONG), two.register(&second, LONG));
            first.unwrap();
            second.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, registering).await.unwrap();
    assert_eq!(found(&one, &name).await.len(), 10);
}

#[tokio::test]
async fn names_that_labels_cannot_tell_apart_are_refused_in_one_pod_and_work_in_two() {
    let (pod, other) = (Pod::start().await, Pod::start().await);
    let (registry, elsewhere) = (
        connect(pod.config()).await.unwrap(),
        connect(other.config()).await.unwrap(),
    );
    let name = name();
    let (slash, space) = (format!("{name}/a"), format!("{name} a"));
    registry
        .register(&record(&slash, "1", &["slash"]), LONG)
        .await
        .unwrap();
    let error = registry
        .register(&record(&space, "1", &["space"]), LONG)
        .await
        .unwrap_err();
    assert!(
        error.detail().contains(&slash) && error.detail().contains(&space),
        "{error}"
    );
    let mut watcher = registry.watch(Some(&slash)).await.unwrap();
    elsewhere
        .register(&record(&space, "1", &["space"]), LONG)
        .await
        .unwrap();
    registry
        .register(&record(&slash, "1", &["marker"]), LONG)
        .await
        .unwrap();
    assert_eq!(next(&mut watcher).await.service.nodes[0].id, "marker");
    assert_eq!(found(&registry, &slash).await, ["slash", "marker"]);
    assert_eq!(found(&registry, &space).await, ["space"]);
}
