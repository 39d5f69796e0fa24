//! What a watcher is told.

use std::time::Duration;

use hickory_server::proto::rr::RecordType;
use micro_core::registry::{Action, Change, Registry, Watcher};
use micro_dns::{DnsConfig, DnsRegistry};
use tokio::time::{Instant, sleep, timeout};

use crate::zone::{PATIENCE, Zone, found};

async fn next(watcher: &mut Watcher) -> Change {
    timeout(PATIENCE, watcher.next()).await.unwrap().unwrap()
}

fn told(change: &Change) -> (Action, &str) {
    (change.action, change.service.nodes[0].address.as_str())
}

#[tokio::test]
async fn a_watcher_sees_nodes_come_change_and_go() {
    let zone = Zone::start().await;
    let registry = zone.registry().await;
    let mut watcher = registry.watch(Some("greeter")).await.unwrap();
    zone.host("one", "192.0.2.1").await;
    zone.host("two", "192.0.2.2").await;
    zone.srv("greeter", 0, 80, "one").await;
    let change = next(&mut watcher).await;
    assert_eq!(told(&change), (Action::Create, "192.0.2.1:80"));
    assert_eq!(
        change.service.with_nodes(vec![]),
        found(&registry, "greeter").await[0].with_nodes(vec![])
    );
    zone.srv("greeter", 0, 80, "two").await;
    assert_eq!(told(&next(&mut watcher).await), (Action::Create, "192.0.2.2:80"));
    zone.remove("one", RecordType::A).await;
    zone.host("one", "192.0.2.3").await;
    let moved = next(&mut watcher).await;
    // A look-up may come between the two.
    if moved.action == Action::Delete {
        assert_eq!(told(&next(&mut watcher).await), (Action::Create, "192.0.2.3:80"));
    } else {
        assert_eq!(told(&moved), (Action::Update, "192.0.2.3:80"));
    }
    zone.remove_service("greeter").await;
    for _ in 0..2 {
        assert_eq!(next(&mut watcher).await.action, Action::Delete);
    }
    zone.srv("greeter", 0, 80, "two").await;
    assert_eq!(told(&next(&mut watcher).await), (Action::Create, "192.0.2.2:80"));
}

/// Waits for so many more questions, while nothing is told.
async fn until_asked(zone: &Zone, watcher: &mut Watcher, questions: usize) {
    let enough = zone.asked() + questions;
    let has_asked = async {
        while zone.asked() < enough {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        told = watcher.next() => panic!("{told:?}"),
        asked = timeout(PATIENCE, has_asked) => asked.expect("it asks again"),
    }
}

#[tokio::test]
async fn a_watcher_asks_when_the_time_to_live_has_passed_and_not_before() {
    let zone = Zone::start().await;
    zone.srv("greeter", 0, 80, "one").await;
    zone.host("one", "192.0.2.1").await;
    let registry = zone.registry().await;
    let began = Instant::now();
    let mut watcher = registry.watch(Some("greeter")).await.unwrap();
    until_asked(&zone, &mut watcher, 1).await;
    // A busy machine only makes it later.
    assert!(
        began.elapsed() > Duration::from_millis(950),
        "{:?}",
        began.elapsed()
    );
    drop(watcher);
    // What was asked before may only arrive now.
    sleep(Duration::from_millis(500)).await;
    let before = zone.asked();
    sleep(Duration::from_millis(1_500)).await;
    assert_eq!(zone.asked(), before, "a dropped watcher asks no more");
}

#[tokio::test]
async fn bounds_go_before_the_time_to_live() {
    let zone = Zone::start().await;
    let config = DnsConfig {
        min_refresh: Duration::from_secs(60),
        max_refresh: Duration::from_secs(60),
        ..zone.config()
    };
    let registry = DnsRegistry::connect(config).await.unwrap();
    let mut watcher = registry.watch(Some("greeter")).await.unwrap();
    let before = zone.asked();
    assert!(
        timeout(Duration::from_millis(2_500), watcher.next())
            .await
            .is_err()
    );
    assert_eq!(zone.asked(), before);
    let config = DnsConfig {
        min_refresh: Duration::from_millis(50),
        max_refresh: Duration::from_millis(50),
        ..zone.config()
    };
    let registry = DnsRegistry::connect(config).await.unwrap();
    let mut watcher = registry.watch(Some("greeter")).await.unwrap();
    let began = Instant::now();
    until_asked(&zone, &mut watcher, 12).await;
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "by the time to live it would take longer: {:?}",
        began.elapsed()
    );
    zone.srv("greeter", 0, 80, "one").await;
    zone.host("one", "192.0.2.1").await;
    assert_eq!(next(&mut watcher).await.action, Action::Create);
}
