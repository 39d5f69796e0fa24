//! The lines that the process logged lately.

use std::collections::VecDeque;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Record;

/// How many lines are kept.
const RECORDS: usize = 1024;
/// How many bytes of text they may have together.
const BYTES: usize = 1024 * 1024;
/// How long a message may be, in bytes; what is beyond is cut off.
const MESSAGE: usize = 4096;
/// How long the name or the value of a field may be, in bytes.
const VALUE: usize = 512;
/// How many fields a line may have.
const FIELDS: usize = 40;
/// How many lines a reader takes at a time.
const AT_ONCE: usize = 64;

/// The lines that a process logged lately: the last 1024, or fewer where they are long. Clones are the same log.
///
/// Whoever sets up logging [pushes](Self::push) into it, and services that are given it answer `Debug.Log` from it.
/// Nobody who reads it slows who writes.
#[derive(Clone, Default)]
pub struct RecentLog(Arc<Shared>);

#[derive(Default)]
struct Shared {
    kept: Mutex<Kept>,
    grown: Notify,
}

#[derive(Default)]
struct Kept {
    records: VecDeque<Arc<Record>>,
    bytes: usize,
    /// The number of the oldest record that is kept; they are numbered from 0 on.
    first: u64,
}

impl RecentLog {
    /// A log without lines.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a line, and drops the oldest where there are too many. Long texts are cut off.
    pub fn push(&self, record: Record) {
        let record = Arc::new(cut(record));
        {
            let mut kept = self.lock();
            kept.bytes += size(&record);
            kept.records.push_back(record);
            while kept.records.len() > RECORDS || kept.bytes > BYTES {
                let Some(oldest) = kept.records.pop_front() else {
                    break;
                };
                kept.bytes -= size(&oldest);
                kept.first += 1;
            }
        }
        self.0.grown.notify_waiters();
    }

    /// The last lines, at most `count`, and none from before `since`, in seconds since 1970. The oldest come first.
    pub fn recent(&self, count: usize, since: i64) -> Vec<Record> {
        let reader = self.reader(count, since);
        let kept = self.lock();
        let from = reader.next.saturating_sub(kept.first);
        kept.records
            .iter()
            .skip(usize::try_from(from).unwrap_or(usize::MAX))
            // A line may have come since the reader looked.
            .take(count)
            .map(|record| Record::clone(record))
            .collect()
    }

    /// Reads on from there, as lines come.
    pub(super) fn reader(&self, count: usize, since: i64) -> Reader {
        let kept = self.lock();
        let skipped = kept.records.len().saturating_sub(count);
        let too_old = kept
            .records
            .iter()
            .take_while(|record| record.timestamp < since)
            .count();
        Reader {
            log: self.clone(),
            next: kept.first + skipped.max(too_old) as u64,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for RecentLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.lock();
        formatter
            .debug_struct("RecentLog")
            .field("records", &kept.records.len())
            .field("bytes", &kept.bytes)
            .finish()
    }
}

/// A place in the log, from where to read on.
pub(super) struct Reader {
    log: RecentLog,
    next: u64,
}

/// What a reader found.
pub(super) struct Lines {
    /// How many were dropped before they could be read.
    pub(super) lost: u64,
    pub(super) records: Vec<Arc<Record>>,
}

impl Reader {
    /// The next lines, as many as there are, up to a bound. Nothing: there are none yet.
    pub(super) fn take(&mut self) -> Option<Lines> {
        let kept = self.log.lock();
        let lost = kept.first.saturating_sub(self.next);
        let from = usize::try_from(self.next.max(kept.first) - kept.first).unwrap_or(usize::MAX);
        let records: Vec<_> = kept.records.iter().skip(from).take(AT_ONCE).cloned().collect();
        drop(kept);
        self.next += lost + records.len() as u64;
        (lost > 0 || !records.is_empty()).then_some(Lines { lost, records })
    }

    /// The next lines, once there are some. May be cancelled; nothing is lost then.
    pub(super) async fn wait(&mut self) -> Lines {
        loop {
            let log = self.log.clone();
            let mut grown = pin!(log.0.grown.notified());
            // Asked for before the look at the log, so that no line in between is missed.
            grown.as_mut().enable();
            if let Some(lines) = self.take() {
                return lines;
            }
            grown.await;
        }
    }
}

fn size(record: &Record) -> usize {
    let metadata = record.metadata.iter();
    record.message.len()
        + metadata
            .map(|(name, value)| name.len() + value.len())
            .sum::<usize>()
}

fn cut(mut record: Record) -> Record {
    shorten(&mut record.message, MESSAGE);
    let is_long = |(name, value): (&String, &String)| name.len().max(value.len()) > VALUE;
    if record.metadata.len() > FIELDS || record.metadata.iter().any(is_long) {
        let fields = std::mem::take(&mut record.metadata).into_iter().take(FIELDS);
        record.metadata = fields
            .map(|(mut name, mut value)| {
                shorten(&mut name, VALUE);
                shorten(&mut value, VALUE);
                (name, value)
            })
            .collect();
    }
    record
}

/// Cuts a text that is longer than so many bytes, and shows that it was cut.
pub(super) fn shorten(text: &mut String, limit: usize) {
    if text.len() > limit {
        let end = (0..=limit).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(timestamp: i64) -> Record {
        Record {
            timestamp,
            message: format!("line {timestamp}"),
            ..Record::default()
        }
    }

    fn log(lines: i64) -> RecentLog {
        let log = RecentLog::new();
        (0..lines).for_each(|number| log.push(line(number)));
        log
    }

    fn times(records: &[Record]) -> Vec<i64> {
        records.iter().map(|record| record.timestamp).collect()
    }

    #[test]
    fn the_last_lines_are_kept() {
        let log = log(RECORDS as i64 + 10);
        let all = log.recent(usize::MAX, 0);
        assert_eq!(
            (all.len(), all[0].timestamp),
            (RECORDS, 10),
            "the oldest are dropped"
        );
        assert_eq!(times(&log.recent(2, 0)), [1032, 1033]);
        assert_eq!(times(&log.recent(usize::MAX, 1031)), [1031, 1032, 1033]);
        assert_eq!(times(&log.recent(1, 1031)), [1033]);
        assert!(log.recent(usize::MAX, i64::MAX).is_empty());
        assert!(log.recent(0, 0).is_empty());
    }

    #[test]
    fn long_lines_are_cut_and_keep_few_others() {
        let log = RecentLog::new();
        for _ in 0..RECORDS {
            let fields = (0..100).map(|number| (format!("{number:03}"), "ü".repeat(1000)));
            log.push(Record {
                message: "ü".repeat(100_000),
                metadata: fields.collect(),
                ..Record::default()
            });
        }
        let kept = log.lock();
        assert!(kept.bytes <= BYTES && kept.records.len() > 40, "{}", kept.bytes);
        let last = kept.records.back().unwrap();
        assert!(last.message.len() < MESSAGE + 4 && last.message.ends_with("ü…"));
        assert_eq!(last.metadata.len(), FIELDS);
        assert!(last.metadata.values().all(|value| value.len() < VALUE + 4));
    }

    #[tokio::test]
    async fn a_reader_gets_what_is_there_and_what_comes() {
        let log = log(3);
        let mut reader = log.reader(2, 0);
        assert_eq!(reader.wait().await.records.len(), 2);
        assert!(reader.take().is_none());
        let (lines, ()) = tokio::join!(reader.wait(), async { log.push(line(3)) });
        assert_eq!(
            (lines.lost, lines.records.len(), lines.records[0].timestamp),
            (0, 1, 3)
        );
    }

    #[test]
    fn a_reader_that_is_slow_learns_how_many_lines_it_lost() {
        let log = log(5);
        let mut reader = log.reader(usize::MAX, 0);
        (5..RECORDS as i64 + 12).for_each(|number| log.push(line(number)));
        let lines = reader.take().unwrap();
        assert_eq!(
            (lines.lost, lines.records.len(), lines.records[0].timestamp),
            (12, AT_ONCE, 12)
        );
        assert_eq!(reader.take().unwrap().lost, 0);
    }
}
