//! One watcher over several registries.

use std::sync::atomic::Ordering::SeqCst;

use futures_util::FutureExt;
use micro_core::ErrorKind;
use micro_core::registry::{Change, Watcher};
use tokio::time::{sleep, timeout};

use super::*;

/// All that is told within half a minute, errors by what they say.
async fn told(watcher: &mut Watcher) -> Vec<String> {
    let mut told = Vec::new();
    while let Ok(next) = timeout(Duration::from_secs(30), watcher.next()).await {
        told.push(match next {
            Ok(change) => {
                let node = &change.service.nodes[0];
                format!("{} {} {}", change.action, node.id, node.address)
            }
            Err(error) => error.detail().to_owned(),
        });
    }
    told
}

async fn watch(multi: &MultiRegistry) -> Watcher {
    multi.watch(Some("greeter")).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_node_is_gone_when_it_is_gone_from_all() {
    let (old, new, multi) = both();
    let mut watcher = watch(&multi).await;
    old.put(&record("a", "1")).await;
    new.put(&record("a", "1")).await;
    assert_eq!(told(&mut watcher).await, ["create a 1"], "told once");
    old.remove("1", "a").await;
    assert!(told(&mut watcher).await.is_empty(), "the new one still has it");
    new.remove("1", "a").await;
    assert_eq!(told(&mut watcher).await, ["delete a 1"]);
}

#[tokio::test(start_paused = true)]
async fn the_first_ones_record_is_told_and_then_the_seconds() {
    let (old, new, multi) = both();
    let mut watcher = watch(&multi).await;
    new.put(&record("a", "new")).await;
    assert_eq!(told(&mut watcher).await, ["create a new"]);
    old.put(&record("a", "old")).await;
    assert_eq!(told(&mut watcher).await, ["update a old"]);
    new.put(&record("a", "newer")).await;
    assert!(told(&mut watcher).await.is_empty(), "the first one wins");
    old.remove("1", "a").await;
    assert_eq!(told(&mut watcher).await, ["update a newer"]);
    new.remove("1", "a").await;
    assert_eq!(told(&mut watcher).await, ["delete a newer"]);
}

#[tokio::test(start_paused = true)]
async fn it_knows_from_the_beginning_which_node_is_where() {
    for service in [Some("greeter"), None] {
        let (old, new, multi) = both();
        new.is_brief.store(true, SeqCst);
        old.put(&record("a", "old")).await;
        new.put(&record("a", "new")).await;
        new.put(&record("b", "new")).await;
        let mut watcher = multi.watch(service).await.unwrap();
        assert!(
            watcher.next().now_or_never().is_none(),
            "what was there is not told"
        );
        old.remove("1", "a").await;
        new.remove("1", "b").await;
        let mut told = told(&mut watcher).await;
        told.sort();
        assert_eq!(told, ["delete b new", "update a new"], "{service:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_away_keeps_what_it_had_and_its_trouble_is_told_once() {
    let (old, new, multi) = both();
    old.put(&record("a", "1")).await;
    old.put(&record("b", "1")).await;
    let mut watcher = watch(&multi).await;
    assert!(told(&mut watcher).await.is_empty());
    old.go_down();
    old.remove("1", "a").await;
    new.put(&record("c", "1")).await;
    let mut heard = told(&mut watcher).await;
    heard.sort();
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert_eq!(heard[0], "create c 1");
    assert!(
        heard[1].contains("the watch of greeter at old is interrupted"),
        "{heard:?}"
    );
    assert!(told(&mut watcher).await.is_empty());
    old.come_back();
    assert_eq!(told(&mut watcher).await, ["delete a 1"]);
    old.put(&record("a", "2")).await;
    assert_eq!(told(&mut watcher).await, ["create a 2"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_comes_back_empty_takes_only_what_no_other_has() {
    let (old, new, multi) = both();
    old.put(&record("a", "old")).await;
    old.put(&record("b", "old")).await;
    new.put(&record("b", "new")).await;
    let mut watcher = watch(&multi).await;
    assert!(told(&mut watcher).await.is_empty());
    old.go_down();
    assert_eq!(told(&mut watcher).await.len(), 1, "the trouble");
    old.come_back_empty().await;
    assert_eq!(told(&mut watcher).await, ["delete a old", "update b new"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_be_watched_at_first_is_tried_again_after_growing_pauses() {
    let (old, new, multi) = both();
    old.put(&record("a", "1")).await;
    old.go_down();
    let mut watcher = watch(&multi).await;
    new.put(&record("b", "1")).await;
    assert_eq!(told(&mut watcher).await, ["create b 1"]);
    let before = old.watches.load(SeqCst);
    assert!(told(&mut watcher).await.is_empty());
    let tries = old.watches.load(SeqCst) - before;
    assert!((5..=15).contains(&tries), "{tries} tries in 30 s");
    old.come_back();
    assert_eq!(
        told(&mut watcher).await,
        [
            "the watch of greeter at old begins only now, because it could not before",
            "create a 1"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_is_away_at_first_keeps_what_it_said_last() {
    for service in [Some("greeter"), None] {
        let (old, new, multi) = both();
        for id in ["a", "b"] {
            old.put(&record(id, "1")).await;
            new.put(&record(id, "1")).await;
        }
        assert_eq!(nodes(&multi).await.len(), 2);
        old.go_down();
        let mut watcher = multi.watch(service).await.unwrap();
        new.remove("1", "a").await;
        assert!(told(&mut watcher).await.is_empty(), "the old one may have it");
        old.come_back_empty().await;
        assert_eq!(told(&mut watcher).await[1..], ["delete a 1"]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_nodes_of_one_that_was_switched_off_are_gone_after_a_time() {
    for is_away_at_first in [false, true] {
        let (old, new, multi) = both();
        old.put(&record("a", "old")).await;
        old.put(&record("b", "old")).await;
        new.put(&record("b", "new")).await;
        assert_eq!(nodes(&multi).await.len(), 2);
        if is_away_at_first {
            old.go_down();
        }
        let mut watcher = watch(&multi).await;
        assert!(told(&mut watcher).await.is_empty());
        old.go_down();
        let mut heard = Vec::new();
        let until = Instant::now() + Duration::from_secs(530);
        while Instant::now() < until {
            heard.extend(told(&mut watcher).await);
        }
        heard.retain(|told| !told.contains("interrupted"));
        assert!(heard.is_empty(), "{heard:?}");
        for change in ["delete a old", "update b new"] {
            let heard = timeout(Duration::from_secs(120), watcher.next()).await;
            let Change { action, service } = heard.unwrap().unwrap();
            let node = &service.nodes[0];
            assert_eq!(format!("{action} {} {}", node.id, node.address), change);
        }
        old.come_back();
        let mut heard = told(&mut watcher).await;
        heard.retain(|told| !told.contains("only now"));
        assert_eq!(heard, ["create a old", "update b old"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_is_not_read_does_not_make_a_registry_distrusted() {
    let (old, _, multi) = both();
    old.put(&record("a", "1")).await;
    let mut watcher = watch(&multi).await;
    // Long enough to begin anew without a pause.
    assert!(told(&mut watcher).await.is_empty());
    old.hangs.store(true, SeqCst);
    old.go_down();
    // It begins anew, which hangs, and is left there.
    let moment = Duration::from_millis(1);
    assert!(timeout(moment, watcher.next()).await.is_err());
    old.hangs.store(false, SeqCst);
    old.come_back();
    sleep(Duration::from_secs(60)).await;
    let told = timeout(moment, watcher.next()).await.unwrap();
    assert!(told.is_err(), "it was too slow for the watcher");
    old.slow.store(true, SeqCst);
    assert_eq!(timed(nodes(&multi)).await.1, Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_does_not_keep_the_watch_from_beginning() {
    let (old, new, multi) = both();
    old.put(&record("a", "1")).await;
    old.hangs.store(true, SeqCst);
    let (mut watcher, took) = timed(watch(&multi)).await;
    assert_eq!(took, Duration::from_secs(4));
    let (_, took) = timed(watch(&multi)).await;
    assert_eq!(took, Duration::from_millis(500));
    new.put(&record("b", "1")).await;
    assert_eq!(told(&mut watcher).await, ["create b 1"]);
    old.hangs.store(false, SeqCst);
    assert_eq!(told(&mut watcher).await[1..], ["create a 1"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_still_beginning_goes_on_inside_the_watcher() {
    let (old, new, multi) = both();
    old.put(&record("a", "1")).await;
    old.hangs.store(true, SeqCst);
    multi.get_service("greeter").await.unwrap_err();
    old.hangs.store(false, SeqCst);
    old.slow.store(true, SeqCst);
    let (mut watcher, took) = timed(watch(&multi)).await;
    assert_eq!(took, Duration::from_millis(500));
    new.put(&record("b", "1")).await;
    assert_eq!(told(&mut watcher).await, ["create b 1", "create a 1"]);
    assert_eq!(old.watches.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn without_any_registry_there_is_no_watch() {
    let (old, new, multi) = both();
    old.go_down();
    new.go_down();
    let error = multi.watch(None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        error.detail().contains("old: ") && error.detail().contains("new: "),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_dropped_watcher_frees_what_it_held() {
    let (old, new, multi) = both();
    let watcher = watch(&multi).await;
    let alive = || old.watchers.load(SeqCst) + new.watchers.load(SeqCst);
    assert_eq!(alive(), 2);
    drop(watcher);
    assert_eq!(alive(), 0);
    old.go_down();
    let mut watcher = watch(&multi).await;
    sleep(Duration::from_secs(5)).await;
    let _ = watcher.next().now_or_never();
    drop(watcher);
    assert_eq!(alive(), 0);
}
