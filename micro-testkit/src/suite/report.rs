//! What a run of a suite found.

use std::collections::BTreeMap;
use std::fmt;

use super::{Ending, Failure, Outcome};

/// What a run of a suite found: which cases passed, failed and were skipped, by name.
#[derive(Debug, Clone, Default)]
pub struct Report {
    passed: Vec<&'static str>,
    failed: BTreeMap<&'static str, Failure>,
    skipped: BTreeMap<&'static str, &'static str>,
}

impl Report {
    /// The cases that passed.
    pub fn passed(&self) -> &[&'static str] {
        &self.passed
    }

    /// The cases that failed, and why.
    pub fn failed(&self) -> &BTreeMap<&'static str, Failure> {
        &self.failed
    }

    /// The cases that were skipped, and why.
    pub fn skipped(&self) -> &BTreeMap<&'static str, &'static str> {
        &self.skipped
    }

    /// Whether no case failed.
    pub fn is_good(&self) -> bool {
        self.failed.is_empty()
    }

    /// Whether the case of this name failed.
    pub fn has_failed(&self, name: &str) -> bool {
        self.failed.contains_key(name)
    }
}

impl FromIterator<(&'static str, Outcome)> for Report {
    fn from_iter<I: IntoIterator<Item = (&'static str, Outcome)>>(endings: I) -> Self {
        let mut report = Self::default();
        for (name, outcome) in endings {
            match outcome {
                Ok(()) => report.passed.push(name),
                Err(Ending::Failed(failure)) => {
                    report.failed.insert(name, failure);
                }
                Err(Ending::Skipped(why)) => {
                    report.skipped.insert(name, why);
                }
            }
        }
        report.passed.sort_unstable();
        report
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, failure) in &self.failed {
            writeln!(formatter, "FAILED  {name}: {failure}")?;
        }
        for (name, why) in &self.skipped {
            writeln!(formatter, "skipped {name}: {why}")?;
        }
        write!(
            formatter,
            "{} passed, {} failed, {} skipped",
            self.passed.len(),
            self.failed.len(),
            self.skipped.len()
        )
    }
}
