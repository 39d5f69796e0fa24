//! Cases of what becomes of events that were given out.

use micro_core::broker::SubscribeOptions;

use super::listener::Decision;
use super::subject::BrokerSubject;
use crate::suite::{Outcome, ensure, ensure_eq, needs, soon};

pub(super) async fn an_event_that_is_dropped_undecided_comes_again(subject: BrokerSubject) -> Outcome {
    needs!(subject.traits().redelivers_dropped, "it delivers nothing again");
    needs!(subject.traits().queues, "it has no queues");
    let (topic, queue) = (subject.name("again"), subject.name("workers"));
    let mut dropped = 0;
    let listener = subject
        .join_and(&topic, &queue, move |_| {
            dropped += 1;
            if dropped <= 2 {
                Decision::Drop
            } else {
                Decision::Acknowledge
            }
        })
        .await?;
    subject.settle(&topic, &[&listener]).await?;
    subject.publish(&topic, "x").await?;
    listener.expect(&["x", "x", "x"]).await
}

pub(super) async fn an_event_that_is_dropped_goes_to_another_of_its_queue(subject: BrokerSubject) -> Outcome {
    needs!(subject.traits().redelivers_dropped, "it delivers nothing again");
    needs!(subject.traits().queues, "it has no queues");
    needs!(
        subject.traits().hands_on_dropped,
        "it delivers again to the member that had it"
    );
    let (topic, queue) = (subject.name("another"), subject.name("workers"));
    let broken = subject.join_and(&topic, &queue, |_| Decision::Drop).await?;
    let sound = subject.join(&topic, &queue).await?;
    subject.settle(&topic, &[&broken, &sound]).await?;
    for number in 0..20 {
        subject.publish(&topic, number.to_string()).await?;
    }
    super::sharing::all_arrived(&subject, &[&sound], 20, true).await
}

pub(super) async fn an_acknowledged_event_does_not_come_again(subject: BrokerSubject) -> Outcome {
    let topic = subject.name("once");
    let listener = subject.listen(&topic).await?;
    subject.publish(&topic, "once").await?;
    listener.expect(&["once"]).await?;
    listener.leave().await;
    let again = subject.listen(&topic).await?;
    subject.publish(&topic, "marker").await?;
    again.expect(&["marker"]).await
}

pub(super) async fn a_rejected_event_does_what_the_broker_says(subject: BrokerSubject) -> Outcome {
    let topic = subject.name("rejected");
    let mut is_first = true;
    let options = SubscribeOptions {
        queue: subject.traits().queues.then(|| subject.name("workers").into()),
        ..SubscribeOptions::default()
    };
    let decide = move |message: &micro_core::broker::Message| {
        let reject = message.body == "reject" && std::mem::take(&mut is_first);
        if reject {
            Decision::Reject
        } else {
            Decision::Acknowledge
        }
    };
    let listener = subject
        .subscribe(subject.broker(), &topic, options, decide)
        .await?;
    subject.settle(&topic, &[&listener]).await?;
    subject.publish(&topic, "reject").await?;
    if subject.traits().redelivers_rejected {
        return listener.expect(&["reject", "reject"]).await;
    }
    subject.publish(&topic, "next").await?;
    listener.expect(&["reject", "next"]).await?;
    subject.publish(&topic, "last").await?;
    listener.expect(&["reject", "next", "last"]).await
}

pub(super) async fn one_rejected_event_does_not_hold_up_the_next(subject: BrokerSubject) -> Outcome {
    let topic = subject.name("held");
    let listener = subject
        .subscribe(subject.broker(), &topic, SubscribeOptions::default(), |message| {
            if message.body == "bad" {
                Decision::Reject
            } else {
                Decision::Acknowledge
            }
        })
        .await?;
    subject.settle(&topic, &[&listener]).await?;
    subject.publish(&topic, "bad").await?;
    subject.publish(&topic, "good").await?;
    let arrived = async {
        let mut count = 0;
        loop {
            count += 1;
            let bodies = listener.bodies(count).await?;
            if bodies.iter().any(|body| body == "good") {
                return Ok::<_, crate::suite::Ending>(());
            }
        }
    };
    soon(
        subject.traits().arrives_within,
        "the event behind a rejected one",
        arrived,
    )
    .await?
}

pub(super) async fn several_events_are_given_out_at_once(subject: BrokerSubject) -> Outcome {
    let topic = subject.name("at-once");
    let options = SubscribeOptions {
        concurrency: 3,
        ..SubscribeOptions::default()
    };
    let settled = subject.listen(&topic).await?;
    let mut subscription = subject.broker().subscribe(&topic, options).await?;
    // What was published for settling is not this subscription's affair, and its own settling goes by hand.
    let publisher = tokio::spawn({
        let (subject, topic) = (subject.clone(), topic.clone());
        async move {
            let publish = (0..40).map(|number| {
                let (subject, topic) = (&subject, &topic);
                async move {
                    tokio::time::sleep(std::time::Duration::from_millis(number * 50)).await;
                    subject.publish(topic, number.to_string()).await
                }
            });
            futures_util::future::join_all(publish).await
        }
    });
    let mut held = Vec::new();
    while held.len() < 3 {
        let event = soon(
            subject.traits().arrives_within,
            "a third event while two are undecided",
            subscription.next(),
        )
        .await?;
        match event {
            Some(Ok(event)) => held.push(event),
            Some(Err(_)) => {}
            None => return Err(crate::suite::Ending::failed("the subscription ended")),
        }
    }
    ensure_eq!(held.len(), 3, "the events held");
    for event in held {
        event.acknowledge().await?;
    }
    ensure!(
        settled.count() > 0,
        "the other subscription got nothing meanwhile"
    );
    drop(subscription);
    publisher.abort();
    Ok(())
}
