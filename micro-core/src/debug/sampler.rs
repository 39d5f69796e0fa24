//! So many a second, and next to nothing for those beyond.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// How many are refused without a look at the clock, once a second has had enough: all but one in this and one.
const MOST: u32 = 15;

/// Admits so many a second.
pub(super) struct Sampler {
    limit: u32,
    /// A second in the upper half, and how many it admitted in the lower.
    window: AtomicU64,
    /// Of what comes, only those are looked at whose number has none of these bits.
    mask: AtomicU32,
}

impl Sampler {
    pub(super) fn new(limit: u32) -> Self {
        Self {
            limit,
            window: AtomicU64::new(0),
            mask: AtomicU32::new(0),
        }
    }

    /// Whether the one with this number is admitted. The clock says which second it is, and is asked only where that
    /// matters.
    pub(super) fn admits(&self, number: u64, clock: impl FnOnce() -> u32) -> bool {
        if self.limit == 0 || number & u64::from(self.mask.load(Relaxed)) != 0 {
            return false;
        }
        let second = clock();
        let window = self.window.load(Relaxed);
        let mut used = window & u64::from(u32::MAX);
        if window >> 32 != u64::from(second) {
            used = 0;
            self.mask.store(0, Relaxed);
        }
        if used >= u64::from(self.limit) {
            let mask = self.mask.load(Relaxed);
            self.mask.store((mask << 1 | 1).min(MOST), Relaxed);
            return false;
        }
        let next = u64::from(second) << 32 | (used + 1);
        // Who loses a race is not admitted, so that the limit holds.
        self.window
            .compare_exchange(window, next, Relaxed, Relaxed)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_a_second_are_admitted() {
        let sampler = Sampler::new(3);
        let mut number = 0..;
        let mut admitted = |second: u32, count: usize| {
            let numbers = number.by_ref().take(count);
            numbers
                .filter(|number| sampler.admits(*number, || second))
                .count()
        };
        assert_eq!(admitted(0, 2), 2, "all while there are few");
        assert_eq!(admitted(1, 1000), 3);
        assert_eq!(admitted(1, 1000), 0);
        assert_eq!(admitted(2, 1000), 3);
        let after_a_rush = admitted(9, 16);
        assert!((1..=3).contains(&after_a_rush), "{after_a_rush}");
    }

    #[test]
    fn the_clock_is_hardly_asked_under_load() {
        let sampler = Sampler::new(3);
        let mut asked = 0;
        for number in 0..10_000 {
            sampler.admits(number, || {
                asked += 1;
                7
            });
        }
        assert!(asked < 10_000 / 15 + 10, "{asked}");
    }

    #[test]
    fn a_limit_of_nothing_admits_nothing() {
        assert!(!Sampler::new(0).admits(0, || 0));
    }
}
