//! What is read.

use async_nats::jetstream::stream;
use micro_config::{Config, ErrorKind, Source};
use micro_nats_config::{NatsServers, NatsSource, NatsSourceConfig};

use crate::nats::{context, failure, make, read, soon, source, start};

#[tokio::test]
async fn the_default_is_the_document_that_go_micro_reads() {
    let Some(server) = start().await else { return };
    let store = make(server.address(), "default").await;
    store
        .put(
            "micro_config",
            r#"{"nats": {"address": "10.0.0.1", "port": 8488}}"#,
        )
        .await;
    let config = NatsSourceConfig {
        servers: NatsServers {
            addresses: vec![server.address().to_string()],
            ..NatsServers::default()
        },
        ..NatsSourceConfig::default()
    };
    let source = NatsSource::new(config).unwrap();
    assert_eq!(source.to_string(), "nats default/micro_config");
    let config = Config::builder().source(source).build().await.unwrap();
    assert_eq!(config.get::<u16>("nats.port").unwrap(), 8488);
    let origin = config.view().origin_of("nats.port").unwrap().document;
    assert!(
        origin.contains("nats bucket default, key micro_config"),
        "{origin}"
    );
}

#[tokio::test]
async fn keys_are_paths_and_values_texts_or_json() {
    let Some(server) = start().await else { return };
    let store = make(server.address(), "shop").await;
    for (key, value) in [
        ("greeter.database", r#"{"pool": {"size": 4}}"#),
        ("greeter.database.host", "db-1"),
        ("greeter.password", "0123"),
        ("greeter.gone", "x"),
        ("other.port", "1"),
    ] {
        store.put(key, value).await;
    }
    store.delete("greeter.gone").await;
    let mut all = source(server.address(), "shop/>");
    let paths: Vec<String> = read(&mut all).await.into_iter().map(|(path, _)| path).collect();
    assert_eq!(
        paths,
        [
            "greeter.database",
            "greeter.database.host",
            "greeter.password",
            "other.port"
        ]
    );
    let below = source(server.address(), "shop/greeter.>");
    let config = Config::builder().source(below).build().await.unwrap();
    assert_eq!(config.get::<String>("database.host").unwrap(), "db-1");
    assert_eq!(config.get::<u16>("database.pool.size").unwrap(), 4);
    assert_eq!(config.get::<String>("password").unwrap(), "0123");
    assert!(!config.view().contains("other"));
}

#[tokio::test]
async fn keys_of_which_there_is_none_are_missing_and_told_of_when_one_comes() {
    let Some(server) = start().await else { return };
    let store = make(server.address(), "shop").await;
    for (text, said) in [
        ("shop/>", "no key in the bucket shop"),
        (
            "shop/greeter.>",
            "no key that begins with greeter. in the bucket shop",
        ),
    ] {
        let mut source = source(server.address(), text);
        let error = failure(&mut source).await;
        assert_eq!(error.kind(), ErrorKind::Missing, "{error}");
        assert!(error.to_string().contains(said), "{error}");
        store.put("greeter.port", "1").await;
        soon(source.changed()).await.unwrap();
        assert_eq!(read(&mut source).await.len(), 1);
        store.delete("greeter.port").await;
        soon(source.changed()).await.unwrap();
        assert_eq!(failure(&mut source).await.kind(), ErrorKind::Missing);
        store.put("greeter.port", "1").await;
        store.empty().await;
        assert_eq!(failure(&mut source).await.kind(), ErrorKind::Missing);
    }
}

#[tokio::test]
async fn what_is_not_there_is_missing_and_is_told_of_when_it_comes() {
    let Some(server) = start().await else { return };
    let mut source = source(server.address(), "shop/app.yaml");
    let error = failure(&mut source).await;
    assert_eq!(error.kind(), ErrorKind::Missing, "{error}");
    let text = error.to_string();
    assert!(
        text.contains("bucket shop") && text.contains(&server.address().to_string()),
        "{text}"
    );
    let (changed, store) = tokio::join!(soon(source.changed()), make(server.address(), "shop"));
    changed.unwrap();
    let error = failure(&mut source).await;
    assert_eq!(error.kind(), ErrorKind::Missing, "{error}");
    assert!(error.to_string().contains("key app.yaml"), "{error}");

    store.put("app.yaml", "a: 1").await;
    soon(source.changed()).await.unwrap();
    assert_eq!(read(&mut source).await, [(String::new(), "a: 1".to_owned())]);

    for remove in [true, false] {
        match remove {
            true => store.delete("app.yaml").await,
            false => store.purge("app.yaml").await,
        }
        soon(source.changed()).await.unwrap();
        assert_eq!(failure(&mut source).await.kind(), ErrorKind::Missing);
        store.put("app.yaml", "a: 2").await;
        soon(source.changed()).await.unwrap();
        assert_eq!(read(&mut source).await[0].1, "a: 2");
    }
    store.put("app.yaml", "").await;
    assert_eq!(failure(&mut source).await.kind(), ErrorKind::Missing);
}

#[tokio::test]
async fn a_mirror_of_a_bucket_is_read_like_the_bucket() {
    let Some(server) = start().await else { return };
    let store = make(server.address(), "shop").await;
    store.put("a", "{}").await;
    let mirror = stream::Config {
        name: "KV_near".to_owned(),
        mirror: Some(stream::Source {
            name: "KV_shop".to_owned(),
            ..stream::Source::default()
        }),
        max_messages_per_subject: 1,
        ..stream::Config::default()
    };
    context(server.address())
        .await
        .create_stream(mirror)
        .await
        .unwrap();
    let mut near = source(server.address(), "near/a");
    let reading = async {
        while near.read().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    soon(reading).await;
    store.put("a", r#"{"b": 1}"#).await;
    soon(near.changed()).await.unwrap();
    assert_eq!(read(&mut near).await[0].1, r#"{"b": 1}"#);
}
