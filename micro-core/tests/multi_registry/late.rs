//! Registries that are connected to later, because they are away at first.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use futures_util::FutureExt;
use micro_core::registry::LateRegistry;
use micro_core::{Error, ErrorKind};

use tokio::time::{sleep, timeout};

use super::*;

fn late(registry: &Arc<Moody>, is_there: &Arc<AtomicBool>) -> LateRegistry {
    let (registry, is_there) = (registry.clone(), is_there.clone());
    LateRegistry::new(registry.name().to_owned(), move || {
        let (registry, is_there) = (registry.clone(), is_there.clone());
        async move {
            if is_there.load(SeqCst) {
                Ok(registry as _)
            } else {
                Err(Error::unavailable("test", "nobody there"))
            }
        }
    })
}

#[tokio::test(start_paused = true)]
async fn one_that_is_away_at_first_is_connected_to_later() {
    let (old, new) = (Moody::named("old"), Moody::named("new"));
    let (old_is_there, new_is_there) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    let connect = || MultiRegistry::connect([late(&old, &old_is_there), late(&new, &new_is_there)]);
    let error = connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(
        error.detail(),
        "cannot connect to the registry old: nobody there; cannot connect to the registry new: nobody there"
    );
    new_is_there.store(true, SeqCst);
    let multi = connect().await.unwrap();
    assert_eq!(multi.name(), "old,new");
    let record = record("a", "1");
    multi.register(&record, RegisterOptions::default()).await.unwrap();
    assert!(old.get_service("greeter").await.is_err());
    old_is_there.store(true, SeqCst);
    multi.register(&record, RegisterOptions::default()).await.unwrap();
    assert_eq!(nodes(&*old).await, ["a 1"]);
    multi.list_services().await.unwrap();
    multi.watch(None).await.unwrap();
    multi.deregister(&record).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_mistake_is_told_at_once() {
    let mistaken = LateRegistry::new("mistaken", || async {
        Err(Error::bad_request("test", "no such address"))
    });
    let is_there = Arc::new(AtomicBool::new(true));
    let registries = [late(&Moody::named("old"), &is_there), mistaken];
    let error = MultiRegistry::connect(registries).await.unwrap_err();
    assert_eq!(
        error.detail(),
        "cannot connect to the registry mistaken: no such address"
    );
    assert!(MultiRegistry::connect([]).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn one_whose_connecting_hangs_counts_as_away() {
    let hangs = LateRegistry::new("hangs", || async { std::future::pending().await });
    let is_there = Arc::new(AtomicBool::new(true));
    let registries = [late(&Moody::named("old"), &is_there), hangs];
    let (multi, took) = timed(MultiRegistry::connect(registries)).await;
    multi.unwrap();
    assert_eq!(took, Duration::from_secs(10));
}

/// A registry that takes its time to be connected to, and how often that was begun.
fn slow(registry: &Arc<Moody>, takes: Duration) -> (LateRegistry, Arc<AtomicUsize>) {
    let begun = Arc::<AtomicUsize>::default();
    let (registry, counted) = (registry.clone(), begun.clone());
    let late = LateRegistry::new(registry.name().to_owned(), move || {
        let registry = registry.clone();
        counted.fetch_add(1, SeqCst);
        async move {
            sleep(takes).await;
            Ok(registry as _)
        }
    });
    (late, begun)
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_nobody_reads_holds_no_request_up() {
    let (late, begun) = slow(&Moody::named("old"), Duration::from_secs(15));
    let multi = MultiRegistry::connect([late, slow(&Moody::named("new"), Duration::ZERO).0]);
    let multi = multi.await.unwrap();
    let mut watcher = multi.watch(Some("greeter")).await.unwrap();
    // Polled once, and then left where it is.
    assert!(watcher.next().now_or_never().is_none());
    sleep(Duration::from_secs(1)).await;
    multi
        .register(&record("a", "1"), RegisterOptions::default())
        .await
        .unwrap();
    let (found, took) = timed(nodes(&multi)).await;
    assert_eq!((found, took), (vec!["a 1".to_owned()], Duration::ZERO));
    assert_eq!(begun.load(SeqCst), 1);
    drop(watcher);
}

#[tokio::test(start_paused = true)]
async fn one_that_connects_slowly_is_connected_though_nobody_waits_so_long() {
    let old = Moody::named("old");
    let (late, begun) = slow(&old, Duration::from_secs(6));
    for _ in 0..5 {
        let asked = timeout(Duration::from_secs(1), late.get_service("greeter"));
        assert!(asked.await.is_err());
    }
    sleep(Duration::from_secs(2)).await;
    old.put(&record("a", "1")).await;
    assert_eq!(
        timed(nodes(&late)).await,
        (vec!["a 1".to_owned()], Duration::ZERO)
    );
    assert_eq!(begun.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn all_who_wait_are_told_the_failure_and_the_next_one_begins_anew() {
    let begun = Arc::<AtomicUsize>::default();
    let counted = begun.clone();
    let late = LateRegistry::new("old", move || {
        let begun = counted.fetch_add(1, SeqCst);
        async move {
            sleep(Duration::from_secs(1)).await;
            assert!(begun != 1, "the second one panics");
            Err(Error::unavailable("test", "nobody there"))
        }
    });
    for expected in ["nobody there", "interrupted", "nobody there"] {
        let (one, two) = tokio::join!(late.connect(), late.connect());
        for error in [one.err().unwrap(), two.err().unwrap()] {
            assert!(error.detail().contains(expected), "{error}");
        }
    }
    assert_eq!(begun.load(SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn connecting_ends_with_the_registry_and_after_half_a_minute() {
    let alive = Arc::new(());
    let held = alive.clone();
    let late = LateRegistry::new("old", move || {
        let held = held.clone();
        async move {
            let _held = held;
            std::future::pending().await
        }
    });
    let (failed, took) = timed(late.connect()).await;
    assert_eq!(failed.err().unwrap().kind(), ErrorKind::Timeout);
    assert_eq!(took, Duration::from_secs(30));
    let asked = timeout(Duration::from_secs(1), late.connect());
    assert!(asked.await.is_err());
    assert_eq!(Arc::strong_count(&alive), 3);
    drop(late);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(Arc::strong_count(&alive), 1);
}
