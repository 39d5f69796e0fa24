//! Members of queues: what they share, and what becomes of events when they come and go.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use micro_core::broker::{SubscribeOptions, Subscription};
use micro_core::{Broker, Error};
use micro_kafka::{Assignment, KafkaBroker, KafkaConfig, NewTopics};
use tokio::time::timeout;

use crate::kafka::{PATIENCE, body, config, connect, name, next, publish, queue, subscribe};

fn many_partitions() -> KafkaConfig {
    KafkaConfig {
        create_topics: Some(NewTopics {
            partitions: Some(4),
            replication: None,
        }),
        ..config()
    }
}

/// Publishes until each of these has got something, and returns what that was.
async fn until_each_gets(broker: &KafkaBroker, topic: &str, members: &mut [Subscription]) -> usize {
    let mut published = 0;
    let mut got = vec![false; members.len()];
    let until = Instant::now() + PATIENCE;
    while !got.iter().all(|got| *got) {
        assert!(Instant::now() < until, "one of the queue gets nothing: {got:?}");
        publish(broker, topic, &published.to_string()).await.unwrap();
        published += 1;
        for (member, got) in members.iter_mut().zip(&mut got) {
            while let Ok(Some(event)) = timeout(Duration::from_millis(20), member.next()).await {
                *got = true;
                event.unwrap().acknowledge().await.unwrap();
            }
        }
    }
    published
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_queue_share_the_partitions_however_they_are_assigned() {
    for assignment in [
        Assignment::CooperativeSticky,
        Assignment::Range,
        Assignment::RoundRobin,
    ] {
        let config = KafkaConfig {
            assignment,
            ..many_partitions()
        };
        let (broker, topic, workers) = (connect(config).await, name("shared"), name("workers"));
        let mut members = [
            subscribe(&broker, &topic, queue(&workers)).await,
            subscribe(&broker, &topic, queue(&workers)).await,
        ];
        until_each_gets(&broker, &topic, &mut members).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shares_in_another_way_is_told_so() {
    let (topic, workers) = (name("ways"), name("workers"));
    let broker = connect(config()).await;
    let _member = subscribe(&broker, &topic, queue(&workers)).await;
    let other = connect(KafkaConfig {
        assignment: Assignment::Range,
        ..config()
    })
    .await;
    let error = other.subscribe(&topic, queue(&workers)).await.unwrap_err();
    assert!(
        error.detail().contains("assignment") && error.detail().contains(&topic),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_without_members_keeps_what_is_published() {
    let (broker, topic, workers) = (connect(config()).await, name("kept"), name("workers"));
    let mut first = subscribe(&broker, &topic, queue(&workers)).await;
    publish(&broker, &topic, "1").await.unwrap();
    assert_eq!(body(&mut first).await, "1");
    drop(first);
    broker.flush().await.unwrap();
    publish(&broker, &topic, "2").await.unwrap();
    let mut second = subscribe(&broker, &topic, queue(&workers)).await;
    assert_eq!(body(&mut second).await, "2", "and 1 does not come again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_begins_when_its_first_member_does_even_if_that_handles_nothing() {
    let (broker, topic, workers) = (connect(many_partitions()).await, name("begun"), name("workers"));
    publish(&broker, &topic, "before").await.unwrap();
    drop(subscribe(&broker, &topic, queue(&workers)).await);
    for number in 0..20 {
        publish(&broker, &topic, &number.to_string()).await.unwrap();
    }
    let mut member = subscribe(&broker, &topic, queue(&workers)).await;
    let mut bodies = BTreeSet::new();
    while bodies.len() < 20 {
        bodies.insert(body(&mut member).await);
    }
    assert!(!bodies.contains("before"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_member_did_not_decide_goes_to_the_next_when_it_leaves() {
    let (broker, topic, workers) = (connect(config()).await, name("left"), name("workers"));
    let mut first = subscribe(
        &broker,
        &topic,
        SubscribeOptions {
            concurrency: 3,
            ..queue(&workers)
        },
    )
    .await;
    for body in ["a", "b", "c"] {
        publish(&broker, &topic, body).await.unwrap();
    }
    let (a, b, c) = (
        next(&mut first).await,
        next(&mut first).await,
        next(&mut first).await,
    );
    a.acknowledge().await.unwrap();
    c.acknowledge().await.unwrap();
    drop(first);
    broker.flush().await.unwrap();
    assert!(b.acknowledge().await.is_err(), "it is too late");
    let mut second = subscribe(&broker, &topic, queue(&workers)).await;
    assert_eq!(body(&mut second).await, "b", "and a does not come again");
    assert_eq!(body(&mut second).await, "c", "which was handled behind b");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_member_commits_what_is_decided_after_its_end() {
    let (broker, topic, workers) = (connect(config()).await, name("draining"), name("workers"));
    let mut first = subscribe(&broker, &topic, queue(&workers)).await;
    publish(&broker, &topic, "a").await.unwrap();
    let held = next(&mut first).await;
    first.drain();
    assert!(first.next().await.is_none());
    drop(first);
    // Long enough for a member that does not wait to be gone.
    tokio::time::sleep(Duration::from_millis(500)).await;
    held.acknowledge().await.unwrap();
    broker.flush().await.unwrap();
    publish(&broker, &topic, "b").await.unwrap();
    let mut second = subscribe(&broker, &topic, queue(&workers)).await;
    assert_eq!(body(&mut second).await, "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_event_is_counted_and_does_not_come_at_once() {
    let (broker, topic) = (connect(config()).await, name("rejected"));
    let mut subscription = subscribe(&broker, &topic, SubscribeOptions::default()).await;
    publish(&broker, &topic, "a").await.unwrap();
    for deliveries in 1..4 {
        let event = next(&mut subscription).await;
        assert_eq!(event.deliveries(), Some(deliveries));
        event.reject(&Error::internal("test", "no")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_added_are_found() {
    let (broker, topic) = (connect(config()).await, name("grown"));
    let mut subscription = subscribe(&broker, &topic, SubscribeOptions::default()).await;
    let admin: rdkafka::admin::AdminClient<_> = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", config().servers.join(","))
        .create()
        .unwrap();
    let more = rdkafka::admin::NewPartitions::new(&topic, 3);
    admin
        .create_partitions(&[more], &rdkafka::admin::AdminOptions::new())
        .await
        .unwrap();
    // Another broker knows them at once.
    let publisher = connect(config()).await;
    for number in 0..60 {
        publish(&publisher, &topic, &number.to_string()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut bodies = BTreeSet::new();
    while bodies.len() < 60 {
        bodies.insert(body(&mut subscription).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_deleted_is_made_again() {
    let (broker, topic, workers) = (connect(config()).await, name("deleted"), name("workers"));
    let mut subscriptions = [
        subscribe(&broker, &topic, SubscribeOptions::default()).await,
        subscribe(&broker, &topic, queue(&workers)).await,
    ];
    for subscription in &mut subscriptions {
        publish(&broker, &topic, "before").await.unwrap();
        assert_eq!(body(subscription).await, "before");
    }
    let admin: rdkafka::admin::AdminClient<_> = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", config().servers.join(","))
        .create()
        .unwrap();
    let options = rdkafka::admin::AdminOptions::new();
    let deleted = admin.delete_topics(&[&topic], &options).await.unwrap();
    assert!(deleted[0].is_ok(), "{deleted:?}");
    for (number, subscription) in subscriptions.iter_mut().enumerate() {
        let mut arrived = false;
        while !arrived {
            let publisher = connect(config()).await;
            publish(&publisher, &topic, &format!("after-{number}"))
                .await
                .unwrap();
            let until = tokio::time::Instant::now() + Duration::from_secs(2);
            while let Ok(Some(event)) = tokio::time::timeout_at(until, subscription.next()).await {
                let Ok(event) = event else { continue };
                arrived |= event.message().body.starts_with(b"after");
                event.acknowledge().await.unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn dropping_a_subscription_does_not_hold_up_the_runtime() {
    let (broker, topic) = (connect(config()).await, name("dropped"));
    let subscription = subscribe(&broker, &topic, SubscribeOptions::default()).await;
    let begun = Instant::now();
    drop(subscription);
    assert!(
        begun.elapsed() < Duration::from_millis(20),
        "{:?}",
        begun.elapsed()
    );
}
