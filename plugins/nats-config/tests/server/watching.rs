//! What is told, and how soon.

use std::time::{Duration, Instant};

use micro_config::{ErrorKind, Source};
use tokio::time::timeout;

use crate::nats::{follow, make, read, soon, source, start, texts};

#[tokio::test]
async fn a_change_is_seen_within_a_second_by_who_watches_its_path() {
    let Some(server) = start().await else { return };
    let store = make(server.address(), "shop").await;
    store.put("app", r#"{"server": {"port": 0}}"#).await;
    let config = follow(source(server.address(), "shop/app")).await;
    let mut watch = config.watch::<u32>("server.port");
    let mut took = Vec::new();
    for port in 1..=20_u32 {
        let begun = Instant::now();
        store
            .put("app", format!(r#"{{"server": {{"port": {port}}}}}"#))
            .await;
        assert_eq!(soon(watch.next()).await.unwrap().unwrap(), port);
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    println!(
        "from put to watch, debounced by 100 ms: median {:?}, longest {:?}",
        took[10], took[19]
    );
    assert!(took[10] < Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn no_change_since_reading_began_is_missed() {
    let Some(server) = start().await else { return };
    let store = make(server.address(), "shop").await;
    store.put("a.b", "0").await;
    for text in ["shop/a.b", "shop/>"] {
        let mut source = source(server.address(), text);
        read(&mut source).await;
        for round in 0..50 {
            let value = round.to_string();
            let putting = async {
                // At another moment of the reading each time.
                for _ in 0..round {
                    tokio::task::yield_now().await;
                }
                store.put("a.b", &value).await;
            };
            let ((), read_meanwhile) = tokio::join!(putting, source.read());
            let is_old = !texts(&read_meanwhile.unwrap())[0].1.contains(&value);
            // Nor is what is told to nobody, because who asked gave up.
            for _ in 0..5 {
                let _ = timeout(Duration::from_millis(1), source.changed()).await;
            }
            if is_old {
                soon(source.changed()).await.unwrap();
            }
            assert!(read(&mut source).await[0].1.contains(&value));
        }
    }
}

#[tokio::test]
async fn a_change_is_told_until_it_is_read() {
    let Some(server) = start().await else { return };
    let store = make(server.address(), "shop").await;
    store.put("a", "0").await;
    let mut source = source(server.address(), "shop/a");
    read(&mut source).await;
    store.put("a", "1").await;
    for _ in 0..3 {
        soon(source.changed()).await.unwrap();
    }
    read(&mut source).await;
    let told = timeout(Duration::from_millis(200), source.changed()).await;
    assert!(told.is_err(), "there is nothing to tell");
}

#[tokio::test]
async fn a_bucket_that_is_made_anew_under_its_name_is_followed() {
    let Some(server) = start().await else { return };
    let store = make(server.address(), "shop").await;
    for number in 0..4 {
        store.put("a", format!(r#"{{"number": {number}}}"#)).await;
    }
    let config = follow(source(server.address(), "shop/a")).await;
    let mut watch = config.watch::<u8>("number");
    store.remove().await;
    let store = make(server.address(), "shop").await;
    store.put("a", r#"{"number": 7}"#).await;
    assert_eq!(soon(watch.next()).await.unwrap().unwrap(), 7);
}

#[tokio::test]
async fn what_is_no_document_is_refused_and_the_last_good_stays() {
    let Some(server) = start().await else { return };
    let store = make(server.address(), "shop").await;
    store.put("app.toml", "port = 1").await;
    let config = follow(source(server.address(), "shop/app.toml")).await;
    for wrong in [&b"port = "[..], b"\xff\xfe", b"port = \"x"] {
        store.put("app.toml", wrong).await;
        crate::nats::until(&config, |state| {
            state
                .error()
                .is_some_and(|error| error.kind() == ErrorKind::Invalid)
        })
        .await;
        let error = config.sources()[0].state.error().unwrap().to_string();
        assert!(error.contains("key app.toml"), "{error}");
        assert_eq!(config.get::<u16>("port").unwrap(), 1);
    }
    let mut watch = config.watch::<u16>("port");
    store.put("app.toml", "port = 2").await;
    assert_eq!(soon(watch.next()).await.unwrap().unwrap(), 2);
}
