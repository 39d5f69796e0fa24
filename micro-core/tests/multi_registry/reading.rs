//! Registries that only read, beside one that takes records.

use std::sync::atomic::Ordering::SeqCst;

use futures_util::FutureExt;
use micro_core::ErrorKind;
use micro_core::registry::LateRegistry;
use tokio::time::{sleep, timeout};

use super::*;

/// One that takes records, one that only reads and ignores or refuses them, and both as one.
fn with_reader(refuses: bool) -> (Arc<Moody>, Arc<Moody>, MultiRegistry) {
    let (keeper, reader, multi) = both();
    reader.only_reads.store(true, SeqCst);
    reader.refuses.store(refuses, SeqCst);
    (keeper, reader, multi)
}

#[tokio::test(start_paused = true)]
async fn nothing_is_registered_when_only_a_reader_is_there() {
    for refuses in [false, true] {
        let (keeper, _, multi) = with_reader(refuses);
        assert!(multi.takes_registrations());
        let record = record("a", "1");
        let register = || multi.register(&record, RegisterOptions::default());
        register().await.unwrap();
        assert_eq!(nodes(&*keeper).await, ["a 1"]);
        multi.deregister(&record).await.unwrap();
        keeper.go_down();
        assert_eq!(
            register().await.unwrap_err().detail(),
            "registry old: connection refused"
        );
        let error = multi.deregister(&record).await.unwrap_err();
        assert_eq!(error.detail(), "registry old: connection refused");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_is_waited_for_though_a_reader_answered() {
    let (keeper, _, multi) = with_reader(false);
    keeper.slow.store(true, SeqCst);
    multi
        .register(&record("a", "1"), lives(Duration::from_secs(2)))
        .await
        .unwrap();
    assert_eq!(
        nodes(&*keeper).await,
        ["a 1"],
        "later than a quarter of the time to live"
    );
}

#[tokio::test(start_paused = true)]
async fn the_answer_of_readers_counts_when_there_are_no_others() {
    let (keeper, reader, multi) = with_reader(false);
    keeper.only_reads.store(true, SeqCst);
    assert!(!multi.takes_registrations());
    let record = record("a", "1");
    multi.register(&record, RegisterOptions::default()).await.unwrap();
    multi.deregister(&record).await.unwrap();
    reader.refuses.store(true, SeqCst);
    let error = multi
        .register(&record, RegisterOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MethodNotAllowed);
    for error in [
        multi.deregister(&record).await.unwrap_err(),
        multi.list_services().await.unwrap_err(),
        multi.watch(None).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::MethodNotAllowed, "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_is_left_out_of_lists_and_of_watches_of_all() {
    let (keeper, reader, multi) = with_reader(false);
    assert!(multi.list_services().await.unwrap().is_empty());
    let mut watcher = multi.watch(None).await.unwrap();
    keeper.put(&record("a", "1")).await;
    assert_eq!(watcher.next().await.unwrap().service, record("a", "1"));
    let watches = reader.watches.load(SeqCst);
    assert!(
        timeout(Duration::from_secs(60), watcher.next()).await.is_err(),
        "no trouble is told"
    );
    assert_eq!(reader.watches.load(SeqCst), watches, "and it is not tried again");
    assert_eq!(multi.list_services().await.unwrap().len(), 1);
    keeper.go_down();
    assert_eq!(multi.list_services().await.unwrap().len(), 1, "the last list");
    let error = multi.watch(None).await.unwrap_err();
    assert_eq!(error.detail(), "registry old: connection refused");
    reader.put(&record("b", "2")).await;
    assert_eq!(nodes(&multi).await, ["b 2"], "names can be looked up");
}

#[tokio::test(start_paused = true)]
async fn one_that_turns_out_to_be_a_reader_took_nothing() {
    let (keeper, reader, _) = with_reader(false);
    keeper.go_down();
    let late = LateRegistry::new("new", move || {
        let reader = reader.clone();
        async move {
            sleep(Duration::from_secs(1)).await;
            Ok(reader as _)
        }
    });
    assert!(late.takes_registrations());
    let multi = MultiRegistry::new([keeper.clone() as _, Arc::new(late) as _]).unwrap();
    let error = multi
        .register(&record("a", "1"), RegisterOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.detail(), "registry old: connection refused");
}

#[tokio::test(start_paused = true)]
async fn one_that_was_away_and_turns_out_to_be_a_reader_is_not_tried_for_ever() {
    let (keeper, reader, multi) = with_reader(false);
    reader.go_down();
    let mut watcher = multi.watch(None).await.unwrap();
    reader.come_back();
    assert!(watcher.next().await.is_err(), "told once");
    assert!(timeout(Duration::from_secs(60), watcher.next()).await.is_err());
    let watches = reader.watches.load(SeqCst);
    assert!(timeout(Duration::from_secs(60), watcher.next()).await.is_err());
    assert_eq!(reader.watches.load(SeqCst), watches);
    keeper.put(&record("a", "1")).await;
    assert!(watcher.next().now_or_never().unwrap().is_ok());
}
