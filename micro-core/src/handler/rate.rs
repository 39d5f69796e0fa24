//! How many calls a second, as a value.

use std::fmt;
use std::time::Duration;

use crate::error::SERVER;
use crate::{Error, Result};

/// So many calls a second, of which so many may come at once.
///
/// ```
/// use micro_core::handler::Rate;
///
/// let rate = Rate::new(100.0)?.with_burst(20)?;
/// assert_eq!(rate.to_string(), "100 calls a second, 20 at once");
/// assert!(Rate::new(-1.0).is_err());
/// # Ok::<(), micro_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    per_second: f64,
    burst: u32,
}

/// One call in a day.
const LOWEST: f64 = 1.0 / 86_400.0;
/// One call in each nanosecond, beyond which a clock cannot count.
const HIGHEST: f64 = 1e9;

impl Rate {
    /// This many calls a second, where a part of one is fine: 0.5 is a call every two seconds. As many may come at once,
    /// rounded up: so after a pause there are up to twice as many in one second.
    ///
    /// # Errors
    ///
    /// With 400 when it is no number, less than a call a day (such as 0, which is no rate: a
    /// [`RateLimit`](super::RateLimit) without a rate has no limit), or more than a thousand million.
    pub fn new(per_second: f64) -> Result<Self> {
        if !(LOWEST..=HIGHEST).contains(&per_second) {
            let detail = format!(
                "{per_second:?} is no rate; state calls a second, from 0.0000116, which is one a day, to 1000000000"
            );
            return Err(Error::bad_request(SERVER, detail));
        }
        let burst = per_second.ceil() as u32;
        Ok(Self { per_second, burst })
    }

    /// This many at once, in place of those of a second. 1 spaces calls evenly.
    ///
    /// # Errors
    ///
    /// With 400 when it is 0, which would let nothing through.
    pub fn with_burst(self, burst: u32) -> Result<Self> {
        if burst == 0 {
            let detail = "a burst of 0 lets no call through; state how many may come at once, 1 or more";
            return Err(Error::bad_request(SERVER, detail));
        }
        Ok(Self { burst, ..self })
    }

    /// How many calls a second.
    pub fn per_second(&self) -> f64 {
        self.per_second
    }

    /// How many at once.
    pub fn burst(&self) -> u32 {
        self.burst
    }

    /// What was stored, where that is a rate. The burst may not have been stored yet.
    pub(super) fn stored(per_second: f64, burst: u32) -> Option<Self> {
        let burst = burst.max(1);
        (per_second > 0.0).then_some(Self { per_second, burst })
    }

    /// After which time one more call may come.
    pub(super) fn interval(&self) -> Ticks {
        Ticks((TICKS_PER_SECOND / self.per_second) as u64)
    }

    /// The time in which all that may come at once would come one by one.
    pub(super) fn room(&self) -> Ticks {
        Ticks(
            self.interval()
                .0
                .saturating_mul(self.burst.into())
                .min(Ticks::LONGEST.0),
        )
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { per_second, burst } = self;
        let calls = if *per_second == 1.0 { "call" } else { "calls" };
        write!(formatter, "{per_second} {calls} a second, {burst} at once")
    }
}

/// Time in sixteenths of a nanosecond: a rate such as 3000000 is no whole number of nanoseconds. It is counted for 36
/// years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticks(pub(super) u64);

const TICKS_PER_NANOSECOND: u64 = 16;
const TICKS_PER_SECOND: f64 = TICKS_PER_NANOSECOND as f64 * 1e9;

impl Ticks {
    pub(super) const ZERO: Self = Self(0);
    /// Some two years: added to the time of a process it still fits.
    pub(super) const LONGEST: Self = Self(1 << 60);
}

impl From<Duration> for Ticks {
    fn from(time: Duration) -> Self {
        let ticks = time.as_nanos().saturating_mul(TICKS_PER_NANOSECOND.into());
        Self(u64::try_from(ticks).unwrap_or(u64::MAX))
    }
}

impl From<Ticks> for Duration {
    fn from(ticks: Ticks) -> Self {
        Self::from_nanos(ticks.0.div_ceil(TICKS_PER_NANOSECOND))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_rate_is_refused_and_the_error_says_what_is_one() {
        let numbers = [
            0.0,
            -0.0,
            -1.0,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            1e-9,
            1e10,
        ];
        for number in numbers {
            let error = Rate::new(number).unwrap_err();
            assert_eq!(error.code(), 400);
            assert!(error.detail().contains("state calls a second"), "{error}");
        }
        let rate = Rate::new(1.0).unwrap();
        assert!(rate.with_burst(0).unwrap_err().detail().contains("1 or more"));
    }

    #[test]
    fn a_burst_is_a_second_of_calls_unless_stated() {
        for (number, burst) in [(0.5, 1), (1.0, 1), (2.5, 3), (1000.0, 1000), (1e9, 1_000_000_000)] {
            assert_eq!(Rate::new(number).unwrap().burst(), burst);
        }
        let rate = Rate::new(10.0).unwrap().with_burst(3).unwrap();
        assert_eq!((rate.per_second(), rate.burst()), (10.0, 3));
    }

    #[test]
    fn the_extremes_are_counted_without_overflow() {
        let slowest = Rate::new(LOWEST).unwrap().with_burst(u32::MAX).unwrap();
        let day = Duration::from(slowest.interval()).as_secs_f64();
        assert!((day - 86_400.0).abs() < 1.0, "{day}");
        assert_eq!(slowest.room(), Ticks::LONGEST);
        let quickest = Rate::new(HIGHEST).unwrap();
        assert_eq!(Duration::from(quickest.interval()), Duration::from_nanos(1));
        assert_eq!(Ticks::from(Duration::MAX), Ticks(u64::MAX));
    }
}
