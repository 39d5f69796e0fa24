//! Watching: what comes, changes and goes, across lost connections and restarts of etcd.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use micro_core::Result;
use micro_core::registry::{Change, Watcher};
use tokio::time::{Instant, sleep};

use crate::client::{Client, WatchStream};
use crate::seen::Seen;

/// The first pause after a failure; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Begins to watch what is under a prefix. Everything that is there already counts as known.
pub(crate) async fn watch(client: &Arc<Client>, prefix: String, service: Option<&str>) -> Result<Watcher> {
    let mut watch = Watch {
        client: client.clone(),
        prefix,
        seen: Seen::new(service),
        pending: VecDeque::new(),
        stream: None,
        begun: Instant::now(),
        failures: 0,
        told: false,
    };
    watch.begin().await?;
    watch.pending.clear();
    Ok(Watcher::new(stream::unfold(watch, |mut watch| async {
        let next = watch.next().await;
        Some((next, watch))
    })))
}

struct Watch {
    client: Arc<Client>,
    prefix: String,
    seen: Seen,
    pending: VecDeque<Change>,
    /// None: the connection was lost.
    stream: Option<WatchStream>,
    begun: Instant,
    /// How often it was lost or not regained, without lasting in between.
    failures: u32,
    /// Whether the reader knows of the trouble.
    told: bool,
}

impl Watch {
    async fn next(&mut self) -> Result<Change> {
        loop {
            if let Some(change) = self.pending.pop_front() {
                return Ok(change);
            }
            let Some(stream) = &mut self.stream else {
                self.resume().await?;
                continue;
            };
            match self.client.next(stream).await {
                Ok(response) => {
                    for event in response.events {
                        self.pending.extend(self.seen.apply(event));
                    }
                }
                Err(error) => {
                    tracing::debug!("etcd: the watch of {} was lost: {error}", self.prefix);
                    self.stream = None;
                    // What ends again and again right after it began must not spin.
                    let lasted = self.begun.elapsed() > LONGEST_PAUSE;
                    self.failures = if lasted { 0 } else { self.failures + 1 };
                }
            }
        }
    }

    /// Begins again, after a pause if it did not work before. Fails once in each time of trouble, so that the reader
    /// knows.
    async fn resume(&mut self) -> Result<()> {
        if self.failures > 0 {
            sleep(pause(self.failures)).await;
        }
        match self.begin().await {
            Ok(()) => {
                self.told = false;
                Ok(())
            }
            Err(error) => {
                self.failures += 1;
                tracing::debug!("etcd: the watch of {} is not back yet: {error}", self.prefix);
                if std::mem::replace(&mut self.told, true) {
                    return Ok(());
                }
                Err(error.context(format_args!("the watch of {} is interrupted", self.prefix)))
            }
        }
    }

    /// Lists, and watches from the listing's revision on. To resume by the last revision that was seen would be wrong
    /// where etcd came back without its data, or with older ones: its revisions mean something else then, and nothing
    /// in its answers tells. What the listing has in another way than known is what happened meanwhile.
    async fn begin(&mut self) -> Result<()> {
        let (listing, revision) = self.client.list(&self.prefix, true).await?;
        self.stream = Some(self.client.watch(&self.prefix, revision + 1).await?);
        self.begun = Instant::now();
        self.pending.extend(self.seen.replace(listing));
        Ok(())
    }
}

/// Doubles with each failure; random, so that not all watches of a network come back at once.
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
