//! What is left of a rate: how many calls may come now.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

use super::Rate;
use super::rate::Ticks;

/// Holds the calls that may come at once, and fills at an even pace. It is kept as the moment at which it will be full:
/// each call that is taken out puts that off by the interval of the rate.
pub(super) struct Bucket {
    made: Instant,
    /// The bits of an `f64`, 0 without a limit.
    per_second: AtomicU64,
    burst: AtomicU32,
    /// In ticks since `made`.
    full_at: AtomicU64,
    /// Tells those that wait that the rate is another.
    changed: Notify,
}

impl Bucket {
    pub(super) fn new(rate: Option<Rate>) -> Self {
        let bucket = Self {
            made: Instant::now(),
            per_second: AtomicU64::default(),
            burst: AtomicU32::default(),
            full_at: AtomicU64::default(),
            changed: Notify::new(),
        };
        bucket.store(rate);
        bucket
    }

    pub(super) fn rate(&self) -> Option<Rate> {
        let per_second = f64::from_bits(self.per_second.load(Relaxed));
        Rate::stored(per_second, self.burst.load(Relaxed))
    }

    fn store(&self, rate: Option<Rate>) {
        if let Some(rate) = rate {
            self.burst.store(rate.burst(), Relaxed);
        }
        let per_second = rate.map_or(0.0, |rate| rate.per_second());
        self.per_second.store(per_second.to_bits(), Relaxed);
    }

    /// Resolves with the first change after this was called.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    fn now(&self) -> u64 {
        Ticks::from(self.made.elapsed()).0
    }

    /// Takes a call out and says how long it has to wait; or takes none, where that is longer than the patience.
    pub(super) fn take(&self, rate: Rate, patience: Ticks) -> Result<Ticks, Ticks> {
        let (interval, room, now) = (rate.interval().0, rate.room().0, self.now());
        let taken = |full_at: u64| full_at.max(now).saturating_add(interval);
        let wait = |full_at: u64| Ticks(taken(full_at).saturating_sub(now.saturating_add(room)));
        let took = self.full_at.fetch_update(Relaxed, Relaxed, |full_at| {
            (wait(full_at) <= patience).then(|| taken(full_at))
        });
        took.map(wait).map_err(wait)
    }

    pub(super) fn set(&self, rate: Option<Rate>) {
        let before = self.rate();
        self.store(rate);
        let now = self.now();
        let _ = self.full_at.fetch_update(Relaxed, Relaxed, |full_at| {
            let (Some(before), Some(rate)) = (before, rate) else {
                return Some(now);
            };
            let used = full_at.saturating_sub(now) as f64 / before.interval().0 as f64;
            let used = (used * rate.interval().0 as f64) as u64;
            // Whoever waits asks again.
            Some(now.saturating_add(used.min(rate.room().0)))
        });
        self.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    fn rate(per_second: f64, burst: u32) -> Rate {
        Rate::new(per_second).unwrap().with_burst(burst).unwrap()
    }

    /// How many calls are let through now.
    fn drain(bucket: &Bucket) -> u32 {
        let mut taken = 0;
        while bucket
            .rate()
            .is_none_or(|rate| bucket.take(rate, Ticks::ZERO).is_ok())
        {
            taken += 1;
            if taken == 100_000 {
                break;
            }
        }
        taken
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_come_at_once_as_may_and_then_those_of_each_second() {
        for (per_second, burst) in [(1.0, 1), (3.0, 7), (1000.0, 1), (1000.0, 20), (1000.0, 1000)] {
            let bucket = Bucket::new(Some(rate(per_second, burst)));
            assert_eq!(drain(&bucket), burst);
            let mut taken = 0;
            for _ in 0..10_000 {
                advance(Duration::from_millis(1)).await;
                taken += drain(&bucket);
            }
            assert_eq!(taken, per_second as u32 * 10, "{per_second} {burst}");
            advance(Duration::from_secs(3600)).await;
            assert_eq!(drain(&bucket), burst, "no more is saved up than that");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_every_two_seconds_is_a_rate() {
        let bucket = Bucket::new(Some(Rate::new(0.5).unwrap()));
        let mut taken = drain(&bucket);
        for _ in 0..100 {
            advance(Duration::from_secs(1)).await;
            taken += drain(&bucket);
        }
        assert_eq!(taken, 1 + 50);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_used_stays_used_when_the_rate_changes() {
        let bucket = Bucket::new(Some(rate(1.0, 100)));
        assert_eq!(drain(&bucket), 100);
        // The debt of a hundred seconds is one of calls, not of time.
        bucket.set(Some(rate(1000.0, 150)));
        assert_eq!(drain(&bucket), 50);
        advance(Duration::from_millis(10)).await;
        assert_eq!(drain(&bucket), 10);
        bucket.set(Some(rate(10.0, 5)));
        assert_eq!(drain(&bucket), 0);
        advance(Duration::from_millis(100)).await;
        assert_eq!(drain(&bucket), 1);
        bucket.set(None);
        assert_eq!(drain(&bucket), 100_000);
        bucket.set(Some(rate(10.0, 5)));
        assert_eq!(drain(&bucket), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn the_extremes_let_through_what_they_say() {
        let day = Duration::from_secs(86_400);
        let slowest = Bucket::new(Some(Rate::new(1.0 / 86_400.0).unwrap()));
        assert_eq!(drain(&slowest), 1);
        advance(day - Duration::from_secs(1)).await;
        assert_eq!(drain(&slowest), 0);
        advance(Duration::from_secs(1)).await;
        assert_eq!(drain(&slowest), 1);
        let quickest = Bucket::new(Some(Rate::new(1e9).unwrap()));
        assert_eq!(drain(&quickest), 100_000);
        let widest = Bucket::new(Some(rate(1.0 / 86_400.0, u32::MAX)));
        // What is counted of a burst is what comes in two years.
        assert_eq!(
            drain(&widest),
            (Ticks::LONGEST.0 / rate(1.0 / 86_400.0, 1).interval().0) as u32
        );
        for bucket in [slowest, quickest, widest] {
            for new in [Some(rate(1e9, u32::MAX)), Some(rate(1.0 / 86_400.0, 1)), None] {
                bucket.set(new);
                advance(day * 365).await;
                assert!(drain(&bucket) > 0);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn threads_together_take_no_more_than_there_is() {
        let limit = rate(1.0, 10_000);
        let bucket = Bucket::new(Some(limit));
        let taken: usize = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        (0..5000)
                            .filter(|_| bucket.take(limit, Ticks::ZERO).is_ok())
                            .count()
                    })
                })
                .collect();
            takers.into_iter().map(|taker| taker.join().unwrap()).sum()
        });
        assert_eq!(taken, 10_000);
    }
}
