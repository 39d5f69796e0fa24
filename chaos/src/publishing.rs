//! The publishers: numbered events, one after the other by each, and what became of them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use micro::Client;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::load::{Failure, Pace, Tally, nanoseconds};
use crate::statistics::thousands;

/// How much is published.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) publishers: u32,
    /// Events per second, of all publishers together.
    pub(crate) rate: u32,
    pub(crate) events: u64,
}

/// Publishers that publish. Dropping it stops them at once.
pub(crate) struct Publishing {
    publishers: JoinSet<Tally>,
    counts: Arc<Counts>,
}

/// How far they are.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    accepted: AtomicU64,
    failed: AtomicU64,
}

impl Publishing {
    /// Begins to publish.
    pub(crate) fn start(client: &Client, topic: &str, plan: Plan) -> Self {
        let counts = Arc::new(Counts::default());
        let mut publishers = JoinSet::new();
        for number in 0..plan.publishers {
            let publisher = Publisher {
                client: client.clone(),
                topic: topic.to_owned(),
                number,
                plan,
                counts: counts.clone(),
            };
            let pace = Pace::new(number, plan.publishers, plan.rate, Instant::now().into());
            publishers.spawn(publisher.run(pace));
        }
        Self { publishers, counts }
    }

    /// How far they are, also while they are waited for.
    pub(crate) fn counts(&self) -> Arc<Counts> {
        self.counts.clone()
    }

    /// Waits until so many events have been published or have failed, or all publishers have ended.
    pub(crate) async fn reached(&self, events: u64) {
        while self.counts.done() < events && !self.publishers.is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits for the publishers.
    pub(crate) async fn end(&mut self) -> Result<Tally> {
        let mut all = Tally::default();
        while let Some(tally) = self.publishers.join_next().await {
            let tally = tally.context("a publisher failed")?;
            all.times.extend(tally.times);
            all.failures.extend(tally.failures);
        }
        all.times.sort_unstable();
        Ok(all)
    }
}

impl Counts {
    /// How many were accepted.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// How many were accepted or failed.
    pub(crate) fn done(&self) -> u64 {
        self.accepted() + self.failed.load(Ordering::Relaxed)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.failed.load(Ordering::Relaxed);
        write!(
            formatter,
            "{} published, {} failed",
            thousands(self.accepted()),
            thousands(failed)
        )
    }
}

/// One that publishes its share of the events, one after the other: of the numbers, each that leaves its own number
/// when divided by how many publish.
struct Publisher {
    client: Client,
    topic: String,
    number: u32,
    plan: Plan,
    counts: Arc<Counts>,
}

impl Publisher {
    async fn run(self, mut pace: Pace) -> Tally {
        let mut tally = Tally::default();
        for event in (u64::from(self.number)..self.plan.events).step_by(self.plan.publishers as usize) {
            pace.wait().await;
            let began = Instant::now();
            let accepted = self.client.publish_plain(self.topic.as_str(), event).await;
            tally.times.push(nanoseconds(began.elapsed()));
            let Err(error) = accepted else {
                self.counts.accepted.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            self.counts.failed.fetch_add(1, Ordering::Relaxed);
            tally.failures.push(Failure {
                call: event,
                error: error.to_string(),
            });
        }
        tally
    }
}
