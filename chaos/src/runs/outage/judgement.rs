//! What is promised of an outage, and whether it was kept.

use std::time::Duration;

use super::Back;
use crate::brokers;
use crate::ledger::Runs;
use crate::load::Tally;
use crate::options::Outage;
use crate::report::Report;
use crate::statistics::{percentile, thousands, time};
use crate::table::Table;

const HEADS: [&str; 9] = [
    "",
    "published",
    "failed",
    "handled",
    "lost",
    "more than once",
    "p50",
    "p99",
    "longest",
];
/// How soon everything works again.
const SOON: Duration = Duration::from_secs(1);
/// How long publishing may take, and how much of that a server may need to come back.
const PUBLISHING: Duration = Duration::from_secs(10);

/// What was seen of an outage.
pub(super) struct Judgement {
    pub(super) tally: Tally,
    pub(super) runs: Runs,
    /// How many were accepted and never handled.
    pub(super) lost: u64,
    /// For how long the server was away.
    pub(super) away: Duration,
    pub(super) after_restart: Back,
    pub(super) after_cuts: Vec<Back>,
}

impl Judgement {
    pub(super) fn report(self, options: &Outage) -> Report {
        let failed = self.tally.failures.len() as u64;
        let mut report = Report::new(options.common.ignore_times);
        report.table = self.table(options, failed);
        report.add_failures(&self.tally.failures);
        report.promise(
            "nothing is lost that was accepted",
            self.lost == 0,
            format!(
                "{} of {} lost, {} handled more than once",
                thousands(self.lost),
                thousands(options.messages - failed),
                thousands(self.runs.repeated())
            ),
        );
        report.promise(
            "nothing is handled that nobody published",
            self.runs.strangers() == 0,
            thousands(self.runs.strangers()),
        );
        self.judge_publishing(&mut report, options, failed);
        self.judge_times(&mut report, options);
        report
    }

    fn table(&self, options: &Outage, failed: u64) -> Table {
        let mut table = Table::new(&HEADS);
        let times = &self.tally.times;
        table.push(vec![
            options.broker.to_string(),
            thousands(options.messages),
            thousands(failed),
            thousands(self.runs.total()),
            thousands(self.lost),
            thousands(self.runs.repeated()),
            time(percentile(times, 50)),
            time(percentile(times, 99)),
            time(percentile(times, 100)),
        ]);
        table
    }

    fn judge_publishing(&self, report: &mut Report, options: &Outage, failed: u64) {
        let found = format!("{} of {} failed", thousands(failed), thousands(options.messages));
        if self.away + SOON < PUBLISHING {
            report.promise("publishing waits for the server", failed == 0, found);
        } else {
            report.note(format!(
                "the server was away for longer than publishing waits for it: {found}"
            ));
        }
    }

    fn judge_times(&self, report: &mut Report, options: &Outage) {
        let how = if brokers::survives_a_kill(options.broker) {
            "killed"
        } else {
            "stopped"
        };
        report.promise_time(
            format!("all works within {} of the server's return", time(SOON)),
            self.after_restart.is_within(SOON),
            format!(
                "{how}, away for {}, then {}",
                time(self.away),
                self.after_restart.text()
            ),
        );
        let Some(longest) = self.after_cuts.iter().copied().reduce(Back::longer) else {
            return;
        };
        report.promise_time(
            format!("all works within {} of a cut", time(SOON)),
            longest.is_within(SOON),
            format!(
                "{} cuts, {} at the longest",
                self.after_cuts.len(),
                longest.text()
            ),
        );
    }
}

impl Back {
    fn is_within(self, limit: Duration) -> bool {
        [self.accepted, self.handled]
            .into_iter()
            .all(|time| time.is_some_and(|time| time <= limit))
    }

    fn text(self) -> String {
        let after = |duration: Option<Duration>| match duration {
            Some(duration) => format!("after {}", time(duration)),
            None => "never".to_owned(),
        };
        format!(
            "published {} and handled {}",
            after(self.accepted),
            after(self.handled)
        )
    }

    fn longer(self, other: Self) -> Self {
        let longer = |one: Option<Duration>, other: Option<Duration>| Some(one?.max(other?));
        Self {
            accepted: longer(self.accepted, other.accepted),
            handled: longer(self.handled, other.handled),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_is_longer_than_any_time() {
        let millis = |number| Some(Duration::from_millis(number));
        let back = |accepted, handled| Back { accepted, handled };
        let longest = back(millis(1), millis(7)).longer(back(millis(5), millis(3)));
        assert_eq!((longest.accepted, longest.handled), (millis(5), millis(7)));
        assert!(longest.is_within(SOON));
        let never = longest.longer(back(millis(1), None));
        assert!(!never.is_within(SOON));
        assert_eq!(never.text(), "published after 5.00 ms and handled never");
    }
}
