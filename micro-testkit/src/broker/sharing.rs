//! Cases of who gets which events.

use std::collections::BTreeSet;

use futures_util::future::try_join_all;

use super::listener::Listener;
use super::subject::BrokerSubject;
use crate::suite::{Ending, Outcome, ensure, ensure_eq, needs, soon};

/// Publishes numbered events; their bodies are the numbers.
pub(super) async fn publish_many(
    subject: &BrokerSubject,
    topic: &str,
    numbers: std::ops::Range<usize>,
) -> Result<(), Ending> {
    for number in numbers {
        subject.publish(topic, number.to_string()).await?;
    }
    Ok(())
}

/// Waits until these have got all numbers up to `count` together, and fails when one came twice although none may.
pub(super) async fn all_arrived(
    subject: &BrokerSubject,
    listeners: &[&Listener],
    count: usize,
    may_repeat: bool,
) -> Result<(), Ending> {
    let wanted: BTreeSet<String> = (0..count).map(|number| number.to_string()).collect();
    let deadline = tokio::time::Instant::now() + subject.traits().arrives_within;
    loop {
        let mut found = Vec::new();
        for listener in listeners {
            let bodies = listener.bodies(0).await?;
            found.extend(
                bodies
                    .iter()
                    .map(|body| String::from_utf8_lossy(body).into_owned()),
            );
        }
        let distinct: BTreeSet<String> = found.iter().cloned().collect();
        if wanted.is_subset(&distinct) {
            ensure!(
                may_repeat || found.len() == count,
                "{count} events were published, {} arrived: some came twice",
                found.len()
            );
            return Ok(());
        }
        ensure!(
            tokio::time::Instant::now() < deadline,
            "of {count} events these did not arrive: {:?}",
            wanted.difference(&distinct).take(10).collect::<Vec<_>>()
        );
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

pub(super) async fn every_subscription_gets_every_event(subject: BrokerSubject) -> Outcome {
    let topic = subject.name("everyone");
    let listeners = [
        subject.listen(&topic).await?,
        subject.listen(&topic).await?,
        subject.listen(&topic).await?,
    ];
    subject.settle(&topic, &listeners.each_ref()).await?;
    for body in ["a", "b"] {
        subject.publish(&topic, body).await?;
    }
    for listener in &listeners {
        listener.expect(&["a", "b"]).await?;
    }
    Ok(())
}

pub(super) async fn a_queue_shares_its_events(subject: BrokerSubject) -> Outcome {
    needs!(subject.traits().queues, "it has no queues");
    let (topic, queue) = (subject.name("shared"), subject.name("workers"));
    let (one, other) = (
        subject.join(&topic, &queue).await?,
        subject.join(&topic, &queue).await?,
    );
    subject.settle(&topic, &[&one, &other]).await?;
    publish_many(&subject, &topic, 0..100).await?;
    all_arrived(&subject, &[&one, &other], 100, false).await
}

pub(super) async fn queues_get_their_own_copies(subject: BrokerSubject) -> Outcome {
    needs!(subject.traits().queues, "it has no queues");
    let topic = subject.name("copies");
    let one = subject.join(&topic, &subject.name("one")).await?;
    let other = subject.join(&topic, &subject.name("other")).await?;
    let alone = subject.listen(&topic).await?;
    subject.settle(&topic, &[&one, &other, &alone]).await?;
    for body in ["a", "b", "c"] {
        subject.publish(&topic, body).await?;
    }
    for listener in [&one, &other, &alone] {
        listener.expect(&["a", "b", "c"]).await?;
    }
    Ok(())
}

pub(super) async fn a_queue_of_another_topic_is_another_queue(subject: BrokerSubject) -> Outcome {
    needs!(subject.traits().queues, "it has no queues");
    let queue = subject.name("same");
    let (here, there) = (subject.name("here"), subject.name("there"));
    let (one, other) = (
        subject.join(&here, &queue).await?,
        subject.join(&there, &queue).await?,
    );
    subject.publish(&here, "here").await?;
    subject.publish(&there, "there").await?;
    one.expect(&["here"]).await?;
    other.expect(&["there"]).await
}

pub(super) async fn a_late_member_of_a_queue_shares_in_it(subject: BrokerSubject) -> Outcome {
    needs!(subject.traits().queues, "it has no queues");
    needs!(subject.traits().spreads, "one of its subscribers may take all");
    let (topic, queue) = (subject.name("late"), subject.name("workers"));
    let early = subject.join(&topic, &queue).await?;
    publish_many(&subject, &topic, 0..10).await?;
    all_arrived(&subject, &[&early], 10, false).await?;
    let late = subject.join(&topic, &queue).await?;
    subject.settle(&topic, &[&early, &late]).await?;
    let shared = async {
        let mut published = 10;
        while late.count() == 0 {
            publish_many(&subject, &topic, published..published + 10).await?;
            published += 10;
            all_arrived(&subject, &[&early, &late], published, false).await?;
        }
        Ok::<_, Ending>(())
    };
    soon(
        subject.traits().arrives_within,
        "an event for the late member",
        shared,
    )
    .await?
}

pub(super) async fn many_publishers_and_subscribers_lose_nothing(subject: BrokerSubject) -> Outcome {
    let topic = subject.name("many");
    let mut listeners = Vec::new();
    for _ in 0..4 {
        listeners.push(subject.listen(&topic).await?);
    }
    subject
        .settle(&topic, &listeners.iter().collect::<Vec<_>>())
        .await?;
    let publishers = (0..8).map(|publisher| {
        let (subject, topic) = (subject.clone(), topic.clone());
        async move { publish_many(&subject, &topic, publisher * 50..(publisher + 1) * 50).await }
    });
    try_join_all(publishers).await?;
    for listener in &listeners {
        all_arrived(&subject, &[listener], 400, false).await?;
        ensure_eq!(listener.count(), 400, "the events of one subscription");
    }
    Ok(())
}
