//! What a service takes on: as it is chosen, and as it changes while the service runs.

use micro_core::ServiceBuilder;
use micro_core::handler::{ConcurrencyLimit, Rate, RateLimit};

use super::values::Values;

pub(super) const RATE: &str = "server_rate_limit";
pub(super) const BURST: &str = "server_rate_burst";
pub(super) const CONCURRENCY: &str = "server_concurrency_limit";

/// What a service takes on; calls beyond are refused with 429. By default everything.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// How many calls a second. `None`: no limit.
    pub rate: Option<Rate>,
    /// How many calls at the same time. `None`: no limit.
    pub concurrency: Option<usize>,
}

impl Limits {
    pub(super) fn read(values: &Values) -> Result<Self, String> {
        let rate = values.read_as(RATE, parse_rate)?.flatten();
        let burst = values.number(BURST)?.filter(|burst| *burst > 0);
        let rate = match (rate, burst) {
            (Some(rate), Some(burst)) => {
                let rate = rate.with_burst(burst);
                Some(rate.map_err(|error| values.about(BURST, error.detail()))?)
            }
            (rate, _) => rate,
        };
        let concurrency = values.number(CONCURRENCY)?.filter(|limit| *limit > 0);
        Ok(Self { rate, concurrency })
    }

    pub(super) fn warning(&self, values: &Values) -> Option<String> {
        let is_idle = self.rate.is_none() && values.is_given(BURST) && values.get(BURST) != Some("0");
        is_idle.then(|| {
            values.about(
                BURST,
                &format!("it has no effect without {RATE}, which is not set"),
            )
        })
    }
}

/// Reads calls a second, of which 0 are no limit.
fn parse_rate(text: &str) -> Result<Option<Rate>, String> {
    let wrong =
        || format!("{text:?} is no rate; write calls a second, such as 1000 or 0.5, or 0 for no limit");
    let number: f64 = text.parse().map_err(|_| wrong())?;
    if number == 0.0 {
        return Ok(None);
    }
    Rate::new(number).map(Some).map_err(|_| wrong())
}

/// The limits of a service, which may change.
#[derive(Clone)]
pub(super) struct LiveLimits {
    rate: RateLimit,
    concurrency: ConcurrencyLimit,
}

impl LiveLimits {
    pub(super) fn of(limits: Limits) -> Self {
        Self {
            rate: RateLimit::new(limits.rate),
            concurrency: ConcurrencyLimit::new(concurrency(limits.concurrency)),
        }
    }

    #[cfg(feature = "config")]
    pub(super) fn set_rate(&self, rate: Option<Rate>) {
        self.rate.set(rate);
    }

    #[cfg(feature = "config")]
    pub(super) fn set_concurrency(&self, limit: Option<usize>) {
        self.concurrency.set(concurrency(limit));
    }

    /// Puts them around a service: those that there are, or both where they may change.
    pub(super) fn wrap(self, mut builder: ServiceBuilder, may_change: bool) -> ServiceBuilder {
        // First the rate, whose refusals cost less and hold nothing.
        if may_change || self.rate.get().is_some() {
            builder = builder.wrap_server(self.rate);
        }
        if may_change || self.concurrency.get() != ConcurrencyLimit::UNLIMITED {
            builder = builder.wrap_server(self.concurrency);
        }
        builder
    }
}

fn concurrency(limit: Option<usize>) -> usize {
    limit.unwrap_or(ConcurrencyLimit::UNLIMITED)
}
