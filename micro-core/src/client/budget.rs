//! How many repetitions a client may afford: a storm of retries must not keep a troubled service down.

use std::sync::atomic::{AtomicI64, Ordering};

/// The price of a repetition. Calls earn parts of it.
const PRICE: i64 = 1000;
/// As many repetitions can be saved up.
const SAVINGS: i64 = 100;

#[derive(Debug)]
pub(super) struct Budget {
    /// Below zero while repetitions made on credit are not paid back.
    saved: AtomicI64,
    /// How many repetitions can be made on credit until all is paid back.
    credit: AtomicI64,
    earned_by_call: i64,
}

impl Budget {
    pub(super) fn new(per_call: f32) -> Self {
        Self {
            saved: AtomicI64::new(SAVINGS * PRICE),
            credit: AtomicI64::new(0),
            earned_by_call: (per_call.clamp(0.0, 1000.0) * PRICE as f32) as i64,
        }
    }

    /// Notes a call. While the savings are full, which is nearly always, nothing is written.
    pub(super) fn earn(&self) {
        if self.saved.load(Ordering::Relaxed) < SAVINGS * PRICE {
            self.saved.fetch_add(self.earned_by_call, Ordering::Relaxed);
        }
    }

    /// Pays for a repetition, if it can be afforded: from what is saved, or else on credit, of which there is as much
    /// as calls were in flight when it was first needed, the one that asks among them. So all calls that are lost with
    /// a node can be repeated, however many they are, but no storm can last.
    pub(super) fn spend(&self, in_flight: impl Fn() -> usize) -> bool {
        if self.pay(0) {
            self.credit.store(0, Ordering::Relaxed);
            return true;
        }
        let in_flight = i64::try_from(in_flight()).unwrap_or(i64::MAX);
        let before = self.credit.fetch_max(in_flight, Ordering::Relaxed);
        self.pay(before.max(in_flight).saturating_mul(PRICE))
    }

    fn pay(&self, credit: i64) -> bool {
        let paid = self
            .saved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |saved| {
                (saved.saturating_add(credit) >= PRICE).then_some(saved - PRICE)
            });
        paid.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_must_be_earned_again() {
        let budget = Budget::new(0.5);
        let can_pay = || budget.spend(|| 0);
        assert_eq!((0..200).filter(|_| can_pay()).count(), 100);
        budget.earn();
        assert!(!can_pay());
        budget.earn();
        assert!(can_pay());
    }

    #[test]
    fn as_many_as_were_in_flight_are_repeated_on_credit_once() {
        let budget = Budget::new(0.5);
        let lost = (1..=500).rev();
        assert!(lost.into_iter().all(|left| budget.spend(|| left)));
        assert!(!budget.spend(|| 400), "the credit is used up");
        (0..400 * 2).for_each(|_| budget.earn());
        let repeated = (0..500).filter(|_| budget.spend(|| 0)).count();
        assert_eq!(repeated, 400, "as many as were paid back");
    }
}
