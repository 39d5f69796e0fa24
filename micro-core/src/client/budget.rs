//! How many repetitions a client may afford: a storm of retries must not keep a troubled service down.

use std::sync::atomic::{AtomicI64, Ordering};

/// The price of a repetition. Calls earn parts of it.
const PRICE: i64 = 1000;
/// As many repetitions can be saved up.
const SAVINGS: i64 = 100;

#[derive(Debug)]
pub(super) struct Budget {
    saved: AtomicI64,
    earned_by_call: i64,
}

impl Budget {
    pub(super) fn new(per_call: f32) -> Self {
        Self {
            saved: AtomicI64::new(SAVINGS * PRICE),
            earned_by_call: (per_call.clamp(0.0, 1000.0) * PRICE as f32) as i64,
        }
    }

    /// Notes a call. While the savings are full, which is nearly always, nothing is written.
    pub(super) fn earn(&self) {
        if self.saved.load(Ordering::Relaxed) < SAVINGS * PRICE {
            self.saved.fetch_add(self.earned_by_call, Ordering::Relaxed);
        }
    }

    /// Pays for a repetition, if it can be afforded.
    pub(super) fn spend(&self) -> bool {
        self.saved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |saved| {
                (saved >= PRICE).then_some(saved - PRICE)
            })
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_must_be_earned_again() {
        let budget = Budget::new(0.5);
        assert_eq!((0..200).filter(|_| budget.spend()).count(), 100);
        budget.earn();
        assert!(!budget.spend());
        budget.earn();
        assert!(budget.spend());
    }
}
