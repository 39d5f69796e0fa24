//! Nodes that fail are left out for a while, and come back by themselves.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// When a failing node is left out, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blacklist {
    /// How many [`Failed`](super::Outcome::Failed) calls in a row put a node out. Default 3; 0 counts as 1.
    ///
    /// An [`Unreachable`](super::Outcome::Unreachable) node is out at once.
    pub failures: u32,
    /// How long a node is out the first time; each further time doubles it. Default 100 ms.
    pub shortest: Duration,
    /// The longest time that a node is out before one call tries it again. Default 30 s.
    pub longest: Duration,
}

impl Default for Blacklist {
    fn default() -> Self {
        Self {
            failures: 3,
            shortest: Duration::from_millis(100),
            longest: Duration::from_secs(30),
        }
    }
}

impl Blacklist {
    fn millis(&self, level: u64) -> u64 {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let shortest = millis(self.shortest).clamp(1, MAX_MILLIS);
        let longest = millis(self.longest).clamp(shortest, MAX_MILLIS);
        shortest.saturating_mul(1 << level.min(MAX_LEVEL)).min(longest)
    }
}

/// Far beyond what any sensible pair of limits can tell apart, and small enough for the shift.
const MAX_LEVEL: u64 = 40;
const LEVEL_BITS: u32 = 8;
/// Some 35 years: what is added to the time of a process must fit beside the level.
const MAX_MILLIS: u64 = 1 << 40;

/// The failure state of one node. Time is in milliseconds since an instant of the owner's choice.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// Zero while the node is well; else until when it is out (high bits) and how often it was put out (low bits).
    outage: AtomicU64,
    failures: AtomicU32,
}

impl Health {
    /// Whether nothing is held against the node. Costs one load, needs no clock.
    pub(super) fn is_well(&self) -> bool {
        self.outage.load(Ordering::Relaxed) == 0
    }

    /// Until when the node is out, if it is or was and has not answered since.
    pub(super) fn out_until(&self) -> Option<u64> {
        let outage = self.outage.load(Ordering::Relaxed);
        (outage != 0).then_some(outage >> LEVEL_BITS)
    }

    /// Whether a call may go there now. When the time out is over, exactly one caller hears yes, and the node is
    /// out again, for longer, until that call is told to have succeeded.
    pub(super) fn admits(&self, now: u64, limits: &Blacklist) -> bool {
        let outage = self.outage.load(Ordering::Relaxed);
        outage == 0 || (now >= outage >> LEVEL_BITS && self.put_out(outage, now, limits))
    }

    pub(super) fn succeeded(&self) {
        // Read first: in good health this touches no shared line for writing.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        if !self.is_well() {
            self.outage.store(0, Ordering::Relaxed);
        }
    }

    pub(super) fn failed(&self, now: u64, limits: &Blacklist) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures >= limits.failures {
            self.unreachable(now, limits);
        }
    }

    /// A hundred calls that are refused together count once: only a failure after the time out makes it longer.
    pub(super) fn unreachable(&self, now: u64, limits: &Blacklist) {
        let outage = self.outage.load(Ordering::Relaxed);
        if outage == 0 || now >= outage >> LEVEL_BITS {
            self.put_out(outage, now, limits);
        }
    }

    fn put_out(&self, from: u64, now: u64, limits: &Blacklist) -> bool {
        let level = match from {
            0 => 0,
            _ => (from & ((1 << LEVEL_BITS) - 1)).saturating_add(1).min(MAX_LEVEL),
        };
        let until = now.saturating_add(limits.millis(level)).max(1);
        let to = until << LEVEL_BITS | level;
        self.outage
            .compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_out_doubles_up_to_the_longest() {
        let (health, limits) = (Health::default(), Blacklist::default());
        health.unreachable(0, &limits);
        let mut waits = Vec::new();
        let mut now = 0;
        for _ in 0..12 {
            let until = health.out_until().unwrap();
            waits.push(until - now);
            assert!(!health.admits(until - 1, &limits));
            now = until;
            assert!(health.admits(now, &limits), "one may try");
            assert!(!health.admits(now, &limits), "and only one");
        }
        assert_eq!(waits[..4], [100, 200, 400, 800]);
        assert_eq!(waits[11], 30_000);
        health.succeeded();
        assert!(health.admits(now, &limits) && health.admits(now, &limits));
        health.unreachable(now, &limits);
        assert_eq!(health.out_until(), Some(now + 100), "begins anew");
    }

    #[test]
    fn failures_at_one_time_count_once() {
        let (health, limits) = (Health::default(), Blacklist::default());
        for now in 0..100 {
            health.unreachable(now, &limits);
        }
        assert_eq!(health.out_until(), Some(100));
    }

    #[test]
    fn limits_beyond_measure_are_no_harm() {
        let limits = Blacklist {
            failures: 0,
            shortest: Duration::MAX,
            longest: Duration::ZERO,
        };
        let health = Health::default();
        health.failed(5, &limits);
        assert_eq!(health.out_until(), Some(5 + MAX_MILLIS));
    }

    #[test]
    fn only_failures_in_a_row_put_a_node_out() {
        let (health, limits) = (Health::default(), Blacklist::default());
        health.failed(0, &limits);
        health.failed(0, &limits);
        health.succeeded();
        health.failed(0, &limits);
        health.failed(0, &limits);
        assert!(health.is_well());
        health.failed(0, &limits);
        assert!(!health.admits(0, &limits));
    }
}
