//! Coming back to a server after failures: pauses that grow, trouble that is told once.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// The first pause after a failure; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long to wait before a server is tried again, after this many failures in a row: 100 ms at most after the first,
/// doubling up to 5 s. Random between the half and the whole of it, so that not all clients of a server come back at
/// once.
pub fn retry_pause(failures: u32) -> Duration {
    let whole = FIRST_PAUSE * 2_u32.pow(failures.saturating_sub(1).min(6));
    whole.min(LONGEST_PAUSE).mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// What is remembered of a connection to a server that is made again whenever it fails.
#[derive(Debug, Default)]
pub(crate) struct Comeback {
    /// Since when it works. None: it failed.
    begun: Option<Instant>,
    /// Whether it was good for something since.
    has_worked: bool,
    /// How often it failed, without lasting in between.
    failures: u32,
    /// Whether the user knows of the trouble.
    is_told: bool,
}

impl Comeback {
    /// It works.
    pub(crate) fn begun(&mut self) {
        self.begun = Some(Instant::now());
        self.has_worked = false;
        self.is_told = false;
    }

    /// It was good for something: what came over it was more than the answer that it began with.
    pub(crate) fn worked(&mut self) {
        self.has_worked = true;
    }

    pub(crate) fn works(&self) -> bool {
        self.begun.is_some()
    }

    /// It began and failed. What ends again and again right after it began must not spin; what was cut off at its work
    /// comes back after the first pause.
    pub(crate) fn interrupted(&mut self) {
        let has_lasted = self
            .begun
            .take()
            .is_some_and(|begun| begun.elapsed() > LONGEST_PAUSE);
        self.failures = match (has_lasted, self.has_worked) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => self.failures + 1,
        };
    }

    /// It could not begin. Whether that is to be told: once in each time of trouble.
    pub(crate) fn failed(&mut self) -> bool {
        self.failures += 1;
        !std::mem::replace(&mut self.is_told, true)
    }

    /// Waits as long as the failures so far say; not at all after none.
    pub(crate) async fn pause(&self) {
        if self.failures > 0 {
            sleep(retry_pause(self.failures)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        for failures in 0..100 {
            let pause = retry_pause(failures);
            assert!(pause >= FIRST_PAUSE / 2 && pause <= LONGEST_PAUSE);
        }
        assert!(retry_pause(50) >= LONGEST_PAUSE / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_lasted_is_forgiven() {
        let mut comeback = Comeback::default();
        comeback.begun();
        comeback.interrupted();
        assert_eq!(comeback.failures, 1);
        comeback.begun();
        sleep(LONGEST_PAUSE * 2).await;
        comeback.interrupted();
        assert_eq!(comeback.failures, 0);
    }

    #[test]
    fn what_worked_comes_back_soon_and_what_did_not_later_and_later() {
        let mut comeback = Comeback::default();
        for failures in 1..5 {
            comeback.begun();
            comeback.interrupted();
            assert_eq!(comeback.failures, failures);
        }
        comeback.begun();
        comeback.worked();
        comeback.interrupted();
        assert_eq!(comeback.failures, 1);
        comeback.begun();
        comeback.interrupted();
        assert_eq!(comeback.failures, 2);
    }
}
