//! What is promised of a registry's absence, and what was found.

use std::time::Duration;

use anyhow::Result;
use micro::service::RegistrationOptions;
use servers::Kind;

use super::{Back, LAPSE, NOTICED};
use crate::options::Blackout;
use crate::phases::Phases;
use crate::report::Report;
use crate::site::lifetime;
use crate::statistics::time;
use crate::trial::Trial;

/// All that was found beside the calls.
pub(super) struct Judgement {
    /// The registry's server.
    pub(super) kind: Kind,
    pub(super) registration: RegistrationOptions,
    pub(super) back: Back,
    /// From a node's SIGKILL until it was gone from the registry. None: it stayed, or none was there to be killed.
    pub(super) lapsed: Option<Duration>,
}

impl Judgement {
    pub(super) fn report(&self, options: &Blackout, trial: &Trial, phases: Phases) -> Result<Report> {
        let mut report = Report::new(options.common.ignore_times);
        let (calls, tally) = phases.together();
        let whole = trial.outcome(calls, tally)?;
        for (name, outcome) in phases.outcomes(&whole.runs) {
            report.add(&name, &outcome);
        }
        self.note(&mut report);
        report.promise_no_failure("", &whole);
        report.promise_exactly_once("", &whole);
        self.promise_registered(&mut report);
        self.promise_dark(&mut report);
        self.promise_called(&mut report);
        self.promise_lapse(&mut report);
        Ok(report)
    }

    fn note(&self, report: &mut Report) {
        let RegistrationOptions { ttl, interval, .. } = self.registration;
        report.note(format!(
            "{} was gone for {} and came back empty; time to live {}, interval {}",
            self.kind,
            time(self.back.gone_for),
            time(ttl),
            time(interval)
        ));
        let after = |node: &String| self.arrival(node).map_or("never".to_owned(), time);
        let nodes: Vec<_> = self.back.nodes.iter().map(after).collect();
        report.note(format!(
            "registered again after its return: {}; the node started in the dark: {}",
            nodes.join(", "),
            after(&self.back.dark)
        ));
    }

    fn promise_registered(&self, report: &mut Report) {
        let nodes = &self.back.nodes;
        let arrivals: Vec<_> = nodes.iter().filter_map(|node| self.arrival(node)).collect();
        let last = arrivals.iter().max().copied().unwrap_or_default();
        self.promise_time(
            report,
            "all nodes are registered again within two intervals",
            (arrivals.len() == nodes.len()).then_some(last),
            2 * self.registration.interval,
            format!(
                "{} of {}, the last after {}",
                arrivals.len(),
                nodes.len(),
                time(last)
            ),
        );
    }

    fn promise_dark(&self, report: &mut Report) {
        let arrival = self.arrival(&self.back.dark);
        self.promise_time(
            report,
            "so is one that was started in the dark",
            arrival,
            2 * self.registration.interval,
            arrival.map_or("never".to_owned(), |arrival| format!("after {}", time(arrival))),
        );
    }

    fn promise_called(&self, report: &mut Report) {
        let called = self.back.called.map(|called| self.since_return(called));
        let allowed = 2 * self.registration.interval + NOTICED;
        self.promise_time(
            report,
            "a client that lived through it calls that one, too",
            called,
            allowed,
            called.map_or("never".to_owned(), |called| {
                format!("first after {}, allowed are {}", time(called), time(allowed))
            }),
        );
    }

    fn promise_lapse(&self, report: &mut Report) {
        let (name, lifetime) = lifetime(self.kind, self.registration.ttl);
        self.promise_time(
            report,
            &format!(
                "a node that is killed is gone from look-ups after {name} and {} at most",
                time(LAPSE)
            ),
            self.lapsed,
            lifetime + LAPSE,
            match self.lapsed {
                Some(lapsed) => format!("{} after SIGKILL, {name} is {}", time(lapsed), time(lifetime)),
                None if self.back.nodes.iter().all(|node| self.arrival(node).is_none()) => {
                    "none was there to be killed".to_owned()
                }
                None => "it stayed".to_owned(),
            },
        );
    }

    /// What never happens breaks a promise also where times are not judged.
    fn promise_time(
        &self,
        report: &mut Report,
        what: &str,
        took: Option<Duration>,
        allowed: Duration,
        found: String,
    ) {
        match took {
            Some(took) => report.promise_time(what, took <= allowed, found),
            None => report.promise(what, false, found),
        }
    }

    /// How long after the server's return a node was in the registry.
    fn arrival(&self, node: &String) -> Option<Duration> {
        let arrival = self.back.arrivals.get(node);
        arrival.map(|arrival| self.since_return(*arrival))
    }

    fn since_return(&self, at: Duration) -> Duration {
        at.saturating_sub(self.back.returned)
    }
}
