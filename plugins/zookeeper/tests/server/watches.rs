//! What watches cost others, and that they end.

use std::time::Duration;

use micro_core::registry::Registry;
use tokio::time::{Instant, sleep};

use crate::zookeeper::{LONG, PATIENCE, Zookeeper, greeter, next};

/// How many watches the server knows, of how many connections.
async fn until_watched(zookeeper: &Zookeeper, watches: usize) {
    let until = Instant::now() + PATIENCE;
    loop {
        // A line for each path, and one below it for each session.
        let told = zookeeper.word("wchp").await;
        let count = told.lines().filter(|line| line.starts_with('/')).count();
        if count == watches {
            return;
        }
        assert!(
            Instant::now() < until,
            "the server has not {watches} watches but: {told}"
        );
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_dropped_watcher_ends_at_zookeeper_too() {
    let Some(zookeeper) = Zookeeper::start().await else {
        return;
    };
    let registry = zookeeper.connect().await;
    let mut stays = registry.watch(None).await.unwrap();
    let goes = registry.watch(Some("greeter")).await.unwrap();
    let same = registry.watch(Some("greeter")).await.unwrap();
    until_watched(&zookeeper, 2).await;
    drop(goes);
    drop(same);
    until_watched(&zookeeper, 1).await;
    registry.register(&greeter("a"), LONG).await.unwrap();
    assert_eq!(next(&mut stays).await.service, greeter("a"), "the other goes on");
    drop(registry);
    drop(stays);
    until_watched(&zookeeper, 0).await;
}

#[tokio::test]
async fn watchers_that_nobody_reads_hold_up_nothing() {
    const UPDATES: usize = 60;
    let Some(zookeeper) = Zookeeper::start().await else {
        return;
    };
    let registry = zookeeper.connect().await;
    let mut watchers = Vec::new();
    for _ in 0..20 {
        watchers.push(registry.watch(None).await.unwrap());
    }
    let mut read = registry.watch(Some("greeter")).await.unwrap();
    let mut record = greeter("a");
    for update in 0..UPDATES {
        let text = update.to_string().repeat(60_000);
        record.nodes[0].metadata.insert("text".into(), text);
        registry.register(&record, LONG).await.unwrap();
        assert_eq!(next(&mut read).await.service, record);
    }
    assert_eq!(registry.get_service("greeter").await.unwrap(), [record.clone()]);
    for watcher in &mut watchers {
        assert_eq!(
            next(watcher).await.service,
            record,
            "what is true when it is read"
        );
    }
}
