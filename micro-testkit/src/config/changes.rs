//! Cases about what is told.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::subject::SourceSubject;
use crate::suite::{Outcome, ensure, needs, partly};

/// How long a source that does not change is listened to, and how often it may tell of something then.
const WATCHED: Duration = Duration::from_secs(3);
const FEW: usize = 10;

pub(super) async fn a_change_is_told(subject: SourceSubject) -> Outcome {
    subject.put_number(1).await?;
    let mut source = subject.source().await?;
    subject.reads_number(&mut *source, 1).await?;
    for number in 2..5 {
        // It waits already when the change is made.
        let _ = partly(source.changed(), 1).await;
        let telling = subject.tells_number(&mut *source, number);
        let changing = subject.put_number(number);
        let (told, changed) = futures_util::future::join(telling, changing).await;
        changed.and(told)?;
    }
    Ok(())
}

pub(super) async fn a_change_between_reading_and_waiting_is_told(subject: SourceSubject) -> Outcome {
    subject.put_number(1).await?;
    let mut source = subject.source().await?;
    subject.reads_number(&mut *source, 1).await?;
    for number in 2..6 {
        subject.put_number(number).await?;
        subject.tells_number(&mut *source, number).await?;
    }
    Ok(())
}

pub(super) async fn a_removal_is_told(subject: SourceSubject) -> Outcome {
    needs!(subject.traits().removable, "it is never missing");
    subject.put_number(1).await?;
    let mut source = subject.source().await?;
    subject.reads_number(&mut *source, 1).await?;
    subject.remove().await?;
    subject.told(&mut *source, "its removal").await?;
    subject.reads_nothing(&mut *source).await
}

pub(super) async fn a_return_is_told(subject: SourceSubject) -> Outcome {
    needs!(subject.traits().removable, "it is never missing");
    let mut source = subject.source().await?;
    subject.reads_nothing(&mut *source).await?;
    subject.put_number(1).await?;
    subject.tells_number(&mut *source, 1).await?;
    subject.remove().await?;
    subject.told(&mut *source, "its removal").await?;
    subject.reads_nothing(&mut *source).await?;
    subject.put_number(2).await?;
    subject.tells_number(&mut *source, 2).await
}

pub(super) async fn waiting_that_was_dropped_misses_nothing(subject: SourceSubject) -> Outcome {
    subject.put_number(0).await?;
    let mut source = subject.source().await?;
    subject.reads_number(&mut *source, 0).await?;
    for number in 1..5 {
        for polls in 1..4 {
            let _ = partly(source.changed(), polls).await;
        }
        subject.put_number(number).await?;
        // What is told here was told: dropping a future that is done loses it by right.
        let mut told = false;
        for polls in 1..4 {
            told |= partly(source.changed(), polls).await.is_some();
        }
        if told {
            subject.reads_number(&mut *source, number).await?;
        } else {
            subject.tells_number(&mut *source, number).await?;
        }
    }
    Ok(())
}

pub(super) async fn nothing_is_told_without_end(subject: SourceSubject) -> Outcome {
    subject.put_number(1).await?;
    let mut source = subject.source().await?;
    subject.reads_number(&mut *source, 1).await?;
    let until = Instant::now() + WATCHED;
    let mut count = 0;
    while timeout_at(until, source.changed()).await.is_ok() {
        count += 1;
        ensure!(
            count <= FEW,
            "{source} tells of changes all the time and there are none"
        );
        subject.reads_number(&mut *source, 1).await?;
    }
    Ok(())
}
