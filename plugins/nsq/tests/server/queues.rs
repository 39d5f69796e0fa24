//! What becomes of events that somebody had.

use std::time::Duration;

use micro_core::{Broker, Error};
use micro_nsq::NsqConfig;
use tokio::time::{Instant, timeout};

use crate::nsq::{Nsqd, PATIENCE, body, connect, next, publish, queue};

#[tokio::test]
async fn a_rejected_event_comes_back_later_and_later_with_its_count() {
    let Some(nsqd) = Nsqd::start().await else { return };
    let broker = nsqd.connect().await;
    let mut member = broker.subscribe("orders", queue("workers", 1)).await.unwrap();
    publish(&broker, "orders", "bad").await.unwrap();
    let begun = Instant::now();
    for count in 1..=3 {
        let event = next(&mut member).await;
        assert_eq!(event.deliveries(), Some(count));
        event.reject(&Error::internal("test", "no")).await.unwrap();
    }
    assert_eq!(body(&mut member).await, "bad");
    assert!(
        begun.elapsed() >= Duration::from_millis(600),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn what_takes_long_to_handle_is_not_given_to_another() {
    let Some(nsqd) = Nsqd::start().await else { return };
    let broker = connect(NsqConfig {
        message_timeout: Some(Duration::from_secs(1)),
        ..nsqd.config()
    })
    .await;
    let mut slow = broker.subscribe("orders", queue("workers", 1)).await.unwrap();
    publish(&broker, "orders", "slow").await.unwrap();
    let held = next(&mut slow).await;
    let mut other = broker.subscribe("orders", queue("workers", 1)).await.unwrap();
    let stolen = timeout(Duration::from_secs(3), other.next()).await;
    assert!(stolen.is_err(), "{stolen:?}");
    held.acknowledge().await.unwrap();
    nsqd.until_says("orders", r#""in_flight_count":0"#).await;
    publish(&broker, "orders", "next").await.unwrap();
    let taken = tokio::select! {
        taken = body(&mut other) => taken,
        taken = body(&mut slow) => taken,
    };
    assert_eq!(taken, "next");
}

#[tokio::test]
async fn what_is_on_its_way_to_a_subscription_that_is_dropped_goes_back_at_once() {
    let Some(nsqd) = Nsqd::start().await else { return };
    let broker = nsqd.connect().await;
    for number in 0..100 {
        publish(&broker, "orders", &number.to_string()).await.unwrap();
    }
    for _ in 0..5 {
        drop(broker.subscribe("orders", queue("workers", 50)).await.unwrap());
    }
    let begun = Instant::now();
    let mut member = broker.subscribe("orders", queue("workers", 50)).await.unwrap();
    let numbers: Vec<usize> = (0..100).collect();
    crate::nsq::until_all(&mut member, &numbers, &mut Default::default()).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn no_more_is_taken_than_is_worked_on_at_once() {
    let Some(nsqd) = Nsqd::start().await else { return };
    let broker = nsqd.connect().await;
    let mut member = broker.subscribe("orders", queue("workers", 3)).await.unwrap();
    for number in 0..10 {
        publish(&broker, "orders", &number.to_string()).await.unwrap();
    }
    let held = [
        next(&mut member).await,
        next(&mut member).await,
        next(&mut member).await,
    ];
    let more = timeout(Duration::from_millis(300), member.next()).await;
    assert!(more.is_err(), "a fourth, though three are undecided");
    nsqd.until_says("orders", r#""in_flight_count":3"#).await;
    for event in held {
        event.acknowledge().await.unwrap();
    }
    for _ in 0..7 {
        body(&mut member).await;
    }
}

#[tokio::test]
async fn events_may_be_decided_after_their_subscription_ended() {
    let Some(nsqd) = Nsqd::start().await else { return };
    let broker = nsqd.connect().await;
    let mut member = broker.subscribe("orders", queue("workers", 3)).await.unwrap();
    for number in 0..3 {
        publish(&broker, "orders", &number.to_string()).await.unwrap();
    }
    let (first, second) = (next(&mut member).await, next(&mut member).await);
    nsqd.until_says("orders", r#""in_flight_count":3"#).await;
    member.drain();
    let third = timeout(PATIENCE, member.next()).await.unwrap().unwrap().unwrap();
    assert!(timeout(PATIENCE, member.next()).await.unwrap().is_none());
    drop(member);
    first.acknowledge().await.unwrap();
    second.acknowledge().await.unwrap();
    let dropped = third.message().body.clone();
    drop(third);
    broker.flush().await.unwrap();
    nsqd.until_says("orders", r#""clients":[]"#).await;
    let mut member = broker.subscribe("orders", queue("workers", 3)).await.unwrap();
    assert_eq!(body(&mut member).await.as_bytes(), &dropped[..]);
    assert!(timeout(Duration::from_millis(200), member.next()).await.is_err());
}

#[tokio::test]
async fn a_queue_gets_what_was_published_while_nobody_was_there() {
    let Some(nsqd) = Nsqd::start().await else { return };
    let broker = nsqd.connect().await;
    drop(broker.subscribe("orders", queue("workers", 1)).await.unwrap());
    for number in 0..3 {
        publish(&broker, "orders", &number.to_string()).await.unwrap();
    }
    let mut member = broker.subscribe("orders", queue("workers", 1)).await.unwrap();
    let mut bodies = vec![
        body(&mut member).await,
        body(&mut member).await,
        body(&mut member).await,
    ];
    bodies.sort();
    assert_eq!(bodies, ["0", "1", "2"]);
}
