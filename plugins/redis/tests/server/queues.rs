//! What becomes of events that somebody had.

use std::time::Duration;

use micro_core::broker::{Message, SubscribeOptions};
use micro_core::{Broker, Error};
use micro_redis::{RedisBroker, RedisConfig};
use tokio::time::{Instant, sleep, timeout};

use crate::redis::{PATIENCE, Redis, body, next, publish, queue};

async fn connect_claiming(redis: &Redis, claim_after: Duration) -> RedisBroker {
    let config = RedisConfig {
        claim_after,
        ..redis.config()
    };
    RedisBroker::connect(config).await.unwrap()
}

#[tokio::test]
async fn what_a_dead_subscriber_had_goes_to_another_with_its_count() {
    let Some(redis) = Redis::start().await else { return };
    let broker = connect_claiming(&redis, Duration::from_millis(300)).await;
    let mut member = broker.subscribe("orders", queue("workers", 2)).await.unwrap();
    publish(&broker, "orders", "a").await.unwrap();
    publish(&broker, "orders", "b").await.unwrap();
    assert_eq!(body(&mut member).await, "a");
    assert_eq!(body(&mut member).await, "b");
    // A process takes two, and is killed.
    publish(&broker, "orders", "c").await.unwrap();
    publish(&broker, "orders", "d").await.unwrap();
    drop(member);
    broker.flush().await.unwrap();
    redis
        .say("XREADGROUP GROUP workers dead COUNT 2 STREAMS micro:orders >")
        .await;
    let mut member = broker.subscribe("orders", queue("workers", 2)).await.unwrap();
    for expected in ["c", "d"] {
        let event = next(&mut member).await;
        assert_eq!(event.message().body, expected);
        assert_eq!(event.deliveries(), Some(2));
        event.acknowledge().await.unwrap();
    }
}

#[tokio::test]
async fn what_takes_long_to_handle_is_not_given_to_another() {
    let Some(redis) = Redis::start().await else { return };
    let broker = connect_claiming(&redis, Duration::from_millis(300)).await;
    let mut slow = broker.subscribe("orders", queue("workers", 1)).await.unwrap();
    publish(&broker, "orders", "slow").await.unwrap();
    let held = next(&mut slow).await;
    let mut other = broker.subscribe("orders", queue("workers", 1)).await.unwrap();
    let stolen = timeout(Duration::from_secs(3), other.next()).await;
    assert!(stolen.is_err(), "{stolen:?}");
    held.acknowledge().await.unwrap();
    publish(&broker, "orders", "next").await.unwrap();
    assert_eq!(body(&mut other).await, "next");
}

#[tokio::test]
async fn a_rejected_event_comes_back_at_once_and_then_more_slowly() {
    let Some(redis) = Redis::start().await else { return };
    let broker = redis.connect().await;
    for options in [queue("workers", 1), SubscribeOptions::default()] {
        let mut member = broker.subscribe("orders", options).await.unwrap();
        publish(&broker, "orders", "bad").await.unwrap();
        let begun = Instant::now();
        for count in 1..=3 {
            let event = next(&mut member).await;
            assert_eq!(event.deliveries(), Some(count));
            event.reject(&Error::internal("test", "no")).await.unwrap();
            if count == 2 {
                assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
            }
        }
        assert_eq!(body(&mut member).await, "bad");
    }
}

#[tokio::test]
async fn a_dropped_event_goes_back_though_its_subscription_is_gone() {
    let Some(redis) = Redis::start().await else { return };
    let broker = redis.connect().await;
    let mut leaving = broker.subscribe("orders", queue("workers", 4)).await.unwrap();
    for number in 0..4 {
        publish(&broker, "orders", &number.to_string()).await.unwrap();
    }
    let held = next(&mut leaving).await;
    drop(leaving);
    drop(held);
    broker.flush().await.unwrap();
    let mut member = broker.subscribe("orders", queue("workers", 4)).await.unwrap();
    let mut bodies = Vec::new();
    for _ in 0..4 {
        bodies.push(body(&mut member).await);
    }
    bodies.sort();
    assert_eq!(bodies, ["0", "1", "2", "3"]);
}

#[tokio::test]
async fn no_more_is_taken_than_is_worked_on_at_once() {
    let Some(redis) = Redis::start().await else { return };
    let broker = redis.connect().await;
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
    let pending = redis.say("XPENDING micro:orders workers").await;
    assert!(pending.starts_with("*4\r\n:3\r\n"), "{pending}");
    for event in held {
        event.acknowledge().await.unwrap();
    }
    assert_eq!(body(&mut member).await, "3");
}

#[tokio::test]
async fn draining_ends_soon_and_signs_off() {
    let Some(redis) = Redis::start().await else { return };
    let broker = redis.connect().await;
    let mut member = broker.subscribe("orders", queue("workers", 1)).await.unwrap();
    publish(&broker, "orders", "a").await.unwrap();
    assert_eq!(body(&mut member).await, "a");
    assert!(timeout(Duration::from_millis(50), member.next()).await.is_err());
    let begun = Instant::now();
    member.drain();
    let end = timeout(PATIENCE, member.next()).await.unwrap();
    assert!(end.is_none(), "{end:?}");
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    drop(member);
    broker.flush().await.unwrap();
    assert!(
        redis
            .say("XINFO CONSUMERS micro:orders workers")
            .await
            .starts_with("*0\r\n")
    );
}

#[tokio::test]
async fn a_queue_gets_what_was_published_while_nobody_was_there() {
    let Some(redis) = Redis::start().await else { return };
    let broker = redis.connect().await;
    drop(broker.subscribe("orders", queue("workers", 1)).await.unwrap());
    for number in 0..3 {
        publish(&broker, "orders", &number.to_string()).await.unwrap();
    }
    sleep(Duration::from_millis(10)).await;
    let mut member = broker.subscribe("orders", queue("workers", 1)).await.unwrap();
    let mut bodies = vec![
        body(&mut member).await,
        body(&mut member).await,
        body(&mut member).await,
    ];
    bodies.sort();
    assert_eq!(bodies, ["0", "1", "2"]);
}

#[tokio::test]
async fn channels_have_no_queues_and_tell_when_a_subscriber_is_overrun() {
    let Some(redis) = Redis::start().await else { return };
    let config = RedisConfig {
        pub_sub: true,
        max_pending: 10,
        ..redis.config()
    };
    let broker = RedisBroker::connect(config).await.unwrap();
    let error = broker.subscribe("orders", queue("workers", 1)).await.unwrap_err();
    assert!(
        error.detail().contains("workers") && error.detail().contains("orders"),
        "{error}"
    );
    let mut subscription = broker
        .subscribe("orders", SubscribeOptions::default())
        .await
        .unwrap();
    for number in 0..100 {
        broker
            .publish("orders", Message::new(number.to_string()))
            .await
            .unwrap();
    }
    for number in 0..10 {
        assert_eq!(body(&mut subscription).await, number.to_string());
    }
    // It subscribes again by itself.
    loop {
        publish(&broker, "orders", "later").await.unwrap();
        let event = timeout(Duration::from_millis(100), subscription.next()).await;
        if let Ok(Some(Ok(event))) = event {
            assert_eq!(event.message().body, "later");
            break;
        }
    }
}

#[tokio::test]
async fn as_many_as_there_can_be_may_be_on_their_way() {
    let Some(redis) = Redis::start().await else { return };
    for pub_sub in [false, true] {
        let config = RedisConfig {
            pub_sub,
            max_pending: usize::MAX,
            ..redis.config()
        };
        let broker = RedisBroker::connect(config).await.unwrap();
        let mut subscription = broker
            .subscribe("orders", SubscribeOptions::default())
            .await
            .unwrap();
        publish(&broker, "orders", "x").await.unwrap();
        assert_eq!(body(&mut subscription).await, "x");
    }
}
