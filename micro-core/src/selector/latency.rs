//! A node's latency: quick to believe that it became slow, slow to believe that it became fast.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// After this time, an old measurement weighs a third (1/e) of what it did, in milliseconds.
const FADING: f32 = 10_000.0;

/// A decaying average in one word: microseconds as `f32` above, the time of the last measurement (wrapping
/// milliseconds) below. Zero: never measured.
///
/// Two measurements at the same moment may cost one of them, which does no harm.
#[derive(Debug, Default)]
pub(super) struct Latency(AtomicU64);

impl Latency {
    pub(super) fn observe(&self, now: u64, latency: Duration) {
        let measured = (latency.as_secs_f32() * 1e6).max(1.0);
        let average = match self.read(now) {
            Some((average, weight)) if measured < average => average * weight + measured * (1.0 - weight),
            _ => measured,
        };
        let word = u64::from(average.to_bits()) << 32 | u64::from(now as u32);
        self.0.store(word, Ordering::Relaxed);
    }

    /// Microseconds, faded by the time since the last measurement, so that a node that was slow once is tried
    /// again. `None`: never measured.
    pub(super) fn micros(&self, now: u64) -> Option<f32> {
        self.read(now).map(|(average, weight)| average * weight)
    }

    /// The average as it was, and how much of it counts by now.
    fn read(&self, now: u64) -> Option<(f32, f32)> {
        let word = self.0.load(Ordering::Relaxed);
        if word == 0 {
            return None;
        }
        let elapsed = (now as u32).wrapping_sub(word as u32);
        // A clock read on another thread may be a little behind the one that was stored.
        let elapsed = if elapsed > u32::MAX / 2 { 0 } else { elapsed };
        Some((
            f32::from_bits((word >> 32) as u32),
            (-(elapsed as f32) / FADING).exp(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_believed_at_once_and_forgotten_slowly() {
        let latency = Latency::default();
        assert_eq!(latency.micros(0), None);
        latency.observe(0, Duration::from_micros(100));
        latency.observe(1, Duration::from_millis(50));
        assert!(latency.micros(1).unwrap() > 49_000.0);
        latency.observe(2, Duration::from_micros(100));
        assert!(
            latency.micros(2).unwrap() > 49_000.0,
            "one fast answer is not a fast node"
        );
        latency.observe(30_002, Duration::from_micros(100));
        let faded = latency.micros(30_002).unwrap();
        assert!((100.0..5_000.0).contains(&faded), "{faded}");
    }

    #[test]
    fn a_measurement_fades_when_none_follows() {
        let latency = Latency::default();
        latency.observe(0, Duration::from_millis(10));
        assert!(latency.micros(60_000).unwrap() < 100.0);
    }
}
