//! One node is a hundred times slower than the others.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use crate::fleet::Kind;
use crate::load::Plan;
use crate::options::Slow;
use crate::progress::Progress;
use crate::report::Report;
use crate::site::Site;
use crate::statistics::{percentile, time};
use crate::trial::{Outcome, Trial};

/// How many times slower the slow node is.
const SLOWER: u32 = 100;

/// How much longer 99 of 100 calls may take with a slow node than without one.
const ALLOWED: f64 = 1.5;

pub(crate) async fn run(options: &Slow, progress: &Progress) -> Result<Report> {
    let mut report = Report::new(options.common.ignore_times);
    let healthy = measure(options, progress, &mut report, "p2c, all nodes healthy", "p2c", 1).await?;
    let slow = measure(
        options,
        progress,
        &mut report,
        "p2c, one node slow",
        "p2c",
        SLOWER,
    )
    .await?;
    measure(
        options,
        progress,
        &mut report,
        "random, one node slow",
        "random",
        SLOWER,
    )
    .await?;
    let [healthy_p99, slow_p99] = [&healthy, &slow].map(|outcome| percentile(&outcome.tally.times, 99));
    let ratio = slow_p99.as_secs_f64() / healthy_p99.as_secs_f64();
    report.promise_time(
        format!("with p2c and one slow node, p99 is at most {ALLOWED} times that of healthy nodes"),
        ratio <= ALLOWED,
        format!("{} is {ratio:.2} times {}", time(slow_p99), time(healthy_p99)),
    );
    for (among, outcome) in [(" with healthy nodes", &healthy), (" with a slow node", &slow)] {
        report.promise_no_failure(among, outcome);
        report.promise_exactly_once(among, outcome);
    }
    Ok(report)
}

async fn measure(
    options: &Slow,
    progress: &Progress,
    report: &mut Report,
    what: &str,
    selector: &str,
    slower: u32,
) -> Result<Outcome> {
    let kind = Kind {
        work: Duration::from_millis(options.work.into()),
        sabotage: options.common.sabotage,
    };
    let site = Site::local_over(options.over.transport);
    let mut trial = Trial::start(site, "slow", options.nodes - 1, kind, selector).await?;
    let last = Kind {
        work: kind.work * slower,
        ..kind
    };
    trial.fleet.add(last).await?;
    let plan = Plan {
        callers: options.callers,
        rate: Some(options.rate),
        calls: None,
    };
    let mut load = trial.load(plan, false);
    let time = sleep(Duration::from_secs(options.seconds.into()));
    progress
        .during(time, || format!("{what}: {}", load.so_far()))
        .await;
    load.stop();
    let tally = load.end().await?;
    let outcome = trial.outcome(load.calls(), tally)?;
    report.add(&options.over.named(what), &outcome);
    Ok(outcome)
}
