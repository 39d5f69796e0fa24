//! Registering in all, and taking out of all.

use std::sync::atomic::Ordering::SeqCst;

use micro_core::ErrorKind;
use micro_core::Service;
use micro_core::service::RegistrationOptions;
use micro_core::transport::MemoryTransport;
use tokio::time::sleep;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn all_are_registered_in_at_the_same_time() {
    let (old, new, multi) = both();
    old.slow.store(true, SeqCst);
    new.slow.store(true, SeqCst);
    let (registered, took) = timed(multi.register(&record("a", "1"), lives(MINUTE))).await;
    registered.unwrap();
    assert_eq!(took, Duration::from_secs(1));
    assert_eq!(nodes(&*old).await, ["a 1"]);
    assert_eq!(nodes(&*new).await, ["a 1"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_takes_the_record_is_enough() {
    let (old, new, multi) = both();
    old.go_down();
    multi.register(&record("a", "1"), lives(MINUTE)).await.unwrap();
    assert_eq!(nodes(&*new).await, ["a 1"]);
    new.go_down();
    let error = multi
        .register(&record("a", "1"), lives(MINUTE))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(
        error.detail(),
        "registry old: connection refused; registry new: connection refused"
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_is_waited_for_until_the_limit_or_a_quarter_of_the_time_to_live() {
    let (old, new, multi) = both();
    old.hangs.store(true, SeqCst);
    for (ttl, longest) in [(60_000, 4_000), (2_000, 500)] {
        let ttl = Duration::from_millis(ttl);
        let (registered, took) = timed(multi.register(&record("a", "1"), lives(ttl))).await;
        registered.unwrap();
        assert_eq!(took, Duration::from_millis(longest));
    }
    new.hangs.store(true, SeqCst);
    let (registered, took) = timed(multi.register(&record("a", "1"), lives(MINUTE))).await;
    assert_eq!(registered.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(took, Duration::from_secs(4));
}

#[tokio::test(start_paused = true)]
async fn one_that_always_hangs_does_not_let_the_records_in_the_others_lapse() {
    let (old, new, multi) = both();
    old.hangs.store(true, SeqCst);
    for (ttl, interval) in [(60, 30), (10, 9), (2, 1)] {
        let registration = RegistrationOptions {
            ttl: Duration::from_secs(ttl),
            interval: Duration::from_secs(interval),
            ..RegistrationOptions::default()
        };
        let multi = MultiRegistry::new([old.clone() as _, new.clone() as _]).unwrap();
        let running = Service::builder("greeter")
            .transport(Arc::new(MemoryTransport::new()))
            .registry(Arc::new(multi))
            .registration(registration)
            .build()
            .unwrap()
            .start()
            .await
            .unwrap();
        for _ in 0..ttl * 40 {
            sleep(Duration::from_millis(100)).await;
            assert_eq!(nodes(&*new).await.len(), 1, "registered for {ttl} s");
        }
        running.stop().await.unwrap();
        assert!(new.get_service("greeter").await.is_err());
    }
    drop(multi);
}

#[tokio::test(start_paused = true)]
async fn a_node_is_taken_out_of_all_and_those_that_failed_are_named() {
    let (old, new, multi) = both();
    multi.register(&record("a", "1"), lives(MINUTE)).await.unwrap();
    new.go_down();
    let error = multi.deregister(&record("a", "1")).await.unwrap_err();
    assert_eq!(error.detail(), "registry new: connection refused");
    assert!(old.get_service("greeter").await.is_err());
    new.come_back();
    assert_eq!(nodes(&multi).await, ["a 1"]);
    multi.deregister(&record("a", "1")).await.unwrap();
    assert_eq!(
        multi.get_service("greeter").await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
}
