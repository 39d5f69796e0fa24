//! ConfigMaps and Secrets: what is read of them, and how soon a change is seen.

use std::time::{Duration, Instant};

use micro_config::{ErrorKind, Source};
use micro_kubernetes_config::ObjectKind;

use crate::cluster::Cluster;
use crate::soon::{failure, follow, read, soon, until};

#[tokio::test]
async fn documents_and_values_of_a_config_map_are_read() {
    let object = Cluster::usual().object(ObjectKind::ConfigMap);
    let entries = [
        ("app.yaml", "server:\n  port: 1\n  host: here\n"),
        ("more.toml", "[server]\nport = 2\n"),
        ("server.port", "3\n"),
        ("log_level", "debug"),
    ];
    object.put(&entries).await.unwrap();
    let config = follow(object.source()).await;
    assert_eq!(config.get::<u16>("server.port").unwrap(), 3);
    assert_eq!(config.get::<String>("server.host").unwrap(), "here");
    assert_eq!(config.get::<String>("log_level").unwrap(), "debug");
    let documents = &config.sources()[0].documents;
    assert_eq!(
        documents[0],
        format!("ConfigMap default/{}, key app.yaml", object.name)
    );
    assert_eq!(documents.len(), 4);
    object.remove().await.unwrap();
}

#[tokio::test]
async fn the_values_of_a_secret_are_read_and_never_shown() {
    let object = Cluster::usual().object(ObjectKind::Secret);
    let secret = "hunter2-hunter2";
    let entries = [
        ("database.password", secret),
        ("app.json", r#"{"key": "hunter2-hunter2"}"#),
    ];
    object.put(&entries).await.unwrap();
    let mut source = object.source();
    assert_eq!(
        source.to_string(),
        format!("kubernetes secret default/{}", object.name)
    );
    let documents = soon(source.read()).await.unwrap();
    let shown = format!("{source:?} {documents:?}");
    assert!(!shown.contains(secret) && !shown.contains("aHVudGVyM"), "{shown}");
    let config = follow(source).await;
    assert_eq!(config.get::<String>("database.password").unwrap(), secret);
    assert_eq!(config.get::<String>("key").unwrap(), secret);
    let error = config.get::<u16>("database.password").unwrap_err().to_string();
    let shown = format!("{:?} {:?} {error}", config.view(), config.sources());
    assert!(!shown.contains(secret), "{shown}");

    // Nor is what is in a document that cannot be parsed.
    let broken = [("app.json", r#"{"key": "hunter2-hunter2"#)];
    object.put(&broken).await.unwrap();
    until(&config, |state| state.error().is_some()).await;
    let shown = format!("{:?}", config.sources());
    assert!(shown.contains("app.json") && !shown.contains(secret), "{shown}");
    assert_eq!(config.get::<String>("key").unwrap(), secret);
    object.remove().await.unwrap();
}

#[tokio::test]
async fn what_is_not_there_is_missing_by_name_and_is_told_of_when_it_comes() {
    let object = Cluster::usual().object(ObjectKind::ConfigMap);
    let mut source = object.source();
    let error = failure(&mut source).await;
    assert_eq!(error.kind(), ErrorKind::Missing, "{error}");
    assert!(
        error
            .to_string()
            .contains(&format!("ConfigMap default/{}", object.name)),
        "{error}"
    );
    object.put(&[("a", "1")]).await.unwrap();
    soon(source.changed()).await.unwrap();
    // It is told until it is read.
    soon(source.changed()).await.unwrap();
    assert_eq!(read(&mut source).await, [("a".to_owned(), "\"1\"".to_owned())]);
    object.put(&[("a", "1"), ("b", "2")]).await.unwrap();
    soon(source.changed()).await.unwrap();
    assert_eq!(read(&mut source).await.len(), 2);
    object.put(&[]).await.unwrap();
    soon(source.changed()).await.unwrap();
    assert!(read(&mut source).await.is_empty());
    object.remove().await.unwrap();
    soon(source.changed()).await.unwrap();
    assert_eq!(failure(&mut source).await.kind(), ErrorKind::Missing);
}

#[tokio::test]
async fn a_change_is_seen_within_a_second_by_who_watches_its_path() {
    for kind in [ObjectKind::ConfigMap, ObjectKind::Secret] {
        let object = Cluster::usual().object(kind);
        object.put(&[("app.yaml", "port: 0")]).await.unwrap();
        let config = follow(object.source()).await;
        let mut watch = config.watch::<u32>("port");
        let mut took = Vec::new();
        for port in 1..=10_u32 {
            let text = format!("port: {port}");
            object.put(&[("app.yaml", text.as_str())]).await.unwrap();
            let begun = Instant::now();
            assert_eq!(soon(watch.next()).await.unwrap().unwrap(), port);
            took.push(begun.elapsed());
        }
        took.sort_unstable();
        println!(
            "{kind}: from the server's answer to the watch, debounced by 100 ms: median {:?}, longest {:?}",
            took[5], took[9]
        );
        assert!(took[5] < Duration::from_secs(1), "{took:?}");
        object.remove().await.unwrap();
    }
}
