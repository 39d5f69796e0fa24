//! The task of one source: it reads when something changed, and again while reading fails.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use crate::depth::not_too_deep;
use crate::tree::DEEPEST;
use crate::{Document, Error, ErrorKind, Result, Source};

/// The pause after the first failure, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a source may take to read. They have shorter limits of their own; this is for those that have none.
const LONGEST_READ: Duration = Duration::from_secs(60);

/// What a source answered.
pub(crate) struct Reading {
    pub(crate) source: usize,
    pub(crate) read: Result<Vec<Document>>,
    /// Whether it was taken over.
    pub(crate) taken: oneshot::Sender<bool>,
}

/// The task of one source.
pub(crate) struct Feeder {
    pub(crate) index: usize,
    pub(crate) name: String,
    pub(crate) source: Box<dyn Source>,
    /// How long to wait after a change, until a burst of them is over.
    pub(crate) debounce: Duration,
    pub(crate) readings: mpsc::Sender<Reading>,
}

impl Feeder {
    /// Feeds until nobody takes the readings.
    pub(crate) async fn run(mut self) {
        let mut pause = Pause::default();
        let mut was_taken = true;
        while let Some(taken) = self.read().await {
            if taken && !was_taken {
                pause = Pause::default();
            }
            was_taken = taken;
            match taken {
                true => self.wait_for_change(&mut pause).await,
                false => self.wait_to_try_again(&mut pause).await,
            }
        }
    }

    async fn wait_for_change(&mut self, pause: &mut Pause) {
        let began = Instant::now();
        let changed = self.source.changed().await;
        // What worked for so long does not fail again and again.
        if changed.is_ok() || began.elapsed() > LONGEST_PAUSE {
            *pause = Pause::default();
        }
        match changed {
            Ok(()) => sleep(self.debounce).await,
            Err(error) => {
                tracing::debug!(source = %self.source, %error, "waiting for changes failed; reading again");
                sleep(pause.next()).await;
            }
        }
    }

    /// A change makes the pause shorter, and a source that tells of changes all the time makes it no shorter than the
    /// first. To fail is no change.
    async fn wait_to_try_again(&mut self, pause: &mut Pause) {
        let longest = pause.next();
        let end = Instant::now() + longest;
        match timeout_at(end, self.source.changed()).await {
            Ok(Err(_)) => sleep_until(end.max(Instant::now() + FIRST_PAUSE.min(longest))).await,
            Ok(Ok(())) | Err(_) => sleep(FIRST_PAUSE.min(longest)).await,
        }
    }

    /// Reads and hands over. None: nobody takes it.
    async fn read(&mut self) -> Option<bool> {
        let read = timeout(LONGEST_READ, self.source.read()).await;
        let read = read.unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Unavailable,
                format_args!("{}: reading took longer than {LONGEST_READ:?}", self.source),
            ))
        });
        let read = read.and_then(|documents| {
            not_too_deep(documents).map_err(|origin| {
                Error::new(
                    ErrorKind::Invalid,
                    format_args!("it is nested deeper than {DEEPEST} levels ({origin})"),
                )
            })
        });
        let (taken, answer) = oneshot::channel();
        let reading = Reading {
            source: self.index,
            read,
            taken,
        };
        self.readings.send(reading).await.ok()?;
        answer.await.ok()
    }
}

/// A source that panics is not silent about it.
impl Drop for Feeder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let error = Error::new(
                ErrorKind::Misused,
                format_args!("{}: the source panicked and is not asked any more", self.name),
            );
            let _ = self.readings.try_send(Reading {
                source: self.index,
                read: Err(error),
                taken: oneshot::channel().0,
            });
        }
    }
}

/// Pauses that grow, and are not the same for all who failed at once.
#[derive(Default)]
struct Pause {
    failures: u32,
}

impl Pause {
    fn next(&mut self) -> Duration {
        let longest = FIRST_PAUSE
            .saturating_mul(1 << self.failures.min(10))
            .min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        longest.mul_f64(0.75 + fastrand::f64() / 4.0)
    }
}
