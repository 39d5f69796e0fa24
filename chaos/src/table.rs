//! What was measured, one row each, aligned.

use std::fmt;

use crate::statistics::{percentile, thousands, time};
use crate::trial::Outcome;

/// Those of calls.
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
#[derive(Debug)]
pub(crate) struct Table {
    heads: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Default for Table {
    fn default() -> Self {
        Self::new(&HEADS)
    }
}

impl Table {
    /// A table without rows. The first column holds words, the others numbers.
    pub(crate) fn new(heads: &[&str]) -> Self {
        Self {
            heads: heads.iter().map(|&head| head.to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row, which has as many fields as there are heads.
    pub(crate) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// Adds a row to a table of calls. The last column is from the signal that ended a node to the last attempt at it,
    /// but for those that ask whether it is back.
    pub(crate) fn push_calls(&mut self, what: &str, outcome: &Outcome) {
        let times = &outcome.tally.times;
        self.push(vec![
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
        let lines = self.rows.iter().chain([&self.heads]);
        lines
            .filter_map(|line| line.get(column))
            .map(|field| field.chars().count())
            .max()
            .unwrap_or_default()
    }

    fn line(&self, formatter: &mut fmt::Formatter<'_>, fields: &[String]) -> fmt::Result {
        for (column, field) in fields.iter().enumerate() {
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
        self.line(formatter, &self.heads)?;
        for column in 0..self.heads.len() {
            let end = if column == 0 { '-' } else { ':' };
            write!(formatter, "|{}{end}", "-".repeat(self.width(column) + 1))?;
        }
        writeln!(formatter, "|")?;
        self.rows.iter().try_for_each(|row| self.line(formatter, row))
    }
}
