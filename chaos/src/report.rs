//! What a run prints: its table, the failures that explain, and its promises.

use std::collections::BTreeMap;
use std::fmt;

use crate::load::Failure;
use crate::statistics::thousands;
use crate::style::Style;
use crate::table::Table;
use crate::trial::Outcome;

/// How many different failures are shown.
const SHOWN: usize = 5;

/// What a run found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) table: Table,
    promises: Vec<Promise>,
    /// How often calls failed in the same way.
    failures: BTreeMap<String, u64>,
    notes: Vec<String>,
    ignore_times: bool,
}

#[derive(Debug)]
struct Promise {
    verdict: Verdict,
    what: String,
    found: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Kept,
    Broken,
    /// A time that was not judged.
    Ignored,
}

impl Report {
    /// A report without a promise. Times are judged unless they are to be ignored.
    pub(crate) fn new(ignore_times: bool) -> Self {
        Self {
            ignore_times,
            ..Self::default()
        }
    }

    /// Adds what came of a load: a row, and the failures.
    pub(crate) fn add(&mut self, what: &str, outcome: &Outcome) {
        self.table.push_calls(what, outcome);
        self.add_failures(&outcome.tally.failures);
    }

    /// Adds failures alone.
    pub(crate) fn add_failures(&mut self, failures: &[Failure]) {
        for Failure { error, .. } in failures {
            *self.failures.entry(error.clone()).or_default() += 1;
        }
    }

    /// Judges a promise, and says what was found.
    pub(crate) fn promise(&mut self, what: impl Into<String>, is_kept: bool, found: impl Into<String>) {
        let verdict = if is_kept { Verdict::Kept } else { Verdict::Broken };
        self.promises.push(Promise {
            verdict,
            what: what.into(),
            found: found.into(),
        });
    }

    /// The same for a promise about a time.
    pub(crate) fn promise_time(&mut self, what: impl Into<String>, is_kept: bool, found: impl Into<String>) {
        self.promise(what, is_kept, found);
        if self.ignore_times
            && let Some(promise) = self.promises.last_mut()
        {
            promise.verdict = Verdict::Ignored;
        }
    }

    /// Explains something, above the promises.
    pub(crate) fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    /// Promises that no call fails. `among` says which calls are meant, such as " with a slow node".
    pub(crate) fn promise_no_failure(&mut self, among: &str, outcome: &Outcome) {
        let failed = outcome.tally.failures.len() as u64;
        self.promise(
            format!("no call fails{among}"),
            failed == 0,
            format!("{} of {} failed", thousands(failed), thousands(outcome.calls)),
        );
    }

    /// Promises that each call ran once.
    pub(crate) fn promise_exactly_once(&mut self, among: &str, outcome: &Outcome) {
        let runs = &outcome.runs;
        let wrong = [runs.missing(), runs.repeated(), runs.strangers()];
        let [missing, repeated, strangers] = wrong.map(thousands);
        self.promise(
            format!("a handler ran exactly once for each call{among}"),
            wrong.iter().all(|count| *count == 0),
            format!("{missing} never, {repeated} more than once, {strangers} for a call that nobody made"),
        );
    }

    /// Whether no promise was broken.
    pub(crate) fn is_kept(&self) -> bool {
        self.promises
            .iter()
            .all(|promise| promise.verdict != Verdict::Broken)
    }

    /// The text in a style.
    pub(crate) fn display(&self, style: Style) -> impl fmt::Display {
        Styled { report: self, style }
    }

    fn write_failures(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (error, count) in self.failures.iter().take(SHOWN) {
            writeln!(formatter, "failed {}: {error}", thousands(*count))?;
        }
        if self.failures.len() > SHOWN {
            let more = self.failures.len() - SHOWN;
            writeln!(formatter, "and {} more ways to fail", thousands(more as u64))?;
        }
        for note in self.notes.iter().take(SHOWN) {
            writeln!(formatter, "{note}")?;
        }
        if self.failures.is_empty() && self.notes.is_empty() {
            return Ok(());
        }
        writeln!(formatter)
    }
}

struct Styled<'a> {
    report: &'a Report,
    style: Style,
}

impl fmt::Display for Styled<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.report.table)?;
        self.report.write_failures(formatter)?;
        let mut promises = self.report.promises.iter();
        promises.try_for_each(|promise| promise.write(formatter, self.style))
    }
}

impl Promise {
    fn write(&self, formatter: &mut fmt::Formatter<'_>, style: Style) -> fmt::Result {
        let Self { verdict, what, found } = self;
        let word = match verdict {
            Verdict::Kept => style.good("kept   "),
            Verdict::Broken => style.bad("broken "),
            Verdict::Ignored => style.pale("ignored"),
        };
        writeln!(formatter, "{word} {what}: {found}")
    }
}
