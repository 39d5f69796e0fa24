//! Fresh clients, each a process that has never called, make their first calls all at once.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::caller::take_line;
use crate::fleet::{Fleet, Kind};
use crate::ledger::Runs;
use crate::load::Tally;
use crate::options::Cold;
use crate::process::Process;
use crate::progress::Progress;
use crate::report::Report;
use crate::site::Site;
use crate::statistics::{percentile, thousands, time};
use crate::trial::{Outcome, unique};

/// How long half of the first calls may take at most: a lookup over multicast DNS, and a call.
const ALLOWED: Duration = Duration::from_millis(50);

pub(crate) async fn run(options: &Cold, progress: &Progress) -> Result<Report> {
    let kind = Kind {
        sabotage: options.common.sabotage,
        ..Kind::default()
    };
    let service = unique("cold");
    let fleet = Fleet::start(Site::local(), &service, options.nodes, kind).await?;
    let (done, tally) = (Cell::new(0), RefCell::new(Tally::default()));
    let work = async {
        for number in 0..options.rounds {
            let heard = round(&service, number, options.calls.into()).await?;
            let mut tally = tally.borrow_mut();
            tally.times.extend(heard.times);
            tally.failures.extend(heard.failures);
            done.set(number + 1);
        }
        anyhow::Ok(())
    };
    let text = || {
        let tally = tally.borrow();
        let [calls, failed] = [tally.times.len(), tally.failures.len()].map(|count| thousands(count as u64));
        format!(
            "cold: {calls} first calls, {failed} failed, {} of {} rounds",
            done.get(),
            options.rounds
        )
    };
    progress.during(work, text).await?;
    let mut tally = tally.into_inner();
    tally.times.sort_unstable();
    let calls = options.rounds * u64::from(options.calls);
    let outcome = Outcome {
        calls,
        tally,
        attempts: None,
        runs: Runs::read(fleet.ledgers(), calls)?,
        ended: Vec::new(),
        picks: std::collections::HashMap::new(),
    };
    Ok(judge(options, &outcome))
}

/// The first calls of a fresh process.
async fn round(service: &str, number: u64, calls: u64) -> Result<Tally> {
    let mut caller = Process::start(&[
        "caller".to_owned(),
        format!("--service={service}"),
        format!("--first={}", number * calls),
        format!("--calls={calls}"),
    ])?;
    let mut tally = Tally::default();
    while let Some(line) = caller.line().await? {
        take_line(&mut tally, &line)?;
    }
    let told = tally.times.len();
    ensure!(
        told as u64 == calls,
        "a fresh client told of {told} calls instead of {calls}; what it wrote is above"
    );
    Ok(tally)
}

fn judge(options: &Cold, outcome: &Outcome) -> Report {
    let mut report = Report::new(options.common.ignore_times);
    report.add("cold", outcome);
    report.promise_no_failure("", outcome);
    report.promise_exactly_once("", outcome);
    let half = percentile(&outcome.tally.times, 50);
    report.promise_time(
        format!(
            "half of the first calls take {} at most, lookup included",
            time(ALLOWED)
        ),
        half <= ALLOWED,
        format!("{} of {} rounds of {}", time(half), options.rounds, options.calls),
    );
    report
}
