//! The task of a session: it connects, serves, and connects again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::connection::{Connection, End};
use crate::dial::Dialler;
use crate::error::Trouble;
use crate::inbox::Inboxes;
use crate::intake::Intake;

/// The shortest pause between two attempts to connect; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub(crate) struct Session {
    pub(crate) dialler: Dialler,
    pub(crate) intake: Intake,
    pub(crate) inboxes: Arc<Inboxes>,
    /// Tells which session is open.
    pub(crate) id: watch::Sender<i64>,
    pub(crate) authentication: Option<Bytes>,
    /// How many bytes an answer may have.
    pub(crate) limit: usize,
}

impl Session {
    /// Runs until nobody is left who could ask, and closes the session then.
    pub(crate) async fn run(mut self) {
        let mut failures = 0;
        loop {
            let dialled = tokio::select! {
                dialled = self.dialler.dial() => dialled,
                () = self.intake.until_closed() => return,
            };
            let begun = Instant::now();
            let trouble = match dialled {
                Err(trouble) => {
                    // Who asks learns after one round what is wrong, and does not wait for the next.
                    self.intake.refuse(&trouble);
                    trouble
                }
                Ok(dialled) => {
                    let session = dialled.session;
                    self.id
                        .send_if_modified(|id| std::mem::replace(id, session) != session);
                    let connection = Connection::new(dialled, self.limit, self.authentication.as_ref());
                    let end = connection.serve(&mut self.intake, &self.inboxes).await;
                    self.inboxes.lose();
                    match end {
                        End::Closed => return,
                        End::Lost(trouble) => {
                            self.dialler.leave();
                            trouble
                        }
                    }
                }
            };
            // What ends again and again right after it began must not spin.
            let lasted = begun.elapsed() > LONGEST_PAUSE;
            failures = if lasted { 0 } else { failures + 1 };
            if failures > 0 && !self.rest(failures, &trouble).await {
                return;
            }
        }
    }

    async fn rest(&mut self, failures: u32, trouble: &Trouble) -> bool {
        tracing::debug!("zookeeper: attempt {failures} to keep a connection failed: {trouble:?}");
        let pause = pause(failures);
        self.intake.rest(pause.min(FIRST_PAUSE), pause).await
    }
}

/// Doubles with each failure; random, so that not all clients of an ensemble come back at once.
fn pause(failures: u32) -> Duration {
    let whole = FIRST_PAUSE * 2_u32.pow((failures - 1).min(6));
    whole.min(LONGEST_PAUSE).mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        for failures in 1..100 {
            let pause = pause(failures);
            assert!(pause >= FIRST_PAUSE / 2 && pause <= LONGEST_PAUSE);
        }
        assert!(pause(50) >= LONGEST_PAUSE / 2);
    }
}
