//! What is found in several registries, and what of it is still known when one is away.

use std::sync::atomic::Ordering::SeqCst;

use micro_core::ErrorKind;
use micro_core::registry::{MultiRegistryOptions, RegistryCache, RegistryCacheOptions};
use tokio::time::sleep;

use super::*;

async fn error(multi: &MultiRegistry) -> (ErrorKind, String) {
    let error = multi.get_service("greeter").await.unwrap_err();
    (error.kind(), error.detail().to_owned())
}

#[tokio::test(start_paused = true)]
async fn the_nodes_of_all_are_found_and_the_first_one_wins() {
    let (old, new, multi) = both();
    old.put(&record("a", "old")).await;
    old.put(&record("b", "old")).await;
    new.put(&record("b", "new")).await;
    new.put(&record("c", "new")).await;
    let second = ServiceRecord::new("greeter", "2").with_nodes(vec![Node::new("a", "new")]);
    new.put(&second).await;
    assert_eq!(nodes(&multi).await, ["a old", "b old", "c new", "a new"]);
    let records = multi.get_service("greeter").await.unwrap();
    let versions: Vec<_> = records.iter().map(|record| record.version.as_str()).collect();
    assert_eq!(versions, ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn all_are_asked_at_the_same_time() {
    let (old, new, multi) = both();
    old.slow.store(true, SeqCst);
    new.slow.store(true, SeqCst);
    let (_, took) = timed(multi.get_service("greeter")).await;
    assert_eq!(took, Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_service_is_not_there_only_when_all_say_so() {
    let (old, new, multi) = both();
    assert_eq!(error(&multi).await.0, ErrorKind::NotFound);
    old.go_down();
    assert_eq!(
        error(&multi).await,
        (
            ErrorKind::Unavailable,
            "registry old: connection refused".to_owned()
        )
    );
    new.hangs.store(true, SeqCst);
    let (kind, detail) = error(&multi).await;
    assert_eq!(kind, ErrorKind::Unavailable);
    assert!(detail.contains("old: connection refused; "), "{detail}");
    assert!(detail.contains("new: no answer within 4s"), "{detail}");
}

#[tokio::test(start_paused = true)]
async fn what_one_that_is_away_said_last_is_counted() {
    let (old, new, multi) = both();
    old.put(&record("a", "old")).await;
    new.put(&record("b", "new")).await;
    assert_eq!(nodes(&multi).await, ["a old", "b new"]);
    old.go_down();
    old.remove("1", "a").await;
    new.put(&record("c", "new")).await;
    assert_eq!(nodes(&multi).await, ["a old", "b new", "c new"]);
    new.go_down();
    assert_eq!(nodes(&multi).await, ["a old", "b new", "c new"]);
    old.come_back();
    new.come_back();
    assert_eq!(nodes(&multi).await, ["b new", "c new"]);
    old.go_down();
    new.remove("1", "b").await;
    new.remove("1", "c").await;
    assert_eq!(
        error(&multi).await.0,
        ErrorKind::Unavailable,
        "it may have nodes again"
    );
}

#[tokio::test(start_paused = true)]
async fn what_one_that_was_switched_off_said_last_is_forgotten() {
    let (old, new, multi) = both();
    old.put(&record("a", "old")).await;
    new.put(&record("b", "new")).await;
    multi.list_services().await.unwrap();
    assert_eq!(nodes(&multi).await, ["a old", "b new"]);
    sleep(Duration::from_secs(3600)).await;
    old.go_down();
    assert_eq!(nodes(&multi).await, ["a old", "b new"], "away since now");
    sleep(Duration::from_secs(599)).await;
    assert_eq!(nodes(&multi).await, ["a old", "b new"]);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(nodes(&multi).await, ["b new"]);
    old.come_back();
    assert_eq!(nodes(&multi).await, ["a old", "b new"]);
    old.go_down();
    assert_eq!(nodes(&multi).await, ["a old", "b new"], "a new outage");
}

#[tokio::test(start_paused = true)]
async fn only_so_many_services_are_kept_for_an_outage() {
    let old = Moody::named("old");
    let options = MultiRegistryOptions {
        max_services: 2,
        ..MultiRegistryOptions::default()
    };
    let multi = MultiRegistry::with_options([old.clone() as _], options).unwrap();
    for name in ["one", "two", "three"] {
        let record = ServiceRecord::new(name, "1").with_nodes(vec![Node::new("a", "")]);
        old.put(&record).await;
        multi.get_service(name).await.unwrap();
    }
    old.go_down();
    assert!(multi.get_service("one").await.is_err());
    assert!(multi.get_service("two").await.is_ok());
    assert!(multi.get_service("three").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_is_not_waited_for_again_and_again() {
    let (old, new, multi) = both();
    old.put(&record("a", "old")).await;
    new.put(&record("b", "new")).await;
    assert_eq!(nodes(&multi).await.len(), 2);
    old.hangs.store(true, SeqCst);
    for expected in [4_000, 500, 500] {
        let (found, took) = timed(nodes(&multi)).await;
        assert_eq!(found, ["a old", "b new"]);
        assert_eq!(took, Duration::from_millis(expected));
    }
    sleep(Duration::from_secs(30)).await;
    assert_eq!(timed(nodes(&multi)).await.1, Duration::from_secs(4));
    old.hangs.store(false, SeqCst);
    old.slow.store(true, SeqCst);
    sleep(Duration::from_secs(30)).await;
    for _ in 0..3 {
        let (_, took) = timed(nodes(&multi)).await;
        assert_eq!(took, Duration::from_secs(1), "slow, but not too slow");
    }
}

#[tokio::test(start_paused = true)]
async fn the_cache_knows_a_service_although_one_hangs_from_the_start() {
    let (old, new, multi) = both();
    old.hangs.store(true, SeqCst);
    new.put(&record("b", "new")).await;
    let cache = RegistryCache::new(Arc::new(multi), RegistryCacheOptions::default());
    let (records, took) = timed(cache.records("greeter")).await;
    assert_eq!(records.unwrap()[0].nodes[0].id, "b");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let record = ServiceRecord::new("other", "1").with_nodes(vec![Node::new("a", "")]);
    new.put(&record).await;
    let (records, took) = timed(cache.records("other")).await;
    records.unwrap();
    assert!(took < Duration::from_millis(1100), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_cache_goes_on_watching_the_others_while_one_is_away() {
    let (old, new, multi) = both();
    old.put(&record("a", "old")).await;
    new.put(&record("b", "new")).await;
    let cache = RegistryCache::new(Arc::new(multi), RegistryCacheOptions::default());
    let ids = async || {
        let records = cache.records("greeter").await.unwrap();
        let nodes = records.iter().flat_map(|record| &record.nodes);
        nodes.map(|node| node.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids().await, ["a", "b"]);
    sleep(Duration::from_secs(1)).await;
    old.go_down();
    sleep(Duration::from_secs(1)).await;
    let watches = new.watches.load(SeqCst);
    for count in 0..10 {
        new.put(&record(&format!("c{count}"), "new")).await;
        sleep(Duration::from_millis(1)).await;
        assert_eq!(ids().await.len(), 3 + count, "seen at once");
        sleep(Duration::from_secs(30)).await;
    }
    assert_eq!(new.watches.load(SeqCst), watches, "the watch lasts");
    new.remove("1", "b").await;
    sleep(Duration::from_millis(1)).await;
    assert!(!ids().await.contains(&"b".to_owned()), "a deletion is believed");
    assert!(ids().await.contains(&"a".to_owned()));
    old.come_back_empty().await;
    sleep(Duration::from_secs(30)).await;
    assert!(
        ids().await.contains(&"a".to_owned()),
        "doubted, as it came back empty"
    );
    old.put(&record("d", "old")).await;
    sleep(Duration::from_secs(90)).await;
    assert!(ids().await.contains(&"d".to_owned()));
    assert!(!ids().await.contains(&"a".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn the_lists_of_all_are_one() {
    let (old, new, multi) = both();
    for (registry, name) in [(&old, "b"), (&old, "c"), (&new, "b"), (&new, "a")] {
        let record = ServiceRecord::new(name, "1").with_nodes(vec![Node::new("x", "")]);
        registry.put(&record).await;
    }
    let listed = || async {
        let listed = multi.list_services().await?;
        Ok::<_, micro_core::Error>(listed.into_iter().map(|record| record.name).collect::<Vec<_>>())
    };
    assert_eq!(listed().await.unwrap(), ["a", "b", "c"]);
    old.go_down();
    assert_eq!(listed().await.unwrap(), ["a", "b", "c"], "what it listed last");
    let (_, fresh, unknowing) = both();
    fresh.go_down();
    assert!(unknowing.list_services().await.is_err());
}
