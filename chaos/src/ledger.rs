//! Which calls ran, and how often: noted by the nodes, compared when all is over.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use micro::Error;

/// The numbers of the calls that one node ran. Each is with the operating system before its call goes on, so that
/// a node that is killed loses none.
pub(crate) struct Ledger(File);

impl Ledger {
    /// A ledger in a new file.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().append(true).create_new(true).open(path);
        let file = file.with_context(|| format!("the ledger {} cannot be made", path.display()))?;
        Ok(Self(file))
    }

    /// Notes that a call runs.
    pub(crate) fn enter(&self, call: u64) -> micro::Result<()> {
        (&self.0)
            .write_all(&call.to_le_bytes())
            .map_err(|problem| Error::internal("chaos", format!("the ledger cannot be written: {problem}")))
    }
}

/// The numbers in a ledger, in the order in which they were entered.
pub(crate) fn numbers(ledger: &Path) -> Result<Vec<u64>> {
    let bytes = std::fs::read(ledger).with_context(|| format!("{} cannot be read", ledger.display()))?;
    let (numbers, rest) = bytes.as_chunks::<8>();
    ensure!(rest.is_empty(), "a ledger ends in the middle of a number");
    Ok(numbers.iter().map(|number| u64::from_le_bytes(*number)).collect())
}

/// How often each call ran, on all nodes together.
#[derive(Debug)]
pub(crate) struct Runs {
    times: Vec<u8>,
    total: u64,
    strangers: u64,
}

impl Runs {
    /// Reads the ledgers of a run of so many calls, which are numbered from zero.
    pub(crate) fn read(directory: &Path, calls: u64) -> Result<Self> {
        let unread = || format!("the ledgers in {} cannot be read", directory.display());
        let mut runs = Self::none(calls);
        for entry in std::fs::read_dir(directory).with_context(unread)? {
            let numbers = numbers(&entry.with_context(unread)?.path())?;
            numbers.into_iter().for_each(|number| runs.add(number));
        }
        Ok(runs)
    }

    /// The same for those of the calls with these numbers.
    pub(crate) fn of(&self, calls: Range<u64>) -> Self {
        let at = |number| {
            usize::try_from(number)
                .unwrap_or(usize::MAX)
                .min(self.times.len())
        };
        let times = self.times[at(calls.start)..at(calls.end)].to_vec();
        Self {
            total: times.iter().map(|times| u64::from(*times)).sum(),
            times,
            strangers: 0,
        }
    }

    fn none(calls: u64) -> Self {
        Self {
            times: vec![0; usize::try_from(calls).unwrap_or(usize::MAX)],
            total: 0,
            strangers: 0,
        }
    }

    fn add(&mut self, call: u64) {
        self.total += 1;
        let times = usize::try_from(call).ok().and_then(|at| self.times.get_mut(at));
        match times {
            Some(times) => *times = times.saturating_add(1),
            None => self.strangers += 1,
        }
    }

    /// How often handlers ran.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// How often handlers ran for calls that nobody made.
    pub(crate) fn strangers(&self) -> u64 {
        self.strangers
    }

    /// How many calls ran more than once.
    pub(crate) fn repeated(&self) -> u64 {
        self.times.iter().filter(|times| **times > 1).count() as u64
    }

    /// How many calls never ran.
    pub(crate) fn missing(&self) -> u64 {
        self.times.iter().filter(|times| **times == 0).count() as u64
    }

    /// Whether a call ran at all.
    pub(crate) fn has_run(&self, call: u64) -> bool {
        usize::try_from(call)
            .ok()
            .and_then(|at| self.times.get(at))
            .is_some_and(|times| *times > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_nodes_ran_is_counted_together() {
        let directory = tempfile::tempdir().unwrap();
        for (name, calls) in [("a", &[0, 1, 3][..]), ("b", &[1, 99])] {
            let ledger = Ledger::create(&directory.path().join(name)).unwrap();
            calls.iter().for_each(|call| ledger.enter(*call).unwrap());
        }
        let runs = Runs::read(directory.path(), 4).unwrap();
        let counts = (runs.total(), runs.repeated(), runs.missing(), runs.strangers());
        assert_eq!(counts, (5, 1, 1, 1));
        let part = runs.of(1..3);
        assert_eq!((part.total(), part.repeated(), part.missing()), (2, 1, 1));
        assert!(runs.has_run(3) && !runs.has_run(2) && !runs.has_run(99));
    }
}
