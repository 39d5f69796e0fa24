//! Cases about what becomes of events when their server goes.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use micro_core::Broker;
use micro_core::broker::Subscription;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::subject::{OutageSubject, next};
use crate::broker::subject::publish;
use crate::suite::{Ending, Outcome, ensure, needs, soon};

/// How often connections are cut while events flow.
const CUTS: usize = 5;
const BETWEEN_CUTS: Duration = Duration::from_millis(300);
const PUBLISHERS: usize = 8;

pub(super) async fn what_is_published_in_a_short_cut_arrives_or_fails(subject: OutageSubject) -> Outcome {
    needs!(subject.traits.keeps, "it may lose what it accepted");
    let topic = subject.through.name("short");
    let mut subscription = subject.subscribe(&topic, subject.queue()).await?;
    subject
        .until_an_event(&topic, &mut subscription, subject.traits.works_within)
        .await?;
    subject.proxy().await.cut().await;
    let publishing = subject.through.publish(&topic, "meanwhile");
    let mending = async {
        sleep(Duration::from_millis(300)).await;
        subject.mend().await
    };
    let (published, mended) = tokio::join!(publishing, mending);
    mended?;
    published?;
    let arrived = async {
        loop {
            let mut event = next(&mut subscription).await?;
            let is_it = event.take_message().body == "meanwhile";
            // Dropped, a probe would come again before all others, where the server keeps the order.
            event.acknowledge().await?;
            if is_it {
                return Ok::<_, Ending>(());
            }
        }
    };
    soon(
        subject.traits.works_within,
        "what was published in a short cut",
        arrived,
    )
    .await?
}

pub(super) async fn publishing_fails_in_time_and_by_name_and_works_again(subject: OutageSubject) -> Outcome {
    let topic = subject.through.name("away");
    subject.through.publish(&topic, "before").await?;
    subject.proxy().await.cut().await;
    let publishing = subject.through.publish(&topic, "never");
    let failed = soon(subject.traits.fails_within, "publishing to nobody", publishing).await?;
    let error = failed
        .err()
        .ok_or_else(|| Ending::failed("published at no server"))?;
    subject.check(&error, &topic)?;
    subject.mend().await?;
    subject
        .publish_until_it_works(&topic, "after", subject.traits.works_within)
        .await
}

/// Publishes numbers until it is told that it is over, and returns those that were accepted.
async fn publish_numbers(
    broker: &dyn Broker,
    topic: &str,
    publisher: usize,
    is_over: &AtomicBool,
) -> Vec<String> {
    let mut accepted = Vec::new();
    let mut number = 0;
    while !is_over.load(Ordering::Relaxed) {
        let body = format!("{publisher}-{number}");
        if publish(broker, topic, body.clone()).await.is_ok() {
            accepted.push(body);
        }
        number += 1;
        sleep(Duration::from_millis(1)).await;
    }
    accepted
}

/// Handles events for ever, and notes their bodies.
async fn handle_all(subscription: &mut Subscription, handled: &Mutex<BTreeSet<String>>) -> Outcome {
    loop {
        let event = next(subscription).await?;
        let body = String::from_utf8_lossy(&event.message().body).into_owned();
        handled.lock().await.insert(body);
        // One whose broker cannot be told comes again.
        let _ = event.acknowledge().await;
    }
}

pub(super) async fn nothing_accepted_is_lost_over_many_cuts(subject: OutageSubject) -> Outcome {
    needs!(subject.traits.keeps, "it may lose what it accepted");
    needs!(
        subject.traits.keeps_for_absent,
        "it forgets a queue without members, and a cut takes them all away"
    );
    let topic = subject.through.name("cuts");
    let mut subscription = subject.subscribe(&topic, subject.queue()).await?;
    let (is_over, handled) = (AtomicBool::new(false), Mutex::new(BTreeSet::new()));
    let publishing = join_all((0..PUBLISHERS).map(|publisher| {
        let broker = subject.through.broker();
        publish_numbers(&**broker, &topic, publisher, &is_over)
    }));
    let cutting = async {
        for _ in 0..CUTS {
            sleep(BETWEEN_CUTS).await;
            subject.proxy().await.cut().await;
            sleep(BETWEEN_CUTS / 3).await;
            subject.mend().await?;
        }
        sleep(BETWEEN_CUTS).await;
        is_over.store(true, Ordering::Relaxed);
        Outcome::Ok(())
    };
    let arriving = async {
        let (accepted, cut) = tokio::join!(publishing, cutting);
        cut?;
        let accepted: BTreeSet<String> = accepted.into_iter().flatten().collect();
        let count = accepted.len();
        ensure!(count >= CUTS * PUBLISHERS, "only {count} events were accepted");
        let until = Instant::now() + subject.traits.notices_within;
        loop {
            let missing: Vec<String> = accepted.difference(&*handled.lock().await).cloned().collect();
            if missing.is_empty() {
                return Ok(());
            }
            ensure!(
                Instant::now() < until,
                "{} of {count} accepted events did not arrive, such as {:?}",
                missing.len(),
                missing.iter().take(5).collect::<Vec<_>>()
            );
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        arrived = arriving => arrived,
        ended = handle_all(&mut subscription, &handled) => ended,
    }
}

pub(super) async fn what_was_not_decided_comes_again_after_a_cut(subject: OutageSubject) -> Outcome {
    needs!(subject.traits.keeps, "it may lose what it accepted");
    needs!(
        subject.traits.keeps_for_absent,
        "it forgets a queue without members, and a cut takes them all away"
    );
    let topic = subject.through.name("undecided");
    let mut subscription = subject.subscribe(&topic, subject.queue()).await?;
    subject
        .until_an_event(&topic, &mut subscription, subject.traits.works_within)
        .await?;
    subject.through.publish(&topic, "held").await?;
    let held = async {
        loop {
            let event = next(&mut subscription).await?;
            if event.message().body == "held" {
                return Ok::<_, Ending>(event);
            }
            event.acknowledge().await?;
        }
    };
    let held = soon(subject.traits.works_within, "the event", held).await??;
    subject.proxy().await.cut().await;
    subject.mend().await?;
    // What is decided over a connection that is gone may fail, and does no harm.
    drop(held);
    let again = async {
        loop {
            let event = next(&mut subscription).await?;
            let body = event.message().body.clone();
            let _ = event.acknowledge().await;
            if body == "held" {
                return Ok::<_, Ending>(());
            }
        }
    };
    soon(subject.traits.notices_within, "the same event again", again).await?
}

pub(super) async fn a_silent_server_is_not_waited_for_without_end(subject: OutageSubject) -> Outcome {
    let topic = subject.through.name("silent");
    subject.through.publish(&topic, "before").await?;
    subject.proxy().await.silence();
    let publishing = subject.through.publish(&topic, "never");
    let failed = soon(
        subject.traits.fails_within,
        "publishing to a silent server",
        publishing,
    )
    .await?;
    let error = failed
        .err()
        .ok_or_else(|| Ending::failed("a silent server accepted an event"))?;
    subject.check(&error, &topic)?;
    subject.mend().await?;
    subject
        .publish_until_it_works(&topic, "after", subject.traits.works_within)
        .await
}
