//! What was measured, one row each, aligned.

use std::fmt;

use crate::statistics::{percentile, thousands, time};
use crate::trial::Outcome;

const HEADS: [&str; 9] = [
    "",
    "calls",
    "failed",
    "retried",
    "handler runs",
    "p50",
    "p99",
    "longest",
    "left alone after",
];

/// A Markdown table that is aligned in plain text, too.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<[String; HEADS.len()]>);

impl Table {
    /// Adds a row. The last column is from the signal that ended a node to the last attempt at it, but for those that
    /// ask whether it is back.
    pub(crate) fn push(&mut self, what: &str, outcome: &Outcome) {
        let times = &outcome.tally.times;
        self.0.push([
            what.to_owned(),
            thousands(outcome.calls),
            thousands(outcome.tally.failures.len() as u64),
            outcome.attempts.map_or_else(nothing, |attempts| {
                thousands(attempts.saturating_sub(outcome.calls))
            }),
            thousands(outcome.runs.total()),
            time(percentile(times, 50)),
            time(percentile(times, 99)),
            time(percentile(times, 100)),
            outcome.dead().picked_for.map_or_else(nothing, time),
        ]);
    }

    fn width(&self, column: usize) -> usize {
        let fields = self.0.iter().map(|row| row[column].as_str());
        fields
            .chain([HEADS[column]])
            .map(|field| field.chars().count())
            .max()
            .unwrap_or_default()
    }

    fn line(&self, formatter: &mut fmt::Formatter<'_>, fields: [&str; HEADS.len()]) -> fmt::Result {
        for (column, field) in fields.into_iter().enumerate() {
            let width = self.width(column);
            if column == 0 {
                write!(formatter, "| {field:<width$} ")?;
            } else {
                write!(formatter, "| {field:>width$} ")?;
            }
        }
        writeln!(formatter, "|")
    }
}

/// Stands where nothing was counted.
fn nothing() -> String {
    "-".to_owned()
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.line(formatter, HEADS)?;
        for column in 0..HEADS.len() {
            let end = if column == 0 { '-' } else { ':' };
            write!(formatter, "|{}{end}", "-".repeat(self.width(column) + 1))?;
        }
        writeln!(formatter, "|")?;
        self.0
            .iter()
            .try_for_each(|row| self.line(formatter, row.each_ref().map(String::as_str)))
    }
}
