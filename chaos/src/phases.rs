//! A load in parts, each of which is counted by itself.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use anyhow::Result;

use crate::attempts::Attempts;
use crate::ledger::Runs;
use crate::load::{Load, Tally};
use crate::trial::Outcome;

/// A load that goes on, and the parts of it that are over.
pub(crate) struct Phases {
    load: Load,
    attempts: Arc<Attempts>,
    over: Vec<Phase>,
}

struct Phase {
    name: String,
    calls: Range<u64>,
    /// All attempts from the beginning of the load to the end of this part.
    attempts: u64,
    tally: Tally,
}

impl Phases {
    pub(crate) fn new(load: Load, attempts: Arc<Attempts>) -> Self {
        Self {
            load,
            attempts,
            over: Vec::new(),
        }
    }

    /// Ends a part with the answers to its last calls, and begins the next one.
    pub(crate) async fn turn(&mut self, name: String) -> Result<()> {
        self.end(name).await?;
        self.load.resume();
        Ok(())
    }

    /// Ends the last part.
    pub(crate) async fn end(&mut self, name: String) -> Result<()> {
        self.load.stop();
        let tally = self.load.end().await?;
        let first = self.over.last().map_or(0, |phase| phase.calls.end);
        self.over.push(Phase {
            name,
            calls: first..self.load.calls(),
            attempts: self.attempts.total(),
            tally,
        });
        Ok(())
    }

    /// How many calls there were in all, and what became of them.
    pub(crate) fn together(&self) -> (u64, Tally) {
        let mut all = Tally::default();
        for Phase { tally, .. } in &self.over {
            all.times.extend(&tally.times);
            all.failures.extend(tally.failures.iter().cloned());
        }
        all.times.sort_unstable();
        (self.load.calls(), all)
    }

    /// What came of each part.
    pub(crate) fn outcomes(self, runs: &Runs) -> Vec<(String, Outcome)> {
        let mut before = 0;
        let outcomes = self.over.into_iter().map(|phase| {
            let outcome = Outcome {
                calls: phase.calls.end - phase.calls.start,
                tally: phase.tally,
                attempts: Some(phase.attempts - before),
                runs: runs.of(phase.calls),
                ended: Vec::new(),
                picks: HashMap::new(),
            };
            before = phase.attempts;
            (phase.name, outcome)
        });
        outcomes.collect()
    }
}
