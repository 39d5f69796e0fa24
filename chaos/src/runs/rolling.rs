//! Each node in turn is told to stop, and another takes its place.

use std::cell::Cell;

use anyhow::Result;

use crate::fleet::{Ended, Kind};
use crate::load::Plan;
use crate::options::Rolling;
use crate::progress::Progress;
use crate::report::Report;
use crate::site::Site;
use crate::statistics::{thousands, time};
use crate::trial::{Outcome, Trial};

pub(crate) async fn run(options: &Rolling, progress: &Progress) -> Result<Report> {
    let kind = Kind {
        sabotage: options.common.sabotage,
        ..Kind::default()
    };
    let site = Site::local_over(options.over.transport);
    let mut trial = Trial::start(site, "rolling", options.nodes, kind, "random").await?;
    let plan = Plan {
        callers: options.callers,
        rate: Some(options.rate),
        calls: None,
    };
    let mut load = trial.load(plan, false);
    let restarted = Cell::new(0);
    let restarts = options.restarts;
    let work = async {
        for turn in 0..restarts {
            load.reached(options.calls * turn / restarts).await;
            trial.fleet.restart(turn, &trial.attempts).await?;
            restarted.set(turn + 1);
        }
        load.reached(options.calls).await;
        anyhow::Ok(())
    };
    let text = || {
        format!(
            "rolling: {}, {} of {restarts} restarts",
            load.so_far(),
            restarted.get()
        )
    };
    progress.during(work, text).await?;
    load.stop();
    let tally = load.end().await?;
    let outcome = trial.outcome(load.calls(), tally)?;
    Ok(judge(options, &outcome))
}

fn judge(options: &Rolling, outcome: &Outcome) -> Report {
    let mut report = Report::new(options.common.ignore_times);
    report.add(&options.over.named("rolling"), outcome);
    report.promise_no_failure("", outcome);
    report.promise_exactly_once("", outcome);
    let ended = &outcome.ended;
    let well = ended.iter().filter(|ended| ended.well).count();
    let longest = ended.iter().map(Ended::took).max().unwrap_or_default();
    report.promise(
        "each node stops by itself when it is told to",
        well == ended.len(),
        format!(
            "{} of {} did, the slowest within {}",
            thousands(well as u64),
            thousands(ended.len() as u64),
            time(longest)
        ),
    );
    report
}
