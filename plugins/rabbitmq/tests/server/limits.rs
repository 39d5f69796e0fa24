//! What is too large, too long or too many; and the options of queues.

use std::time::Duration;

use futures_util::future::join_all;
use micro_core::broker::{Broker, Message, SubscribeOptions};
use micro_core::{Error, ErrorKind};
use micro_rabbitmq::Durable;

use crate::shared::{at, body, connect, name, next, publish, shared, subscribe};

#[tokio::test]
async fn what_is_too_large_or_too_long_is_refused_by_name() {
    let mut config = at(shared());
    config.max_message = 10;
    let broker = connect(config).await;
    let error = broker
        .publish("orders", Message::new("01234567890"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    assert!(error.detail().contains("max_message"), "{error}");
    let topic = "t".repeat(256);
    let published = broker.publish(&topic, Message::new("x")).await.map(drop);
    let subscribed = broker
        .subscribe(&topic, SubscribeOptions::default())
        .await
        .map(drop);
    for refused in [published, subscribed] {
        let error = refused.unwrap_err();
        assert!(
            error.kind() == ErrorKind::BadRequest && error.detail().contains(&topic),
            "{error}"
        );
    }
}

/// RabbitMQ closes the channel of whoever sends a body past its own limit; the others' messages get through.
#[tokio::test]
async fn a_message_that_rabbitmq_refuses_fails_alone() {
    let Some(server) =
        servers::start_with_or_skip(servers::Kind::Rabbitmq, &["max_message_size = 1000"]).await
    else {
        return;
    };
    let broker = connect(at(server.address())).await;
    let mut subscription = subscribe(&broker, "orders", None).await;
    let small = (0..50).map(|number| broker.publish("orders", Message::new(number.to_string())));
    let (small, large) = tokio::join!(
        join_all(small),
        broker.publish("orders", Message::new(vec![0; 2000]))
    );
    assert!(small.into_iter().all(|published| published.is_ok()));
    let error = large.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    assert!(error.detail().contains("max_message_size"), "{error}");
    assert!(!body(&mut subscription).await.is_empty());
}

#[tokio::test]
async fn many_more_messages_than_may_be_on_their_way_just_take_longer() {
    let mut config = at(shared());
    config.max_pending = 4;
    let broker = connect(config).await;
    let topic = name("many");
    let mut subscription = subscribe(&broker, &topic, None).await;
    let all = (0..300).map(|number| broker.publish(&topic, Message::new(number.to_string())));
    assert!(join_all(all).await.into_iter().all(|published| published.is_ok()));
    for _ in 0..300 {
        body(&mut subscription).await;
    }
}

#[tokio::test]
async fn patterns_cover_many_topics_and_events_say_theirs() {
    let broker = connect(at(shared())).await;
    let topic = name("orders");
    let mut subscription = subscribe(&broker, &format!("{topic}.*"), Some(&name("workers"))).await;
    publish(&broker, &format!("{topic}.new"), "x").await;
    let event = next(&mut subscription).await;
    assert_eq!(**event.topic(), format!("{topic}.new"));
    assert_eq!(event.deliveries(), Some(1));
    drop(event);
    assert_eq!(next(&mut subscription).await.deliveries(), Some(2));
}

#[tokio::test]
async fn rejected_events_go_to_the_dead_letter_exchange_or_come_again() {
    let (topic, letters) = (name("orders"), name("letters"));
    let mut config = at(shared());
    config.exchange = Some(letters.clone());
    let dead = connect(config).await;
    let mut put_aside = subscribe(&dead, &topic, None).await;
    let mut config = at(shared());
    config.queues.dead_letter_exchange = Some(letters);
    let broker = connect(config).await;
    let mut subscription = subscribe(&broker, &topic, None).await;
    publish(&broker, &topic, "x").await;
    let event = next(&mut subscription).await;
    event.reject(&Error::bad_request("test", "no")).await.unwrap();
    assert_eq!(body(&mut put_aside).await, "x");

    let mut config = at(shared());
    config.requeue_rejected = true;
    let broker = connect(config).await;
    let topic = name("again");
    let mut subscription = subscribe(&broker, &topic, None).await;
    publish(&broker, &topic, "x").await;
    let event = next(&mut subscription).await;
    event.reject(&Error::bad_request("test", "no")).await.unwrap();
    assert_eq!(body(&mut subscription).await, "x");
}

#[tokio::test]
async fn quorum_queues_count_how_often_an_event_was_given_out() {
    let Some(server) = servers::start_or_skip(servers::Kind::Rabbitmq).await else {
        return;
    };
    let mut config = at(server.address());
    config.durable = Durable::ALL;
    config.queues.quorum = true;
    let broker = connect(config).await;
    let mut subscription = subscribe(&broker, "orders", Some("workers")).await;
    publish(&broker, "orders", "x").await;
    for count in 1..5 {
        assert_eq!(next(&mut subscription).await.deliveries(), Some(count));
    }
}

#[tokio::test]
async fn without_an_exchange_a_topic_is_a_queue() {
    let mut config = at(shared());
    config.exchange = None;
    let broker = connect(config).await;
    let topic = name("queue");
    let mut subscription = subscribe(&broker, &topic, None).await;
    publish(&broker, &topic, "x").await;
    assert_eq!(body(&mut subscription).await, "x");
    let options = SubscribeOptions {
        queue: Some("workers".into()),
        ..SubscribeOptions::default()
    };
    let error = broker.subscribe(&topic, options).await.unwrap_err();
    assert!(error.detail().contains("without an exchange"), "{error}");
}

#[tokio::test]
async fn without_confirmations_messages_arrive_as_well() {
    let mut config = at(shared());
    config.confirms = false;
    let broker = connect(config).await;
    let topic = name("unconfirmed");
    let mut subscription = subscribe(&broker, &topic, None).await;
    publish(&broker, &topic, "x").await;
    assert_eq!(body(&mut subscription).await, "x");
}

/// Two services that call their queues alike share one at RabbitMQ, as in Go Micro; unlike there, each event still ends
/// at a subscriber of its topic.
#[tokio::test]
async fn an_event_of_another_topic_in_the_same_queue_finds_its_subscriber() {
    let (one, other) = (connect(at(shared())).await, connect(at(shared())).await);
    let (orders, mails, queue) = (name("orders"), name("mails"), name("workers"));
    let of_orders = subscribe(&one, &orders, Some(&queue)).await;
    let of_mails = subscribe(&other, &mails, Some(&queue)).await;
    // Both read on, so that what is given back reaches the other.
    let (arrived, mut arriving) = tokio::sync::mpsc::channel(10);
    let reading = [(of_orders, "order"), (of_mails, "mail")].map(|(mut subscription, expected)| {
        let arrived = arrived.clone();
        tokio::spawn(async move {
            loop {
                assert_eq!(body(&mut subscription).await, expected);
                let _ = arrived.send(()).await;
            }
        })
    });
    for _ in 0..5 {
        publish(&one, &orders, "order").await;
        publish(&one, &mails, "mail").await;
    }
    for _ in 0..10 {
        let arrived = tokio::time::timeout(Duration::from_secs(30), arriving.recv()).await;
        assert!(arrived.unwrap().is_some());
    }
    for task in reading {
        task.abort();
    }
}
