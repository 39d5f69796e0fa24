//! Each node in turn is killed without warning, and another takes its place.

use std::cell::Cell;
use std::time::Duration;

use anyhow::Result;

use crate::attempts::{Failed, Picks};
use crate::fleet::{Ended, Kind};
use crate::load::{Failure, Plan};
use crate::options::Kill;
use crate::progress::Progress;
use crate::report::Report;
use crate::site::Site;
use crate::statistics::{thousands, time};
use crate::trial::{Dead, Outcome, Trial};

pub(crate) async fn run(options: &Kill, progress: &Progress) -> Result<Report> {
    let kind = Kind {
        sabotage: options.common.sabotage,
        ..Kind::default()
    };
    let site = Site::local_over(options.over.transport);
    let mut trial = Trial::start(site, "kill", options.nodes, kind, "random").await?;
    let plan = Plan {
        callers: options.callers,
        rate: Some(options.rate),
        calls: None,
    };
    let mut load = trial.load(plan, !options.non_idempotent);
    let killed = Cell::new(0);
    let kills = options.kills;
    let work = async {
        for turn in 0..kills {
            // Not before the first calls, so that there is something to break.
            load.reached(options.calls * (turn + 1) / (kills + 1)).await;
            trial.fleet.kill(turn, &trial.attempts).await?;
            killed.set(turn + 1);
        }
        load.reached(options.calls).await;
        anyhow::Ok(())
    };
    let text = || format!("kill: {}, {} of {kills} kills", load.so_far(), killed.get());
    progress.during(work, text).await?;
    load.stop();
    let tally = load.end().await?;
    let outcome = trial.outcome(load.calls(), tally)?;
    Ok(judge(options, &outcome))
}

fn judge(options: &Kill, outcome: &Outcome) -> Report {
    let mut report = Report::new(options.common.ignore_times);
    if options.non_idempotent {
        report.add(&options.over.named("kill, non-idempotent"), outcome);
        promise_only_in_flight(&mut report, outcome);
        promise_never_twice(&mut report, outcome);
    } else {
        report.add(&options.over.named("kill, idempotent"), outcome);
        report.promise_no_failure("", outcome);
    }
    promise_answered_ran(&mut report, outcome);
    promise_left_alone(&mut report, &outcome.dead());
    report
}

fn promise_only_in_flight(report: &mut Report, outcome: &Outcome) {
    let failures = &outcome.tally.failures;
    let others: Vec<_> = failures
        .iter()
        .filter(|failure| !was_in_flight(failure, outcome))
        .collect();
    report.promise(
        "only calls in flight on a killed node fail",
        others.is_empty(),
        format!(
            "{} of {} failed, {} of them were not",
            thousands(failures.len() as u64),
            thousands(outcome.calls),
            thousands(others.len() as u64)
        ),
    );
    for failure in others {
        report.note(explained(failure, outcome));
    }
}

/// Whether an attempt of the call was under way at a node while that was killed, and was never answered. The end of a
/// node is not known before the first attempt has found it out: what was sent until then was under way, too.
fn was_in_flight(failure: &Failure, outcome: &Outcome) -> bool {
    let mut attempts = attempts_at_killed(failure, outcome);
    attempts.any(|(ended, picks, attempt)| {
        let known = picks.lost.max(Some(ended.gone));
        attempt.unanswered && Some(attempt.began) <= known && attempt.ended >= ended.signalled
    })
}

/// The call's failed attempts at nodes that were killed.
fn attempts_at_killed<'a>(
    failure: &'a Failure,
    outcome: &'a Outcome,
) -> impl Iterator<Item = (&'a Ended, &'a Picks, &'a Failed)> {
    let picks = |ended: &'a Ended| outcome.picks.get(&ended.id).map(|picks| (ended, picks));
    let attempts = outcome.ended.iter().filter_map(picks);
    attempts
        .flat_map(|(ended, picks)| picks.failed.iter().map(move |attempt| (ended, picks, attempt)))
        .filter(|(_, _, attempt)| attempt.call == Some(failure.call))
}

/// Where the call was when the nodes were killed.
fn explained(failure: &Failure, outcome: &Outcome) -> String {
    let attempts = attempts_at_killed(failure, outcome).map(|(ended, _, attempt)| {
        let after = |at: Duration| time(at.saturating_sub(ended.signalled));
        let known = if attempt.unanswered {
            "unanswered"
        } else {
            "refused"
        };
        format!(
            "{known} by {}, killed and gone after {}: from {} to {}",
            ended.id,
            after(ended.gone),
            after(attempt.began),
            after(attempt.ended)
        )
    });
    let attempts: Vec<_> = attempts.collect();
    format!("call {} was not in flight: {}", failure.call, attempts.join("; "))
}

fn promise_never_twice(report: &mut Report, outcome: &Outcome) {
    let (repeated, strangers) = (outcome.runs.repeated(), outcome.runs.strangers());
    report.promise(
        "no handler ran twice for a call",
        repeated + strangers == 0,
        format!(
            "{} did, {} for a call that nobody made",
            thousands(repeated),
            thousands(strangers)
        ),
    );
}

fn promise_answered_ran(report: &mut Report, outcome: &Outcome) {
    let failures = outcome.tally.failures.iter();
    let failed_unrun = failures
        .filter(|failure| !outcome.runs.has_run(failure.call))
        .count() as u64;
    let unrun = outcome.runs.missing() - failed_unrun;
    report.promise(
        "a handler ran for each call that was answered",
        unrun == 0,
        format!("{} were answered without", thousands(unrun)),
    );
}

fn promise_left_alone(report: &mut Report, dead: &Dead) {
    let settled = time(Dead::SETTLED);
    report.promise_time(
        format!(
            "{settled} after a call found a node dead it is left alone, but for one call at a time that asks"
        ),
        dead.crowded == 0,
        format!(
            "{} nodes were picked for {} at most, then asked {} times in all, {} of them too soon",
            thousands(dead.lost),
            time(dead.picked_although_lost),
            thousands(dead.asked),
            thousands(dead.crowded)
        ),
    );
}
