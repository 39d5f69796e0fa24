//! Cases about what becomes of subscriptions when their server goes.

use micro_core::broker::SubscribeOptions;
use tokio::time::timeout;

use super::subject::{OutageSubject, next};
use crate::suite::outage::{self, WATCHED};
use crate::suite::{Ending, Outcome, ensure, soon};

const SUBSCRIPTIONS: usize = 20;
/// How often a connection is cut right before somebody subscribes.
const CUTS: usize = 5;

pub(super) async fn a_subscription_comes_back_after_a_cut(subject: OutageSubject) -> Outcome {
    for (tail, options) in [
        ("alone", SubscribeOptions::default()),
        ("shared", subject.queue()),
    ] {
        let topic = subject.through.name(tail);
        let mut subscription = subject.subscribe(&topic, options).await?;
        for _ in 0..3 {
            subject.proxy().await.cut().await;
            subject.mend().await?;
            subject
                .until_an_event(&topic, &mut subscription, subject.traits.works_within)
                .await?;
        }
    }
    Ok(())
}

pub(super) async fn subscribing_works_over_a_connection_just_cut(subject: OutageSubject) -> Outcome {
    for (tail, options) in [
        ("alone", SubscribeOptions::default()),
        ("shared", subject.queue()),
    ] {
        for number in 0..CUTS {
            let topic = subject.through.name(&format!("{tail}-{number}"));
            // The broker has a connection, which it does not yet know to be gone.
            subject.through.publish(&topic, "before").await?;
            subject.proxy().await.cut().await;
            subject.mend().await?;
            let mut subscription = subject.subscribe(&topic, options.clone()).await?;
            subject
                .until_an_event(&topic, &mut subscription, subject.traits.works_within)
                .await?;
        }
    }
    Ok(())
}

pub(super) async fn a_subscription_tells_little_of_an_outage(subject: OutageSubject) -> Outcome {
    let topic = subject.through.name("told");
    let mut subscription = subject.subscribe(&topic, SubscribeOptions::default()).await?;
    subject.proxy().await.cut().await;
    let mut told = 0;
    let reading = async {
        loop {
            match subscription.next().await {
                Some(Err(_)) => told += 1,
                Some(Ok(_)) => {}
                None => return,
            }
        }
    };
    let ended = timeout(WATCHED, reading).await.is_ok();
    ensure!(!ended, "the subscription ended because its server is away");
    ensure!(told <= 1, "one outage was told {told} times");
    subject.mend().await?;
    subject
        .until_an_event(&topic, &mut subscription, subject.traits.works_within)
        .await
}

pub(super) async fn a_server_that_hangs_up_is_not_asked_without_pause(subject: OutageSubject) -> Outcome {
    let topic = subject.through.name("hung-up");
    let mut subscription = subject.subscribe(&topic, SubscribeOptions::default()).await?;
    let asked = subject.hang_up(next(&mut subscription)).await?;
    ensure!(asked > 0, "the subscription does not try to come back");
    subject.mend().await?;
    subject
        .until_an_event(&topic, &mut subscription, subject.traits.works_within)
        .await
}

pub(super) async fn a_connection_that_fell_silent_is_noticed(subject: OutageSubject) -> Outcome {
    let topic = subject.through.name("forgotten");
    let mut subscription = subject.subscribe(&topic, SubscribeOptions::default()).await?;
    subject.proxy().await.forget();
    subject
        .until_an_event(&topic, &mut subscription, subject.traits.notices_within)
        .await
}

pub(super) async fn dropped_subscriptions_close_what_they_opened(subject: OutageSubject) -> Outcome {
    let topic = subject.through.name("dropped");
    let before = subject.proxy().await.connections();
    let mut subscriptions = Vec::new();
    for _ in 0..SUBSCRIPTIONS {
        subscriptions.push(subject.subscribe(&topic, SubscribeOptions::default()).await?);
    }
    drop(subscriptions);
    subject.closes(before).await
}

pub(super) async fn draining_ends_while_the_server_is_away(subject: OutageSubject) -> Outcome {
    let topic = subject.through.name("leaving");
    let mut subscription = subject.subscribe(&topic, subject.queue()).await?;
    subject.proxy().await.cut().await;
    subscription.drain();
    let ended = async { while subscription.next().await.is_some() {} };
    soon(
        subject.traits.fails_within,
        "a draining subscription ends without its server",
        ended,
    )
    .await
}

pub(super) async fn nobody_there_is_told_by_address(subject: OutageSubject) -> Outcome {
    subject.proxy().await.cut().await;
    let connecting = (subject.connect)();
    let failed = soon(subject.traits.fails_within, "connecting", connecting).await?;
    let Err(failure) = failed else {
        return Err(Ending::failed("connected to nobody"));
    };
    outage::names_address(&failure.to_string(), subject.address)
}
