//! Cases of events on their way.

use micro_core::broker::Message;

use super::listener::Decision;
use super::subject::{BrokerSubject, publish};
use crate::suite::{Outcome, ensure, ensure_eq, needs, soon};

pub(super) async fn it_says_its_name(subject: BrokerSubject) -> Outcome {
    let name = subject.broker().name();
    ensure!(
        !name.is_empty() && !name.contains(char::is_whitespace),
        "{name:?} is no name for a flag"
    );
    Ok(())
}

pub(super) async fn that_nobody_is_subscribed_is_no_failure(subject: BrokerSubject) -> Outcome {
    let topic = subject.name("nobody");
    let publishing = subject.publish(&topic, "x");
    soon(
        subject.traits().arrives_within,
        "publishing to nobody",
        publishing,
    )
    .await??;
    Ok(())
}

pub(super) async fn an_event_arrives_as_it_was_published(subject: BrokerSubject) -> Outcome {
    let topic = subject.name("whole");
    let listener = subject.listen(&topic).await?;
    let body: Vec<u8> = (0..=255).collect();
    subject.publish(&topic, body.clone()).await?;
    let arrived = listener.bodies(1).await?;
    ensure_eq!(arrived, [body], "the body");
    Ok(())
}

pub(super) async fn an_empty_body_arrives_empty(subject: BrokerSubject) -> Outcome {
    let topic = subject.name("empty");
    let listener = subject.listen(&topic).await?;
    subject.publish(&topic, "").await?;
    listener.expect(&[""]).await
}

pub(super) async fn a_large_body_arrives_whole(subject: BrokerSubject) -> Outcome {
    let topic = subject.name("large");
    let listener = subject.listen(&topic).await?;
    let body: Vec<u8> = (0..subject.traits().max_body)
        .map(|index| (index % 251) as u8)
        .collect();
    subject.publish(&topic, body.clone()).await?;
    let arrived = listener.bodies(1).await?;
    ensure!(arrived == [body], "the body changed on its way");
    Ok(())
}

pub(super) async fn headers_arrive_with_their_event(subject: BrokerSubject) -> Outcome {
    needs!(subject.traits().carries_headers, "it carries no headers");
    let topic = subject.name("headers");
    let listener = subject.listen(&topic).await?;
    for number in ["1", "2"] {
        let message = Message::new(number)
            .with_header("Content-Type", "text/x-testkit")
            .with_header("Number", number)
            .with_header("Words", "grüße, \"quoted\"\\");
        subject.broker().publish(&topic, message).await?;
    }
    for message in listener.messages(2).await? {
        let header = |name| message.header.get(name);
        ensure_eq!(
            header("content-type"),
            Some("text/x-testkit"),
            "a header by another case"
        );
        ensure_eq!(
            header("Number").map(str::as_bytes),
            Some(&message.body[..]),
            "the header of this very event"
        );
        ensure_eq!(
            header("Words"),
            Some("grüße, \"quoted\"\\"),
            "a header of many kinds of characters"
        );
    }
    Ok(())
}

pub(super) async fn events_of_one_publisher_arrive_in_order(subject: BrokerSubject) -> Outcome {
    let topic = subject.name("order");
    let listener = subject.listen(&topic).await?;
    let bodies: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    for body in &bodies {
        subject.publish(&topic, body.clone()).await?;
    }
    ensure_eq!(listener.bodies(bodies.len()).await?, bodies, "the events");
    Ok(())
}

pub(super) async fn topics_are_told_apart(subject: BrokerSubject) -> Outcome {
    let (one, other) = (subject.name("one"), subject.name("one.more"));
    let (first, second) = (subject.listen(&one).await?, subject.listen(&other).await?);
    subject.publish(&one, "a").await?;
    subject.publish(&other, "b").await?;
    subject.publish(&one, "c").await?;
    first.expect(&["a", "c"]).await?;
    second.expect(&["b"]).await
}

pub(super) async fn topics_of_any_kind_work_or_are_refused_by_name(subject: BrokerSubject) -> Outcome {
    for tail in [
        "UPPER",
        "dash-and_underscore",
        "with space",
        "slash/and:colon",
        "grüße",
        "*",
        "#",
        "a..b",
    ] {
        let topic = subject.name(tail);
        let subscribed = subject.broker().subscribe(&topic, Default::default()).await;
        let error = match subscribed {
            Ok(subscription) => {
                drop(subscription);
                let listener = subject.listen(&topic).await;
                let Ok(listener) = listener else {
                    // Perhaps publishing is what is refused.
                    match subject.publish(&topic, "x").await {
                        Ok(()) => listener.map(drop)?,
                        Err(error) => {
                            ensure!(
                                error.detail().contains(&topic),
                                "the refusal does not name {topic:?}: {error}"
                            );
                        }
                    }
                    continue;
                };
                subject.publish(&topic, tail).await?;
                listener.expect(&[tail]).await?;
                continue;
            }
            Err(error) => error,
        };
        ensure!(
            error.detail().contains(&topic),
            "the refusal does not name {topic:?}: {error}"
        );
    }
    Ok(())
}

pub(super) async fn what_one_instance_publishes_another_gets(subject: BrokerSubject) -> Outcome {
    needs!(subject.traits().shared, "instances know nothing of each other");
    let topic = subject.name("instances");
    let other = subject.another().await?;
    let listener = subject
        .subscribe(&other, &topic, Default::default(), |_| Decision::Acknowledge)
        .await?;
    subject.settle(&topic, &[&listener]).await?;
    publish(&**subject.broker(), &topic, "here").await?;
    listener.expect(&["here"]).await
}
