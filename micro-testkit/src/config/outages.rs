//! Cases about a source whose server goes away.

use std::time::Duration;

use micro_config::{Config, ErrorKind};
use tokio::time::{Instant, sleep};

use super::subject::SourceSubject;
use crate::suite::outage::{self, KEPT};
use crate::suite::{Ending, Outcome, ensure, ensure_eq, soon};

/// After how long a slow server answers, for how long it is watched, and how many pieces are right in that time. Whoever
/// asks as soon as it is answered sends ten.
const SLOW: Duration = Duration::from_millis(150);
const ASKED: Duration = Duration::from_millis(1500);
const FEW_PIECES: usize = 6;

pub(super) async fn reading_fails_in_time_while_the_server_is_away(subject: SourceSubject) -> Outcome {
    subject.put_number(1).await?;
    let mut source = subject.source().await?;
    subject.reads_number(&mut *source, 1).await?;
    subject.proxy().await?.cut().await;
    fails(&subject, &mut *source).await?;
    subject.mend().await?;
    reads_within(&subject, &mut *source, 1).await?;
    subject.proxy().await?.silence();
    fails(&subject, &mut *source).await?;
    subject.mend().await?;
    reads_within(&subject, &mut *source, 1).await
}

async fn fails(subject: &SourceSubject, source: &mut dyn micro_config::Source) -> Outcome {
    match subject.read(source).await? {
        Ok(_) => Err(Ending::failed("it can be read although the server is away")),
        Err(error) => {
            ensure_eq!(error.kind(), ErrorKind::Unavailable, "the kind of {error}");
            Ok(())
        }
    }
}

async fn reads_within(
    subject: &SourceSubject,
    source: &mut dyn micro_config::Source,
    number: u32,
) -> Outcome {
    let until = Instant::now() + subject.traits().works_within;
    while let Err(error) = subject.read(source).await? {
        ensure!(Instant::now() < until, "it cannot be read again: {error}");
        sleep(Duration::from_millis(100)).await;
    }
    subject.reads_number(source, number).await
}

pub(super) async fn an_optional_source_may_be_away_at_the_beginning(subject: SourceSubject) -> Outcome {
    subject.put_number(1).await?;
    subject.proxy().await?.cut().await;
    let Ok(source) = subject.source().await else {
        return Err(Ending::Skipped("it cannot be made while its server is away"));
    };
    let building = Config::builder().optional(source).build();
    let config = soon(subject.traits().fails_within, "building", building).await??;
    subject.mend().await?;
    subject.says(&config, 1, subject.traits().works_within).await?;
    config.close().await;
    Ok(())
}

pub(super) async fn a_change_during_an_outage_is_seen_after_it(subject: SourceSubject) -> Outcome {
    subject.put_number(1).await?;
    subject.needs_server()?;
    let config = subject.config().await?;
    for number in 2..4 {
        subject.proxy().await?.cut().await;
        subject.put_number(number).await?;
        sleep(Duration::from_secs(1)).await;
        ensure_eq!(config.get::<u32>("number")?, number - 1, "what was said last");
        subject.mend().await?;
        subject
            .says(&config, number, subject.traits().works_within)
            .await?;
    }
    config.close().await;
    Ok(())
}

pub(super) async fn a_change_after_a_short_cut_is_seen(subject: SourceSubject) -> Outcome {
    subject.put_number(1).await?;
    subject.needs_server()?;
    let config = subject.config().await?;
    for number in 2..6 {
        subject.proxy().await?.cut().await;
        subject.mend().await?;
        subject.put_number(number).await?;
        subject
            .says(&config, number, subject.traits().works_within)
            .await?;
    }
    config.close().await;
    Ok(())
}

pub(super) async fn a_connection_that_fell_silent_is_noticed(subject: SourceSubject) -> Outcome {
    subject.put_number(1).await?;
    subject.needs_server()?;
    let config = subject.config().await?;
    // It waits for changes by then.
    sleep(Duration::from_millis(200)).await;
    subject.proxy().await?.forget();
    subject.put_number(2).await?;
    subject.says(&config, 2, subject.traits().notices_within).await?;
    config.close().await;
    Ok(())
}

pub(super) async fn a_server_that_hangs_up_is_not_asked_without_pause(subject: SourceSubject) -> Outcome {
    subject.put_number(1).await?;
    subject.needs_server()?;
    let config = subject.config().await?;
    let nothing = std::future::pending::<()>();
    outage::hang_up(subject.needed_proxy()?, nothing).await?;
    subject.mend().await?;
    subject.put_number(2).await?;
    subject.says(&config, 2, subject.traits().works_within).await?;
    config.close().await;
    Ok(())
}

pub(super) async fn a_slow_server_is_not_asked_without_end(subject: SourceSubject) -> Outcome {
    subject.put_number(1).await?;
    subject.needs_server()?;
    let config = subject.config().await?;
    subject.proxy().await?.slow(SLOW);
    subject.put_number(2).await?;
    subject.says(&config, 2, subject.traits().works_within).await?;
    // What follows from the change is over by then.
    sleep(4 * SLOW).await;
    let before = subject.proxy().await?.sent();
    sleep(ASKED).await;
    let asked = subject.proxy().await?.sent() - before;
    ensure!(
        asked <= FEW_PIECES,
        "a server that answers after {SLOW:?} is asked {asked} times within {ASKED:?} although nothing changes"
    );
    subject.mend().await?;
    subject.put_number(3).await?;
    subject.says(&config, 3, subject.traits().works_within).await?;
    config.close().await;
    Ok(())
}

pub(super) async fn a_closed_configuration_leaves_no_connections(subject: SourceSubject) -> Outcome {
    subject.put_number(1).await?;
    subject.needs_server()?;
    let before = subject.proxy().await?.connections();
    for _ in 0..2 * KEPT {
        let config = subject.config().await?;
        config.close().await;
    }
    outage::closes(subject.needed_proxy()?, before, subject.traits().works_within).await
}
