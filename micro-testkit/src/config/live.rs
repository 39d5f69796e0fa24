//! Cases about a configuration that follows the source.

use std::time::Duration;

use micro_config::{Config, SourceState};
use tokio::time::{Instant, sleep};

use super::subject::SourceSubject;
use crate::suite::{Outcome, ensure, ensure_eq, needs, soon};

const BURST: u32 = 50;

pub(super) async fn a_configuration_follows(subject: SourceSubject) -> Outcome {
    subject.put_number(1).await?;
    let config = subject.config().await?;
    let mut watch = config.watch::<u32>("number");
    for number in 2..5 {
        subject.put_number(number).await?;
        let next = soon(subject.traits().seen_within, "the watch", watch.next()).await?;
        ensure_eq!(next.transpose()?, Some(number), "what the watch tells");
    }
    config.close().await;
    Ok(())
}

pub(super) async fn a_burst_of_changes_ends_with_the_last(subject: SourceSubject) -> Outcome {
    subject.put_number(0).await?;
    let config = subject.config().await?;
    for number in 1..=BURST {
        subject.put_number(number).await?;
    }
    subject.says(&config, BURST, subject.traits().seen_within).await?;
    config.close().await;
    Ok(())
}

pub(super) async fn a_malformed_text_leaves_the_last_good(subject: SourceSubject) -> Outcome {
    needs!(subject.traits().malformed, "what it reads is always well-formed");
    subject.put_number(1).await?;
    let config = subject.config().await?;
    subject.put("{\n  \"number\": 2,\n  oh no\n}\n").await?;
    let until = Instant::now() + subject.traits().seen_within;
    let refused = loop {
        if let Some(refused) = config.refused() {
            break refused;
        }
        ensure!(
            Instant::now() < until,
            "the text is not refused: {:?}",
            config.sources()
        );
        sleep(Duration::from_millis(20)).await;
    };
    let error = refused.error.to_string();
    ensure!(error.contains("line 3"), "the line is not told: {error}");
    let state = config.sources().swap_remove(0).state;
    ensure!(
        matches!(state, SourceState::Refused { .. }),
        "the source is not refused but {state:?}"
    );
    ensure_eq!(config.get::<u32>("number")?, 1, "the last good value");
    subject.put_number(3).await?;
    subject.says(&config, 3, subject.traits().works_within).await?;
    config.close().await;
    Ok(())
}

pub(super) async fn an_optional_source_counts_as_soon_as_it_is_there(subject: SourceSubject) -> Outcome {
    needs!(subject.traits().removable, "it is never missing");
    let source = subject.source().await?;
    let config = Config::builder().optional(source).build().await?;
    ensure!(config.get::<u32>("number").is_err(), "there is a value already");
    subject.put_number(1).await?;
    subject.says(&config, 1, subject.traits().works_within).await?;
    config.close().await;
    Ok(())
}

pub(super) async fn a_source_that_vanishes_leaves_what_it_said(subject: SourceSubject) -> Outcome {
    needs!(subject.traits().removable, "it is never missing");
    subject.put_number(1).await?;
    let config = subject.config().await?;
    subject.remove().await?;
    let until = Instant::now() + subject.traits().seen_within;
    while !matches!(config.sources()[0].state, SourceState::Missing { .. }) {
        ensure!(
            Instant::now() < until,
            "the source is not said to be missing: {:?}",
            config.sources()
        );
        sleep(Duration::from_millis(20)).await;
    }
    ensure_eq!(config.get::<u32>("number")?, 1, "what it said last");
    subject.put_number(2).await?;
    subject.says(&config, 2, subject.traits().works_within).await?;
    ensure!(config.sources()[0].state.is_ready(), "it is not ready again");
    config.close().await;
    Ok(())
}
