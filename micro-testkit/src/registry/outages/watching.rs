//! Cases about what watchers tell when their server goes.

use std::time::Duration;

use tokio::time::timeout;

use super::subject::OutageSubject;
use crate::suite::{Outcome, ensure};

const WATCHERS: usize = 20;

pub(super) async fn a_watcher_is_told_once_of_an_outage_and_then_what_happened_meanwhile(
    subject: OutageSubject,
) -> Outcome {
    let direct = &subject.direct;
    let (goes, comes) = (
        direct.record("greeter", &["goes"]),
        direct.record("greeter", &["comes"]),
    );
    let mut watched = subject.watch(Some(&goes.name)).await?;
    direct.register(&goes).await?;
    watched
        .until(&goes.name, &[direct.name("goes")], subject.traits.works_within)
        .await?;
    subject.proxy().await.cut().await;
    direct.deregister(&goes).await?;
    direct.register(&comes).await?;
    watched.until_trouble(subject.traits.notices_within).await?;
    let more = timeout(Duration::from_secs(1), watched.read()).await;
    ensure!(more.is_err(), "the watcher told of the outage more than once");
    subject.mend().await?;
    watched
        .until(&goes.name, &[direct.name("comes")], subject.traits.works_within)
        .await?;
    ensure!(
        watched.errors == 1,
        "the outage was told {} times",
        watched.errors
    );
    Ok(())
}

pub(super) async fn a_watcher_is_right_after_many_short_cuts(subject: OutageSubject) -> Outcome {
    let direct = &subject.direct;
    let name = direct.name("greeter");
    let mut watched = subject.watch(Some(&name)).await?;
    let mut ids = Vec::new();
    for number in 0..8 {
        let id = format!("{number}");
        subject.proxy().await.cut().await;
        direct.register(&direct.record("greeter", &[&id])).await?;
        subject.mend().await?;
        ids.push(direct.name(&id));
        if number % 3 == 2 {
            watched.until(&name, &ids, subject.traits.works_within).await?;
        }
    }
    watched.until(&name, &ids, subject.traits.works_within).await
}

pub(super) async fn a_watcher_of_all_comes_back_too(subject: OutageSubject) -> Outcome {
    let direct = &subject.direct;
    let mut watched = subject.watch(None).await?;
    subject.proxy().await.cut().await;
    let record = direct.record("greeter", &["comes"]);
    direct.register(&record).await?;
    watched.until_trouble(subject.traits.notices_within).await?;
    subject.mend().await?;
    watched
        .until(&record.name, &[direct.name("comes")], subject.traits.works_within)
        .await
}

pub(super) async fn a_server_that_hangs_up_is_not_asked_without_pause(subject: OutageSubject) -> Outcome {
    let name = subject.direct.name("greeter");
    let mut watched = subject.watch(Some(&name)).await?;
    let reading = async { while watched.read().await.is_ok() {} };
    let asked = subject.hang_up(reading).await?;
    ensure!(asked > 0, "the watcher does not try to come back");
    subject.mend().await?;
    let record = subject.direct.record("greeter", &["a"]);
    subject.direct.register(&record).await?;
    watched
        .until(&name, &[subject.direct.name("a")], subject.traits.works_within)
        .await
}

pub(super) async fn a_connection_that_fell_silent_is_noticed(subject: OutageSubject) -> Outcome {
    let direct = &subject.direct;
    let record = direct.record("greeter", &["a"]);
    let mut watched = subject.watch(Some(&record.name)).await?;
    subject.proxy().await.forget();
    direct.register(&record).await?;
    watched
        .until(&record.name, &[direct.name("a")], subject.traits.notices_within)
        .await
}

pub(super) async fn dropped_watchers_close_what_they_opened(subject: OutageSubject) -> Outcome {
    let name = subject.direct.name("greeter");
    let before = subject.proxy().await.connections();
    let mut watchers = Vec::new();
    for _ in 0..WATCHERS {
        watchers.push(subject.watch(Some(&name)).await?);
    }
    drop(watchers);
    subject.closes(before).await
}
