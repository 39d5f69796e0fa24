//! How far a partition is handled.

use std::collections::VecDeque;

/// How many events may be given out behind one that is not decided.
pub(crate) const MAX_AHEAD: usize = 65_536;

/// The events of a partition from the first that is not handled on.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Up to where all is handled: the offset of the first that is not. None before the first event, where reading
    /// began at a place without a number.
    position: Option<i64>,
    /// The last position that librdkafka was given to commit.
    stored: Option<i64>,
    /// Offsets that were given out, ascending, and whether they are handled. Kafka leaves some out.
    given: VecDeque<(i64, bool)>,
}

impl Progress {
    /// Begins at a position that Kafka knows already.
    pub(crate) fn known_at(position: i64) -> Self {
        Self {
            position: Some(position),
            stored: Some(position),
            ..Self::default()
        }
    }

    /// Begins at a position that Kafka is to know.
    pub(crate) fn beginning_at(position: Option<i64>) -> Self {
        Self {
            position,
            ..Self::default()
        }
    }

    /// Whether an event lies behind all that were given out. If not, the partition was made anew.
    pub(crate) fn is_behind(&self, offset: i64) -> bool {
        let last = self.given.back().map(|(last, _)| *last);
        last.is_none_or(|last| last < offset) && self.position.is_none_or(|position| position <= offset)
    }

    /// An event is given out for the first time.
    pub(crate) fn give(&mut self, offset: i64) {
        if self.given.is_empty() {
            self.position = Some(offset);
        }
        self.given.push_back((offset, false));
    }

    /// An event is handled.
    pub(crate) fn finish(&mut self, offset: i64) {
        let Ok(index) = self.given.binary_search_by_key(&offset, |(given, _)| *given) else {
            return;
        };
        self.given[index].1 = true;
        while let Some((first, true)) = self.given.front() {
            self.position = Some(first + 1);
            self.given.pop_front();
        }
    }

    /// Whether so many wait behind one undecided event that no more may be given out.
    pub(crate) fn is_full(&self) -> bool {
        self.given.len() >= MAX_AHEAD
    }

    /// The position that librdkafka does not know yet.
    pub(crate) fn unstored(&self) -> Option<i64> {
        self.position.filter(|position| Some(*position) != self.stored)
    }

    /// librdkafka knows a position.
    pub(crate) fn stored(&mut self, position: i64) {
        self.stored = Some(position);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_before_the_first_undecided_event_is_committed() {
        let mut progress = Progress::known_at(10);
        for offset in [10, 11, 12, 15] {
            assert!(progress.is_behind(offset));
            progress.give(offset);
        }
        assert_eq!(progress.unstored(), None);
        progress.finish(11);
        progress.finish(15);
        assert_eq!(progress.unstored(), None, "10 is not handled");
        progress.finish(10);
        assert_eq!(progress.unstored(), Some(12));
        progress.stored(12);
        assert_eq!(progress.unstored(), None);
        progress.finish(12);
        assert_eq!(progress.unstored(), Some(16), "Kafka left out 13 and 14");
    }

    #[test]
    fn a_partition_that_begins_without_a_number_has_a_position_with_its_first_event() {
        let mut progress = Progress::beginning_at(None);
        assert_eq!(progress.unstored(), None);
        progress.give(3);
        assert_eq!(progress.unstored(), Some(3));
        assert_eq!(Progress::beginning_at(Some(7)).unstored(), Some(7));
    }

    #[test]
    fn what_was_never_given_out_changes_nothing() {
        let mut progress = Progress::known_at(5);
        progress.give(5);
        assert!(!progress.is_behind(5) && !progress.is_behind(4));
        progress.finish(99);
        progress.finish(5);
        progress.finish(5);
        assert_eq!(progress.unstored(), Some(6));
    }

    #[test]
    fn one_undecided_event_lets_only_so_many_pass() {
        let mut progress = Progress::known_at(0);
        progress.give(0);
        for offset in 1..MAX_AHEAD as i64 {
            progress.give(offset);
            progress.finish(offset);
        }
        assert!(progress.is_full());
        progress.finish(0);
        assert!(!progress.is_full());
    }
}
