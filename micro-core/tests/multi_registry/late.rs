//! Registries that are connected to later, because they are away at first.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use micro_core::registry::LateRegistry;
use micro_core::{Error, ErrorKind};

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
