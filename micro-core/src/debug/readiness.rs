//! Whether a service is ready for requests.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};

/// Where in its life a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Readiness {
    /// Not registered yet: who knows its address may be answered, but nobody should be sent there.
    Starting,
    /// Registered.
    Serving,
    /// About to stop: it answers still, but whoever can shall go elsewhere.
    Draining,
}

impl Readiness {
    /// The status in the answer of `Debug.Health`: `starting`, `ok` or `draining`.
    pub fn status(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "ok",
            Self::Draining => "draining",
        }
    }
}

impl fmt::Display for Readiness {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Draining => "draining",
        })
    }
}

/// Holds the readiness of a service that goes its way.
pub(super) struct Stage(AtomicU8);

impl Stage {
    pub(super) fn new() -> Self {
        Self(AtomicU8::new(0))
    }

    pub(super) fn get(&self) -> Readiness {
        match self.0.load(Ordering::Acquire) {
            0 => Readiness::Starting,
            1 => Readiness::Serving,
            _ => Readiness::Draining,
        }
    }

    /// There is no way back.
    pub(super) fn advance(&self, readiness: Readiness) {
        let stage = match readiness {
            Readiness::Starting => 0,
            Readiness::Serving => 1,
            Readiness::Draining => 2,
        };
        self.0.fetch_max(stage, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_drains_does_not_serve_again() {
        let stage = Stage::new();
        assert_eq!(stage.get().status(), "starting");
        stage.advance(Readiness::Serving);
        assert_eq!(stage.get().status(), "ok");
        stage.advance(Readiness::Draining);
        stage.advance(Readiness::Serving);
        assert_eq!(stage.get(), Readiness::Draining);
    }
}
