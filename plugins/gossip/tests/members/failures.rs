//! Members that die, are cut off, and come back.

use std::time::Duration;

use micro_core::registry::{Action, Registry};
use micro_gossip::{GossipConfig, GossipRegistry};
use tokio::time::{Instant, timeout};

use crate::cluster::{PATIENCE, config, member, nodes, register, told, until};

#[tokio::test]
async fn a_member_that_dies_takes_its_nodes_along() {
    let one = member(&[]).await;
    let seeds = [one.local_address()];
    let (two, three) = (member(&seeds).await, member(&seeds).await);
    for (registry, node) in [(&one, "one"), (&two, "two"), (&three, "three")] {
        register(registry, node).await;
    }
    for registry in [&one, &two, &three] {
        until(registry, &["one", "two", "three"]).await;
    }
    let mut watcher = one.watch(None).await.unwrap();
    let began = Instant::now();
    drop(three);
    assert_eq!(told(&mut watcher).await, (Action::Delete, "three".to_owned()));
    println!(
        "dead and gone after {:?}, with a failure timeout of 2 s",
        began.elapsed()
    );
    until(&two, &["one", "two"]).await;
    let late = member(&seeds).await;
    assert_eq!(
        nodes(&late).await.len(),
        2,
        "whoever joins now does not see it either"
    );
}

#[tokio::test]
async fn parts_that_were_cut_off_agree_again() {
    let one = member(&[]).await;
    let seeds = [one.local_address()];
    let (two, cut) = (member(&seeds).await, member(&seeds).await);
    for (registry, node) in [(&one, "one"), (&two, "two"), (&cut, "cut")] {
        register(registry, node).await;
    }
    for registry in [&one, &two, &cut] {
        until(registry, &["one", "two", "cut"]).await;
    }
    cut.cut_off(true);
    println!("cut off and gone after {:?}", until(&one, &["one", "two"]).await);
    until(&cut, &["cut"]).await;
    register(&cut, "meanwhile").await;
    two.deregister(&crate::cluster::record("two")).await.unwrap();
    let mut watcher = cut.watch(Some("greeter")).await.unwrap();
    cut.cut_off(false);
    for registry in [&one, &two, &cut] {
        println!(
            "healed after {:?}",
            until(registry, &["one", "cut", "meanwhile"]).await
        );
    }
    assert_eq!(told(&mut watcher).await, (Action::Create, "one".to_owned()));
}

#[tokio::test]
async fn a_member_that_is_begun_again_at_its_address_replaces_the_former() {
    let one = member(&[]).await;
    let seeds = [one.local_address()];
    let former = member(&seeds).await;
    let at = former.local_address();
    register(&former, "former").await;
    until(&one, &["former"]).await;
    drop(former);
    let began = Instant::now();
    let again = loop {
        let config = GossipConfig {
            listen: Some(at),
            failure_timeout: Duration::from_secs(20),
            ..config(&seeds)
        };
        match GossipRegistry::connect(config).await {
            Ok(again) => break again,
            // The former gives its socket back when its task is dropped.
            Err(_) => tokio::task::yield_now().await,
        }
    };
    register(&again, "again").await;
    until(&one, &["again"]).await;
    println!("replaced after {:?}", began.elapsed());
}

#[tokio::test]
async fn a_dropped_registry_frees_its_socket_and_its_watchers_keep_it() {
    let registry = member(&[]).await;
    let at = registry.local_address();
    let mut watcher = registry.watch(None).await.unwrap();
    drop(registry);
    assert!(timeout(Duration::from_millis(300), watcher.next()).await.is_err());
    assert!(std::net::UdpSocket::bind(at).is_err());
    drop(watcher);
    let free = async {
        while std::net::UdpSocket::bind(at).is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, free).await.unwrap();
}
