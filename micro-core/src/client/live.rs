//! Options that change while they are used.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::{ClientOptions, RetryOptions};

/// The options of a client, to be changed while it calls. Cheap to clone; clones change the same options.
///
/// Calls that begin after a change follow it, those under way keep the time-out that they began with. Reading costs no
/// more than reading a number.
///
/// ```
/// use std::time::Duration;
/// use micro_core::client::{ClientOptions, LiveOptions};
///
/// let live = LiveOptions::from(ClientOptions::default());
/// live.set(ClientOptions { request_timeout: Duration::from_secs(2), ..live.get() });
/// assert_eq!(live.get().request_timeout.as_secs(), 2);
/// ```
#[derive(Clone)]
pub struct LiveOptions(Arc<Parts>);

struct Parts {
    request_timeout: Nanoseconds,
    retries: AtomicU32,
    backoff: Nanoseconds,
    max_backoff: Nanoseconds,
    budget: f32,
}

impl LiveOptions {
    /// The options of now.
    pub fn get(&self) -> ClientOptions {
        ClientOptions {
            request_timeout: self.request_timeout(),
            retry: self.retry(),
        }
    }

    /// Changes them for all calls from now on. What repetitions earn ([`budget`](RetryOptions::budget)) stays as it
    /// was at first. Two changes at the same time may mix.
    pub fn set(&self, options: ClientOptions) {
        let parts = &*self.0;
        parts.request_timeout.set(options.request_timeout);
        parts.retries.store(options.retry.retries, Ordering::Relaxed);
        parts.backoff.set(options.retry.backoff);
        parts.max_backoff.set(options.retry.max_backoff);
    }

    pub(super) fn request_timeout(&self) -> Duration {
        self.0.request_timeout.get()
    }

    pub(super) fn retries(&self) -> u32 {
        self.0.retries.load(Ordering::Relaxed)
    }

    pub(super) fn retry(&self) -> RetryOptions {
        RetryOptions {
            retries: self.retries(),
            backoff: self.0.backoff.get(),
            max_backoff: self.0.max_backoff.get(),
            budget: self.0.budget,
        }
    }
}

impl From<ClientOptions> for LiveOptions {
    fn from(options: ClientOptions) -> Self {
        let ClientOptions {
            request_timeout,
            retry,
        } = options;
        Self(Arc::new(Parts {
            request_timeout: request_timeout.into(),
            retries: AtomicU32::new(retry.retries),
            backoff: retry.backoff.into(),
            max_backoff: retry.max_backoff.into(),
            budget: retry.budget,
        }))
    }
}

impl fmt::Debug for LiveOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(formatter)
    }
}

/// A time that can change. What does not fit into 64 bits, which is centuries, is without end.
struct Nanoseconds(AtomicU64);

impl Nanoseconds {
    fn get(&self) -> Duration {
        match self.0.load(Ordering::Relaxed) {
            u64::MAX => Duration::MAX,
            nanoseconds => Duration::from_nanos(nanoseconds),
        }
    }

    fn set(&self, time: Duration) {
        self.0.store(counted(time), Ordering::Relaxed);
    }
}

impl From<Duration> for Nanoseconds {
    fn from(time: Duration) -> Self {
        Self(AtomicU64::new(counted(time)))
    }
}

fn counted(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_got_even_where_it_is_without_end() {
        let live = LiveOptions::from(ClientOptions::default());
        assert_eq!(live.get(), ClientOptions::default());
        let others = ClientOptions {
            request_timeout: Duration::MAX,
            retry: RetryOptions {
                retries: 0,
                backoff: Duration::ZERO,
                max_backoff: Duration::from_nanos(7),
                ..RetryOptions::default()
            },
        };
        live.clone().set(others);
        assert_eq!(live.get(), others);
    }
}
