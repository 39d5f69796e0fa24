//! Cases of subscriptions that end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::sharing::{all_arrived, publish_many};
use super::subject::BrokerSubject;
use crate::suite::{Ending, Outcome, ensure, needs, partly, soon};

pub(super) async fn a_dropped_subscription_gets_no_more(subject: BrokerSubject) -> Outcome {
    let topic = subject.name("dropped");
    let (leaving, staying) = (subject.listen(&topic).await?, subject.listen(&topic).await?);
    subject.settle(&topic, &[&leaving, &staying]).await?;
    let before = leaving.leave().await.len();
    ensure!(before == 0, "events that nobody published");
    for body in ["a", "b"] {
        let publishing = subject.publish(&topic, body);
        soon(
            subject.traits().arrives_within,
            "publishing although a subscription was dropped",
            publishing,
        )
        .await??;
    }
    staying.expect(&["a", "b"]).await
}

pub(super) async fn a_topic_can_be_subscribed_to_again(subject: BrokerSubject) -> Outcome {
    let topic = subject.name("anew");
    for round in ["1", "2", "3"] {
        let listener = subject.listen(&topic).await?;
        subject.publish(&topic, round).await?;
        listener.expect(&[round]).await?;
        listener.leave().await;
    }
    Ok(())
}

pub(super) async fn a_dropped_subscription_leaves_the_others_alone(subject: BrokerSubject) -> Outcome {
    needs!(subject.traits().queues, "it has no queues");
    let (topic, queue) = (subject.name("others"), subject.name("workers"));
    let (leaving, staying) = (
        subject.join(&topic, &queue).await?,
        subject.join(&topic, &queue).await?,
    );
    subject.settle(&topic, &[&leaving, &staying]).await?;
    leaving.leave().await;
    publish_many(&subject, &topic, 0..50).await?;
    if subject.traits().redelivers_dropped {
        all_arrived(&subject, &[&staying], 50, true).await?;
    } else {
        // What was on its way to the one that left is gone with it.
        subject.publish(&topic, "marker").await?;
        staying.bodies(1).await?;
    }
    Ok(())
}

pub(super) async fn a_draining_subscription_ends(subject: BrokerSubject) -> Outcome {
    let topic = subject.name("drained");
    let listener = subject.listen(&topic).await?;
    subject.publish(&topic, "before").await?;
    listener.expect(&["before"]).await?;
    listener.drain();
    listener.ended().await?;
    let publishing = subject.publish(&topic, "after");
    soon(
        subject.traits().arrives_within,
        "publishing although a subscription has drained",
        publishing,
    )
    .await??;
    listener.expect(&["before"]).await
}

/// Publishes numbered events until it is told to stop, and returns how many that were.
async fn publish_until(
    subject: BrokerSubject,
    topic: String,
    stop: Arc<AtomicBool>,
) -> Result<usize, Ending> {
    let mut number = 0;
    while !stop.load(Ordering::Acquire) {
        subject.publish(&topic, number.to_string()).await?;
        number += 1;
        tokio::task::yield_now().await;
    }
    Ok(number)
}

pub(super) async fn a_member_that_drains_loses_nothing_for_its_queue(subject: BrokerSubject) -> Outcome {
    needs!(subject.traits().queues, "it has no queues");
    needs!(
        subject.traits().drains_without_loss,
        "it loses what is on its way to a member that leaves"
    );
    let (topic, queue) = (subject.name("drain"), subject.name("workers"));
    let (leaving, staying) = (
        subject.join(&topic, &queue).await?,
        subject.join(&topic, &queue).await?,
    );
    subject.settle(&topic, &[&leaving, &staying]).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let publisher = tokio::spawn(publish_until(subject.clone(), topic, stop.clone()));
    soon(subject.traits().arrives_within, "the first events", async {
        while leaving.count() + staying.count() < 20 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await?;
    leaving.drain();
    leaving.ended().await?;
    let count = staying.count();
    staying.bodies(count + 20).await?;
    stop.store(true, Ordering::Release);
    let published = publisher
        .await
        .map_err(|problem| Ending::failed(problem.to_string()))??;
    all_arrived(&subject, &[&leaving, &staying], published, true).await
}

pub(super) async fn members_that_come_and_go_lose_nothing_for_their_queue(subject: BrokerSubject) -> Outcome {
    needs!(subject.traits().queues, "it has no queues");
    needs!(
        subject.traits().drains_without_loss,
        "it loses what is on its way to a member that leaves"
    );
    let (topic, queue) = (subject.name("come-and-go"), subject.name("workers"));
    let mut members = vec![subject.join(&topic, &queue).await?];
    let stop = Arc::new(AtomicBool::new(false));
    let publisher = tokio::spawn(publish_until(subject.clone(), topic.clone(), stop.clone()));
    for round in 0..3 {
        members.push(subject.join(&topic, &queue).await?);
        let old = &members[round];
        old.drain();
        old.ended().await?;
    }
    stop.store(true, Ordering::Release);
    let published = publisher
        .await
        .map_err(|problem| Ending::failed(problem.to_string()))??;
    ensure!(published > 0, "nothing was published");
    all_arrived(&subject, &members.iter().collect::<Vec<_>>(), published, true).await
}

pub(super) async fn flushing_with_nothing_to_flush_returns(subject: BrokerSubject) -> Outcome {
    let topic = subject.name("flush");
    let listener = subject.listen(&topic).await?;
    subject.publish(&topic, "x").await?;
    soon(
        subject.traits().arrives_within,
        "flushing",
        subject.broker().flush(),
    )
    .await??;
    listener.expect(&["x"]).await
}

pub(super) async fn dropped_futures_do_no_harm(subject: BrokerSubject) -> Outcome {
    let topic = subject.name("cancelled");
    let listener = subject.listen(&topic).await?;
    for polls in 1..8 {
        partly(subject.publish(&topic, "perhaps"), polls).await;
        partly(subject.broker().subscribe(&topic, Default::default()), polls).await;
    }
    subject.publish(&topic, "surely").await?;
    let arrived = async {
        let mut count = 1;
        while !listener.bodies(count).await?.iter().any(|body| body == "surely") {
            count += 1;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok::<_, Ending>(())
    };
    soon(
        subject.traits().arrives_within,
        "the event behind cancelled ones",
        arrived,
    )
    .await?
}
