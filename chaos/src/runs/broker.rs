//! Events are published while one of those that share a queue is told to stop, and another takes its place.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::ledger::{self, Runs};
use crate::load::Tally;
use crate::node;
use crate::options::Broker;
use crate::process::Process;
use crate::progress::Progress;
use crate::publishing::{Plan, Publishing};
use crate::report::Report;
use crate::statistics::thousands;
use crate::trial::{Outcome, unique};

/// How long a subscriber may take to stop: its notice, its grace, and then some.
const LONGEST_STOP: Duration = Duration::from_secs(20);
/// When no event was handled for so long, no more will be.
const SETTLED: Duration = Duration::from_secs(3);
/// What the two that share are called.
const QUEUE: &str = "workers";

pub(crate) async fn run(options: &Broker, progress: &Progress) -> Result<Report> {
    let topic = unique("events");
    let ledgers = Ledgers::new()?;
    let _alone = start(options, &topic, ledgers.alone(), None).await?;
    let _staying = start(options, &topic, ledgers.shared(0), Some(QUEUE)).await?;
    let mut restarted = start(options, &topic, ledgers.shared(1), Some(QUEUE)).await?;
    let client = node::settings("chaos-publisher")?.client().await?.build();

    let plan = Plan {
        publishers: options.publishers,
        rate: options.rate,
        events: options.events,
    };
    let mut publishing = Publishing::start(&client, &topic, plan);
    let counts = publishing.counts();
    let work = async {
        let mut is_well = true;
        for turn in 0..options.restarts {
            // Spread over the events, so that each stop meets some.
            let due = options.events * (turn + 1) / (options.restarts + 1);
            publishing.reached(due).await;
            restarted.terminate()?;
            let ended = restarted.ended(LONGEST_STOP).await?;
            is_well &= ended.is_some_and(|status| status.success());
            restarted = start(options, &topic, ledgers.shared(turn + 2), Some(QUEUE)).await?;
        }
        let tally = publishing.end().await?;
        // What was kept for somebody who did not take it goes out in the background.
        let mut handled = (0, Instant::now());
        while !ledgers.are_full(options.events)? && handled.1.elapsed() < SETTLED {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let total = ledgers.total(options.events)?;
            if total > handled.0 {
                handled = (total, Instant::now());
            }
        }
        anyhow::Ok((is_well, tally))
    };
    let text = || format!("broker: {counts}");
    let (is_well, tally) = progress.during(work, text).await?;
    judge(options, &ledgers, tally, is_well)
}

/// A subscriber that has subscribed.
async fn start(options: &Broker, topic: &str, ledger: PathBuf, queue: Option<&str>) -> Result<Process> {
    let mut arguments = vec![
        "subscriber".to_owned(),
        format!("--topic={topic}"),
        format!("--ledger={}", ledger.display()),
    ];
    arguments.extend(queue.map(|queue| format!("--queue={queue}")));
    let sabotage = options.common.sabotage;
    arguments.extend(sabotage.map(|sabotage| format!("--sabotage={}", sabotage.name())));
    Process::start_ready(&arguments).await
}

/// What was handled: by those that share a queue, and by the one that does not.
struct Ledgers(TempDir);

impl Ledgers {
    fn new() -> Result<Self> {
        let ledgers = Self(tempfile::tempdir().context("there is no place for the ledgers")?);
        for directory in [ledgers.shared_place(), ledgers.alone_place()] {
            std::fs::create_dir(&directory)
                .with_context(|| format!("{} cannot be made", directory.display()))?;
        }
        Ok(ledgers)
    }

    fn shared_place(&self) -> PathBuf {
        self.0.path().join("shared")
    }

    fn alone_place(&self) -> PathBuf {
        self.0.path().join("alone")
    }

    fn shared(&self, number: u64) -> PathBuf {
        self.shared_place().join(number.to_string())
    }

    fn alone(&self) -> PathBuf {
        self.alone_place().join("0")
    }

    /// What was handled in the queue, and outside.
    fn runs(&self, events: u64) -> Result<[Runs; 2]> {
        Ok([
            Runs::read(&self.shared_place(), events)?,
            Runs::read(&self.alone_place(), events)?,
        ])
    }

    /// Whether every event has been handled by both.
    fn are_full(&self, events: u64) -> Result<bool> {
        Ok(self.runs(events)?.iter().all(|runs| runs.missing() == 0))
    }

    fn total(&self, events: u64) -> Result<u64> {
        Ok(self.runs(events)?.iter().map(Runs::total).sum())
    }
}

fn judge(options: &Broker, ledgers: &Ledgers, tally: Tally, is_well: bool) -> Result<Report> {
    let [shared, alone] = ledgers.runs(options.events)?;
    let disordered = disordered(&ledger::numbers(&ledgers.alone())?, options.publishers);
    let mut report = Report::new(options.common.ignore_times);
    let failed = tally.failures.len() as u64;
    let outcome = |runs, tally| Outcome {
        calls: options.events,
        tally,
        attempts: None,
        runs,
        ended: Vec::new(),
        picks: HashMap::new(),
    };
    let everyone = Tally {
        times: tally.times.clone(),
        failures: Vec::new(),
    };
    let lost = |runs: &Runs| {
        format!(
            "{} of {} lost, {} handled more than once",
            thousands(runs.missing()),
            thousands(options.events),
            thousands(runs.repeated())
        )
    };
    let (in_queue, outside) = (lost(&shared), lost(&alone));
    let is_whole = |runs: &Runs| runs.missing() + runs.strangers() == 0;
    let (queue_is_whole, all_came) = (is_whole(&shared), is_whole(&alone));
    report.add("two that share a queue", &outcome(shared, tally));
    report.add("one without a queue", &outcome(alone, everyone));
    report.promise(
        "no publishing fails",
        failed == 0,
        format!("{} of {} failed", thousands(failed), thousands(options.events)),
    );
    report.promise("nothing is lost for the queue", queue_is_whole, in_queue);
    report.promise("nothing is lost for the one without a queue", all_came, outside);
    report.promise(
        "it gets what each publisher published in that order",
        disordered == 0,
        format!("{} out of order", thousands(disordered)),
    );
    report.promise(
        "a subscriber stops by itself when it is told to",
        is_well,
        format!("{} restarts", thousands(options.restarts)),
    );
    Ok(report)
}

/// How many events came before one that the same publisher had published earlier. One that comes again is no disorder.
fn disordered(handled: &[u64], publishers: u32) -> u64 {
    let mut last: HashMap<u64, u64> = HashMap::new();
    let mut count = 0;
    for event in handled {
        let last = last.entry(event % u64::from(publishers)).or_insert(*event);
        if event < last {
            count += 1;
        }
        *last = (*last).max(*event);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_that_of_each_publisher() {
        assert_eq!(disordered(&[0, 1, 3, 2, 4, 5], 2), 0);
        assert_eq!(disordered(&[0, 2, 2, 4], 2), 0, "once more is no disorder");
        assert_eq!(disordered(&[0, 4, 2, 1, 3], 2), 1);
    }
}
