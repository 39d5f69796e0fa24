//! A subscription that notes what it gets.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use micro_core::Error;
use micro_core::broker::{Message, Subscription};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::subject::PROBE;
use crate::suite::{Ending, ensure_eq, soon};

/// What a subscriber does with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Acknowledge,
    Reject,
    /// Drops it undecided.
    Drop,
}

/// What a listener has seen.
#[derive(Default)]
pub(super) struct Seen {
    messages: Vec<Message>,
    probes: HashSet<String>,
    has_ended: bool,
}

/// A subscription that notes what it gets. Dropping it drops the subscription.
pub(super) struct Listener {
    seen: watch::Receiver<Seen>,
    drain: Arc<Notify>,
    patience: Duration,
    queue: Option<String>,
    task: JoinHandle<()>,
}

/// Tells of the probes that a listener gets.
#[derive(Clone)]
pub(super) struct Probes(watch::Receiver<Seen>);

impl Probes {
    /// Waits for a probe of a round.
    pub(super) async fn probed(mut self, round: &str) {
        if self.0.wait_for(|seen| seen.probes.contains(round)).await.is_err() {
            // The listener is gone, and gets none.
            std::future::pending().await
        }
    }
}

impl Listener {
    pub(super) fn new(
        mut subscription: Subscription,
        patience: Duration,
        queue: Option<String>,
        mut decide: impl FnMut(&Message) -> Decision + Send + 'static,
    ) -> Self {
        let (noted, seen) = watch::channel(Seen::default());
        let drain = Arc::new(Notify::new());
        let told = drain.clone();
        let task = tokio::spawn(async move {
            let mut is_draining = false;
            loop {
                let event = tokio::select! {
                    () = told.notified(), if !is_draining => {
                        is_draining = true;
                        subscription.drain();
                        continue;
                    }
                    event = subscription.next() => event,
                };
                // Trouble that the broker tells of is no event, and does not end it.
                let event = match event {
                    Some(Ok(event)) => event,
                    Some(Err(_)) => continue,
                    None => break,
                };
                let message = event.message().clone();
                if let Some(probe) = message.header.get(PROBE) {
                    let probe = probe.to_owned();
                    let _ = event.acknowledge().await;
                    noted.send_modify(|seen| {
                        seen.probes.insert(probe);
                    });
                    continue;
                }
                let decision = decide(&message);
                // Noted before it is told, so that who waits for the publisher finds it here.
                noted.send_modify(|seen| seen.messages.push(message));
                let _ = match decision {
                    Decision::Acknowledge => event.acknowledge().await,
                    Decision::Reject => {
                        event
                            .reject(&Error::internal("testkit", "as the case says"))
                            .await
                    }
                    Decision::Drop => {
                        drop(event);
                        Ok(())
                    }
                };
            }
            noted.send_modify(|seen| seen.has_ended = true);
        });
        Self {
            seen,
            drain,
            patience,
            queue,
            task,
        }
    }

    /// The queue that it shares.
    pub(super) fn queue(&self) -> Option<&str> {
        self.queue.as_deref()
    }

    /// What tells of the probes that it gets.
    pub(super) fn probes(&self) -> Probes {
        Probes(self.seen.clone())
    }

    /// How many events have come so far.
    pub(super) fn count(&self) -> usize {
        self.seen.borrow().messages.len()
    }

    /// Waits until so many events have come, and returns all.
    pub(super) async fn messages(&self, count: usize) -> Result<Vec<Message>, Ending> {
        let mut seen = self.seen.clone();
        let what = format!("{count} events (there are {})", self.count());
        let found = soon(
            self.patience,
            &what,
            seen.wait_for(|seen| seen.messages.len() >= count),
        )
        .await?;
        let found = found.map_err(|_| Ending::failed("the listener's task is gone"))?;
        Ok(found.messages.clone())
    }

    /// Waits until so many events have come, and returns the bodies of all.
    pub(super) async fn bodies(&self, count: usize) -> Result<Vec<Bytes>, Ending> {
        let messages = self.messages(count).await?;
        Ok(messages.into_iter().map(|message| message.body).collect())
    }

    /// Fails unless just these have come, in this order.
    pub(super) async fn expect(&self, bodies: &[&str]) -> Result<(), Ending> {
        let found = self.bodies(bodies.len()).await?;
        ensure_eq!(found, bodies, "the events of a subscription");
        Ok(())
    }

    /// Begins to drain.
    pub(super) fn drain(&self) {
        self.drain.notify_one();
    }

    /// Waits until the subscription has ended.
    pub(super) async fn ended(&self) -> Result<(), Ending> {
        let mut seen = self.seen.clone();
        let ended = soon(
            self.patience,
            "a draining subscription ends",
            seen.wait_for(|seen| seen.has_ended),
        )
        .await?;
        ended
            .map(drop)
            .map_err(|_| Ending::failed("the listener's task is gone"))
    }

    /// Drops the subscription and waits until it is gone.
    pub(super) async fn leave(mut self) -> Vec<Message> {
        self.task.abort();
        let _ = (&mut self.task).await;
        self.seen.borrow().messages.clone()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}
