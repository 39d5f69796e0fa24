//! Who meets whom, and what they know of each other then.

use std::time::Duration;

use micro_core::ErrorKind;
use micro_core::registry::{Action, RegisterOptions, Registry};
use micro_gossip::{GossipConfig, GossipRegistry};

use tokio::time::{sleep, timeout};

use crate::cluster::{PATIENCE, config, member, nodes, record, register, told, until};

#[tokio::test]
async fn a_joiner_knows_everything_when_it_is_connected() {
    let one = member(&[]).await;
    let two = member(&[one.local_address()]).await;
    register(&one, "one").await;
    register(&two, "two").await;
    until(&one, &["one", "two"]).await;
    let three = member(&[two.local_address()]).await;
    assert_eq!(nodes(&three).await.len(), 2, "at once");
    let listed = three.list_services().await.unwrap();
    assert_eq!(
        (listed[0].name.as_str(), listed[0].version.as_str()),
        ("greeter", "1")
    );
}

#[tokio::test]
async fn what_is_registered_is_seen_by_all_and_said_goodbye_to() {
    let one = member(&[]).await;
    let seeds = [one.local_address()];
    let (two, three) = (member(&seeds).await, member(&seeds).await);
    let mut watchers = Vec::new();
    for registry in [&one, &two, &three] {
        watchers.push(registry.watch(Some("greeter")).await.unwrap());
    }
    register(&two, "two").await;
    for (registry, watcher) in [&one, &two, &three].into_iter().zip(&mut watchers) {
        println!("registered and seen after {:?}", until(registry, &["two"]).await);
        assert_eq!(told(watcher).await, (Action::Create, "two".to_owned()));
    }
    two.deregister(&record("two")).await.unwrap();
    for (registry, watcher) in [&one, &two, &three].into_iter().zip(&mut watchers) {
        println!("deregistered and gone after {:?}", until(registry, &[]).await);
        assert_eq!(told(watcher).await, (Action::Delete, "two".to_owned()));
    }
}

#[tokio::test]
async fn who_closes_is_gone_at_once_and_can_do_no_more() {
    let one = member(&[]).await;
    let two = member(&[one.local_address()]).await;
    register(&two, "two").await;
    until(&one, &["two"]).await;
    let mut watcher = two.watch(None).await.unwrap();
    two.close().await;
    println!("closed and gone after {:?}", until(&one, &[]).await);
    two.close().await;
    for error in [
        two.get_service("greeter").await.unwrap_err(),
        two.register(&record("two"), RegisterOptions::default())
            .await
            .unwrap_err(),
        two.watch(None).await.unwrap_err(),
    ] {
        assert!(error.detail().contains("closed"), "{error}");
    }
    let ended = async {
        // What it saw of the goodbye may come before.
        while let Ok(change) = watcher.next().await {
            assert_eq!(change.action, Action::Delete);
        }
        let error = watcher.next().await.unwrap_err();
        assert!(error.detail().contains("watcher stopped"), "{error}");
    };
    timeout(PATIENCE, ended).await.unwrap();
    let three = GossipRegistry::connect(GossipConfig {
        listen: Some(two.local_address()),
        ..config(&[])
    });
    three.await.expect("its address is free again");
}

#[tokio::test]
async fn members_that_name_each_other_may_begin_in_any_order() {
    let reserved = [0; 2].map(|_| std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    let addresses = reserved.each_ref().map(|socket| socket.local_addr().unwrap());
    drop(reserved);
    let begin = |at| {
        GossipRegistry::connect(GossipConfig {
            listen: Some(at),
            ..config(&addresses)
        })
    };
    let (one, two) = tokio::join!(begin(addresses[0]), begin(addresses[1]));
    let (one, two) = (one.unwrap(), two.unwrap());
    register(&one, "one").await;
    until(&two, &["one"]).await;
}

#[tokio::test]
async fn without_a_seed_that_answers_it_begins_alone_and_meets_it_later() {
    let reserved = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let seed = reserved.local_addr().unwrap();
    let alone = GossipRegistry::connect(GossipConfig {
        join_timeout: Duration::from_millis(300),
        ..config(&[seed])
    });
    let alone = alone.await.unwrap();
    register(&alone, "alone").await;
    drop(reserved);
    let late = GossipRegistry::connect(GossipConfig {
        listen: Some(seed),
        ..config(&[])
    });
    until(&late.await.unwrap(), &["alone"]).await;
}

#[tokio::test]
async fn another_cluster_is_another_world() {
    let one = member(&[]).await;
    register(&one, "one").await;
    let other = GossipRegistry::connect(GossipConfig {
        cluster: "other".to_owned(),
        join_timeout: Duration::from_millis(500),
        ..config(&[one.local_address()])
    });
    let other = other.await.unwrap();
    let error = other.get_service("greeter").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let one = member(&[]).await;
    let error = GossipRegistry::connect(GossipConfig {
        listen: Some(one.local_address()),
        ..config(&[])
    });
    let error = error.await.unwrap_err();
    assert!(
        error.detail().contains(&one.local_address().to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn the_last_one_who_registers_a_node_counts() {
    let one = member(&[]).await;
    let two = member(&[one.local_address()]).await;
    register(&one, "same").await;
    let mut moved = record("same");
    moved.nodes[0].address = "127.0.0.1:2".to_owned();
    two.register(&moved, RegisterOptions::default()).await.unwrap();
    until_at(&one, "127.0.0.1:2").await;
    two.deregister(&moved).await.unwrap();
    until_at(&one, "127.0.0.1:9101").await;
}

async fn until_at(registry: &GossipRegistry, address: &str) {
    let there = async {
        loop {
            let found = registry.get_service("greeter").await.unwrap();
            assert_eq!(found[0].nodes.len(), 1);
            if found[0].nodes[0].address == address {
                return;
            }
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, there).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_that_are_left_waiting_keep_nobody_out() {
    let one = member(&[]).await;
    let two = member(&[one.local_address()]).await;
    let mut watchers = Vec::new();
    for _ in 0..20 {
        watchers.push(one.watch(None).await.unwrap());
    }
    let registering = async {
        for round in 0..200 {
            let node = round.to_string();
            register(&one, &node).await;
            register(&two, &format!("other-{node}")).await;
            for watcher in &mut watchers {
                // Polled once, and then left where it is.
                let _ = timeout(Duration::ZERO, watcher.next()).await;
            }
        }
    };
    timeout(PATIENCE, registering)
        .await
        .expect("nobody waits for a watcher");
}
