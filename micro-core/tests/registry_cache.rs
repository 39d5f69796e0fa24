//! The registry's cache: what it knows, and what it does when the registry has trouble.
#![allow(clippy::unwrap_used, reason = "the helpers of tests, too")]

mod registries;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use micro_core::ErrorKind;
use micro_core::registry::{Registry, RegistryCache, RegistryCacheOptions};
use registries::Moody;
use tokio::time::{advance, sleep};

fn cache(registry: &Arc<Moody>) -> RegistryCache {
    RegistryCache::new(registry.clone(), RegistryCacheOptions::default())
}

/// Lets all tasks run; the clock is paused, so it jumps to the end of the sleep.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

async fn ids(cache: &RegistryCache) -> Vec<String> {
    let records = cache.records("greeter").await.unwrap();
    let nodes = records.iter().flat_map(|record| record.nodes.iter());
    nodes.map(|node| node.id.clone()).collect()
}

async fn kind(cache: &RegistryCache) -> ErrorKind {
    cache.records("greeter").await.unwrap_err().kind()
}

#[tokio::test(start_paused = true)]
async fn many_who_ask_at_once_cause_one_lookup() {
    let registry = Moody::new();
    registry.add("1", "a").await;
    registry.slow.store(true, SeqCst);
    let cache = cache(&registry);
    let asking = (0..100).map(|_| cache.records("greeter"));
    for answer in futures_util::future::join_all(asking).await {
        assert_eq!(answer.unwrap()[0].nodes[0].id, "a");
    }
    assert_eq!((registry.lookups(), registry.watches.load(SeqCst)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_change_is_known_without_another_lookup() {
    let registry = Moody::new();
    registry.add("1", "a").await;
    let cache = cache(&registry);
    assert_eq!(ids(&cache).await, ["a"]);
    let service = cache.follow("greeter");
    let generation = service.generation();
    registry.add("2", "b").await;
    settle().await;
    assert_eq!(ids(&cache).await, ["a", "b"]);
    assert_ne!(service.generation(), generation);
    registry.remove("1", "a").await;
    settle().await;
    assert_eq!(
        ids(&cache).await,
        ["b"],
        "a deletion in good times is obeyed at once"
    );
    registry.remove("2", "b").await;
    settle().await;
    assert_eq!(kind(&cache).await, ErrorKind::NotFound);
    assert_eq!(service.generation(), 0);
    assert_eq!(registry.lookups(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_tells_nothing_new_keeps_the_generation() {
    let registry = Moody::new();
    registry.add("1", "a").await;
    let cache = cache(&registry);
    let generation = cache.snapshot("greeter").await.unwrap().generation();
    sleep(Duration::from_secs(200)).await;
    assert!(registry.lookups() >= 3);
    assert_eq!(cache.snapshot("greeter").await.unwrap().generation(), generation);
}

#[tokio::test(start_paused = true)]
async fn what_was_known_last_is_served_while_the_registry_is_away() {
    let registry = Moody::new();
    registry.add("1", "a").await;
    let cache = cache(&registry);
    assert_eq!(ids(&cache).await, ["a"]);
    registry.go_down();
    for _ in 0..100 {
        sleep(Duration::from_secs(5)).await;
        assert_eq!(ids(&cache).await, ["a"]);
    }
    registry.come_back();
    registry.add("1", "bb").await;
    sleep(Duration::from_secs(12)).await;
    assert_eq!(ids(&cache).await, ["a", "bb"]);
}

#[tokio::test(start_paused = true)]
async fn the_registry_is_not_stormed_while_it_is_away() {
    let registry = Moody::new();
    registry.add("1", "a").await;
    let cache = cache(&registry);
    assert_eq!(ids(&cache).await, ["a"]);
    registry.go_down();
    let before = registry.watches.load(SeqCst);
    sleep(Duration::from_secs(100)).await;
    let tries = registry.watches.load(SeqCst) - before;
    assert!((10..=22).contains(&tries), "{tries} tries in 100 s");
}

#[tokio::test(start_paused = true)]
async fn a_registry_restarted_empty_does_not_empty_the_cache() {
    let registry = Moody::new();
    registry.add("1", "a").await;
    registry.add("1", "b").await;
    let cache = cache(&registry);
    assert_eq!(ids(&cache).await, ["a", "b"]);
    registry.go_down();
    sleep(Duration::from_secs(30)).await;
    registry.come_back_empty().await;
    sleep(Duration::from_secs(15)).await;
    assert_eq!(ids(&cache).await, ["a", "b"], "doubted");
    registry.add("1", "b").await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(ids(&cache).await, ["a", "b"]);
    sleep(Duration::from_secs(40)).await;
    assert_eq!(
        ids(&cache).await,
        ["b"],
        "only what registered again is left after the doubt"
    );
}

#[tokio::test(start_paused = true)]
async fn a_deletion_soon_after_an_outage_is_doubted_and_one_later_is_not() {
    let registry = Moody::new();
    for id in ["a", "b", "c"] {
        registry.add("1", id).await;
    }
    let cache = cache(&registry);
    assert_eq!(ids(&cache).await.len(), 3);
    registry.go_down();
    registry.come_back();
    sleep(Duration::from_secs(1)).await;
    registry.remove("1", "a").await;
    settle().await;
    assert_eq!(ids(&cache).await.len(), 3);
    sleep(Duration::from_secs(91)).await;
    assert_eq!(ids(&cache).await, ["b", "c"]);
    registry.remove("1", "b").await;
    settle().await;
    assert_eq!(ids(&cache).await, ["c"]);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_no_watcher_reported_is_found_by_listing() {
    let registry = Moody::new();
    registry.blind.store(true, SeqCst);
    registry.add("1", "a").await;
    registry.add("1", "b").await;
    let cache = cache(&registry);
    assert_eq!(ids(&cache).await, ["a", "b"]);
    registry.remove("1", "b").await;
    registry.add("1", "c").await;
    settle().await;
    assert_eq!(ids(&cache).await, ["a", "b"]);
    sleep(Duration::from_secs(70)).await;
    assert_eq!(ids(&cache).await, ["a", "c"], "two listings in a row lacked b");
}

#[tokio::test(start_paused = true)]
async fn a_name_without_nodes_is_looked_up_once_a_second_at_most() {
    let registry = Moody::new();
    let cache = cache(&registry);
    for _ in 0..50 {
        assert_eq!(kind(&cache).await, ErrorKind::NotFound);
    }
    assert_eq!(registry.lookups(), 1);
    advance(Duration::from_millis(1100)).await;
    let asking = (0..50).map(|_| cache.records("greeter"));
    for answer in futures_util::future::join_all(asking).await {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::NotFound);
    }
    assert_eq!(registry.lookups(), 2);
    settle().await;
    assert_eq!(registry.lookups(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_comes_ends_the_negative_answer_at_once() {
    let registry = Moody::new();
    let cache = cache(&registry);
    assert_eq!(kind(&cache).await, ErrorKind::NotFound);
    registry.add("1", "a").await;
    settle().await;
    assert_eq!(ids(&cache).await, ["a"]);
    assert_eq!(registry.lookups(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_registry_is_an_error_that_is_shared_and_then_tried_again() {
    let registry = Moody::new();
    registry.add("1", "a").await;
    registry.go_down();
    let cache = cache(&registry);
    let error = cache.records("greeter").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        error.detail().contains("greeter") && error.detail().contains("refused"),
        "{error}"
    );
    let before = registry.lookups();
    for _ in 0..100 {
        assert_eq!(kind(&cache).await, ErrorKind::Unavailable);
    }
    assert_eq!(registry.lookups(), before);
    sleep(Duration::from_secs(100)).await;
    registry.come_back();
    // A try of its own may have failed just before; that error holds for a second.
    sleep(Duration::from_millis(1100)).await;
    assert_eq!(
        ids(&cache).await,
        ["a"],
        "who asks now need not wait for the back-off"
    );
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_never_answers_fails_within_the_limit() {
    let registry = Moody::new();
    registry.slow.store(true, SeqCst);
    let options = RegistryCacheOptions {
        timeout: Duration::from_millis(100),
        ..RegistryCacheOptions::default()
    };
    let cache = RegistryCache::new(registry.clone(), options);
    assert_eq!(kind(&cache).await, ErrorKind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_nobody_asks_for_is_forgotten() {
    let registry = Moody::new();
    registry.add("1", "a").await;
    let cache = cache(&registry);
    assert_eq!(ids(&cache).await, ["a"]);
    let service = cache.follow("greeter");
    for _ in 0..30 {
        sleep(Duration::from_secs(60)).await;
        assert_ne!(service.generation(), 0, "asked for");
    }
    sleep(Duration::from_secs(800)).await;
    assert!(service.is_ended() && service.generation() == 0);
    assert_eq!((cache.followed(), registry.watchers.load(SeqCst)), (0, 0));
    assert_eq!(ids(&cache).await, ["a"], "and followed again when asked for");
}

#[tokio::test(start_paused = true)]
async fn dropping_the_cache_leaves_no_task_behind() {
    let registry = Moody::new();
    registry.add("1", "a").await;
    let cache = cache(&registry);
    assert_eq!(ids(&cache).await, ["a"]);
    assert_eq!(registry.watchers.load(SeqCst), 1);
    let service = cache.follow("greeter");
    drop(cache);
    settle().await;
    assert!(service.is_ended());
    assert_eq!(registry.watchers.load(SeqCst), 0);
    assert_eq!(Arc::strong_count(&registry), 1);
}

#[tokio::test(start_paused = true)]
async fn names_asked_for_in_vain_do_not_drive_out_what_is_in_use() {
    let registry = Moody::new();
    registry.add("1", "a").await;
    let options = RegistryCacheOptions {
        max_services: 8,
        ..RegistryCacheOptions::default()
    };
    let cache = RegistryCache::new(registry.clone(), options);
    assert_eq!(ids(&cache).await, ["a"]);
    let service = cache.follow("greeter");
    for number in 0..100 {
        assert!(cache.records(&format!("no-{number}")).await.is_err());
    }
    settle().await;
    assert!(cache.followed() <= 8 && !service.is_ended());
    assert_eq!(registry.watchers.load(SeqCst), cache.followed());
}

#[tokio::test(start_paused = true)]
async fn a_cache_is_a_registry() {
    let registry = Moody::new();
    registry.add("1", "a").await;
    let cache: Arc<dyn Registry> = Arc::new(cache(&registry));
    assert_eq!(cache.name(), "moody");
    assert_eq!(cache.get_service("greeter").await.unwrap()[0].nodes.len(), 1);
    assert_eq!(cache.list_services().await.unwrap().len(), 1);
    assert_eq!(
        cache.get_service("nobody").await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[tokio::test(start_paused = true)]
async fn more_lookups_at_once_than_services_may_be_followed_end_with_an_error_that_names_the_limit() {
    let registry = Moody::new();
    registry.slow.store(true, SeqCst);
    let options = RegistryCacheOptions {
        max_services: 2,
        ..RegistryCacheOptions::default()
    };
    let cache = RegistryCache::new(registry.clone(), options);
    let names: Vec<_> = (0..20).map(|number| format!("no-{number}")).collect();
    let asking = names.iter().map(|name| cache.records(name));
    let errors = futures_util::future::join_all(asking).await;
    let full = errors.into_iter().map(|answer| answer.unwrap_err());
    assert!(full.filter(|error| error.detail().contains("at most 2")).count() >= 10);
}

#[tokio::test(start_paused = true)]
async fn times_beyond_measure_are_no_harm() {
    let registry = Moody::new();
    registry.add("1", "a").await;
    for time in [Duration::ZERO, Duration::MAX] {
        let options = RegistryCacheOptions {
            refresh_interval: time,
            doubt: time,
            negative_ttl: time,
            idle: time,
            max_services: 0,
            timeout: time,
        };
        let cache = RegistryCache::new(registry.clone(), options);
        assert_eq!(ids(&cache).await, ["a"]);
        registry.go_down();
        sleep(Duration::from_secs(1)).await;
        registry.come_back();
        sleep(Duration::from_secs(20)).await;
        assert_eq!(ids(&cache).await, ["a"]);
    }
}
