//! What watches cost others, and that they end.

use std::time::Duration;

use micro_core::registry::Registry;
use tokio::time::{Instant, sleep, timeout};

use crate::etcd::{Etcd, LONG, PATIENCE, connect_to, greeter, next};

const WATCHERS: &str = "etcd_debugging_mvcc_watcher_total";

async fn until_watched_by(etcd: &Etcd, watchers: &str) {
    let until = Instant::now() + PATIENCE;
    while etcd.metric(WATCHERS).await != watchers {
        assert!(Instant::now() < until, "etcd never had {watchers} watchers");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_dropped_watcher_ends_at_etcd_too() {
    let Some(etcd) = Etcd::start().await else { return };
    let registry = connect_to(&etcd).await;
    let before: u32 = etcd.metric(WATCHERS).await.parse().unwrap();
    let stays = registry.watch(None).await.unwrap();
    let goes = registry.watch(Some("greeter")).await.unwrap();
    until_watched_by(&etcd, &(before + 2).to_string()).await;
    drop(goes);
    until_watched_by(&etcd, &(before + 1).to_string()).await;
    drop(registry);
    drop(stays);
    until_watched_by(&etcd, &before.to_string()).await;
}

#[tokio::test]
async fn watchers_that_nobody_reads_hold_up_nothing() {
    const UPDATES: usize = 60;
    let Some(etcd) = Etcd::start().await else { return };
    let registry = connect_to(&etcd).await;
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
    let found = timeout(PATIENCE, registry.get_service("greeter")).await.unwrap();
    assert_eq!(found.unwrap(), [record.clone()]);
    for watcher in &mut watchers {
        for _ in 1..UPDATES {
            next(watcher).await;
        }
        assert_eq!(next(watcher).await.service, record, "the last of all updates");
    }
}
