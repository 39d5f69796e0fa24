//! Nothing happens to the nodes, and nothing to the calls.

use std::time::Duration;

use anyhow::Result;

use crate::fleet::Kind;
use crate::load::Plan;
use crate::options::Healthy;
use crate::progress::Progress;
use crate::report::Report;
use crate::site::Site;
use crate::statistics::{percentile, time};
use crate::trial::Trial;

/// How long a call may take.
const ALLOWED: Duration = Duration::from_secs(1);

pub(crate) async fn run(options: &Healthy, progress: &Progress) -> Result<Report> {
    let kind = Kind {
        sabotage: options.common.sabotage,
        ..Kind::default()
    };
    let site = Site::local_over(options.over.transport);
    let trial = Trial::start(site, "healthy", options.nodes, kind, "random").await?;
    let plan = Plan {
        callers: options.callers,
        rate: None,
        calls: Some(options.calls),
    };
    let mut load = trial.load(plan, false);
    let so_far = load.so_far();
    let tally = progress
        .during(load.end(), || format!("healthy: {so_far}"))
        .await?;
    let outcome = trial.outcome(options.calls, tally)?;
    let mut report = Report::new(options.common.ignore_times);
    report.add(&options.over.named("healthy"), &outcome);
    report.promise_no_failure("", &outcome);
    report.promise_exactly_once("", &outcome);
    let longest = percentile(&outcome.tally.times, 100);
    report.promise_time(
        format!("no call takes longer than {}", time(ALLOWED)),
        longest <= ALLOWED,
        format!("the longest took {}", time(longest)),
    );
    Ok(report)
}
