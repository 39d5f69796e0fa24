//! Messages that were not taken, until they are.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::error::BROKER;
use crate::{Error, Result, Text};

/// The first pause after a failure; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The messages that wait for one subscription, or for one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// Their topic.
    pub topic: Text,
    /// The id of the subscription, or the name of the queue.
    pub subscriber: Text,
    /// How many wait.
    pub waiting: usize,
    /// How many were lost, because more than
    /// [`HttpBrokerConfig::backlog`](super::HttpBrokerConfig::backlog) came.
    pub lost: u64,
}

/// Whose messages they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Recipient {
    Subscriber { topic: Text, id: Text },
    Queue { topic: Text, name: Text },
}

impl Recipient {
    pub(super) fn topic(&self) -> &Text {
        match self {
            Self::Subscriber { topic, .. } | Self::Queue { topic, .. } => topic,
        }
    }

    pub(super) fn name(&self) -> &Text {
        match self {
            Self::Subscriber { id, .. } => id,
            Self::Queue { name, .. } => name,
        }
    }
}

struct Lane {
    /// Oldest first.
    messages: VecDeque<Bytes>,
    lost: u64,
    due: Instant,
    pause: Duration,
    /// Whether somebody is delivering from it.
    is_busy: bool,
    /// Since when nobody is there to deliver to.
    deserted: Option<Instant>,
    /// How often the oldest message was not taken.
    attempts: u32,
}

pub(super) struct Backlogs {
    limit: usize,
    lanes: Mutex<HashMap<Recipient, Lane>>,
    /// How many recipients have messages waiting.
    count: watch::Sender<usize>,
    changed: Notify,
}

impl Backlogs {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            lanes: Mutex::default(),
            count: watch::Sender::new(0),
            changed: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Recipient, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn report(&self) -> Vec<Backlog> {
        let lanes = self.lock();
        let mut report: Vec<Backlog> = lanes
            .iter()
            .map(|(recipient, lane)| Backlog {
                topic: recipient.topic().clone(),
                subscriber: recipient.name().clone(),
                waiting: lane.messages.len(),
                lost: lane.lost,
            })
            .collect();
        report.sort_by(|a, b| (&a.topic, &a.subscriber).cmp(&(&b.topic, &b.subscriber)));
        report
    }

    /// Keeps a message behind others that wait for the recipient. False: none do, so that it can be offered at once.
    pub(super) fn keep_behind(&self, recipient: &Recipient, payload: &Bytes) -> Result<bool> {
        // Nearly always there is no backlog at all.
        if *self.count.borrow() == 0 {
            return Ok(false);
        }
        match self.lock().get_mut(recipient) {
            Some(lane) => lane.push(recipient, payload, self.limit).map(|()| true),
            None => Ok(false),
        }
    }

    /// Keeps a message behind those that wait for queues of the topic which have no subscriber now.
    pub(super) fn keep_for_deserted(
        &self,
        topic: &str,
        is_subscribed: impl Fn(&Text) -> bool,
        payload: &Bytes,
    ) -> Result<()> {
        if *self.count.borrow() == 0 {
            return Ok(());
        }
        let mut kept = Ok(());
        for (recipient, lane) in self.lock().iter_mut() {
            if let Recipient::Queue { topic: of, name } = recipient
                && *of == *topic
                && !is_subscribed(name)
            {
                kept = kept.and(lane.push(recipient, payload, self.limit));
            }
        }
        kept
    }

    /// Keeps a message that the recipient did not take.
    pub(super) fn keep(&self, recipient: &Recipient, payload: &Bytes) -> Result<()> {
        let mut lanes = self.lock();
        let lane = lanes.entry(recipient.clone()).or_insert_with(|| Lane {
            messages: VecDeque::new(),
            lost: 0,
            due: Instant::now() + FIRST_PAUSE,
            pause: FIRST_PAUSE,
            is_busy: false,
            deserted: None,
            attempts: 1,
        });
        let kept = lane.push(recipient, payload, self.limit);
        if lane.messages.is_empty() && !lane.is_busy {
            lanes.remove(recipient);
        }
        self.count.send_replace(lanes.len());
        drop(lanes);
        self.changed.notify_one();
        kept
    }

    /// A recipient to try again, once there is one; it is busy from now on.
    pub(super) async fn next_due(&self) -> Recipient {
        loop {
            let changed = self.changed.notified();
            let next = {
                let mut lanes = self.lock();
                let idle = lanes.iter_mut().filter(|(_, lane)| !lane.is_busy);
                match idle.min_by_key(|(_, lane)| lane.due) {
                    Some((recipient, lane)) if lane.due <= Instant::now() => {
                        lane.is_busy = true;
                        return recipient.clone();
                    }
                    next => next.map(|(_, lane)| lane.due),
                }
            };
            match next {
                Some(due) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(due) => {}
                        () = changed => {}
                    }
                }
                None => changed.await,
            }
        }
    }

    /// The recipient's oldest message, and how often it was not taken.
    pub(super) fn oldest(&self, recipient: &Recipient) -> Option<(Bytes, u32)> {
        let lanes = self.lock();
        let lane = lanes.get(recipient)?;
        Some((lane.messages.front().cloned()?, lane.attempts))
    }

    /// Notes whether somebody is there, and says for how long nobody has been.
    pub(super) fn deserted(&self, recipient: &Recipient, is_deserted: bool) -> Duration {
        let mut lanes = self.lock();
        let Some(lane) = lanes.get_mut(recipient) else {
            return Duration::ZERO;
        };
        if !is_deserted {
            lane.deserted = None;
            return Duration::ZERO;
        }
        lane.deserted.get_or_insert_with(Instant::now).elapsed()
    }

    /// The oldest message is done with. True: more wait; false: the recipient has no backlog any more.
    pub(super) fn done(&self, recipient: &Recipient) -> bool {
        let mut lanes = self.lock();
        let Some(lane) = lanes.get_mut(recipient) else {
            return false;
        };
        lane.messages.pop_front();
        lane.pause = FIRST_PAUSE;
        lane.attempts = 0;
        if !lane.messages.is_empty() {
            return true;
        }
        lanes.remove(recipient);
        self.count.send_replace(lanes.len());
        false
    }

    /// The recipient did not take its oldest message; it is tried again after a pause.
    pub(super) fn pause(&self, recipient: &Recipient) {
        if let Some(lane) = self.lock().get_mut(recipient) {
            lane.is_busy = false;
            lane.attempts = lane.attempts.saturating_add(1);
            lane.due = Instant::now() + lane.pause;
            lane.pause = (lane.pause * 2).min(LONGEST_PAUSE);
        }
        self.changed.notify_one();
    }

    /// Drops what waits for a recipient that is gone, and says how many messages that were.
    pub(super) fn forget(&self, recipient: &Recipient) -> usize {
        let mut lanes = self.lock();
        let lane = lanes.remove(recipient);
        self.count.send_replace(lanes.len());
        lane.map_or(0, |lane| lane.messages.len())
    }

    /// Tries all recipients now, and waits until nothing is kept.
    pub(super) async fn emptied(&self) {
        for lane in self.lock().values_mut() {
            lane.due = Instant::now();
        }
        self.changed.notify_one();
        // The sender lives as long as this.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl Lane {
    fn push(&mut self, recipient: &Recipient, payload: &Bytes, limit: usize) -> Result<()> {
        // Not what is under way just now: it may well be taken.
        let oldest = usize::from(self.is_busy);
        if self.messages.len() >= limit.saturating_add(oldest) {
            let (topic, name) = (recipient.topic(), recipient.name());
            if let Recipient::Queue { .. } = recipient {
                return Err(Error::unavailable(
                    BROKER,
                    format!(
                        "queue {name} does not take its messages, and {limit} wait for it already, the limit backlog"
                    ),
                ));
            }
            // Whoever listens without a queue wants to know what happens now, and perhaps its process is dead: it
            // must not keep others from being told.
            self.lost += 1;
            if self.lost.is_power_of_two() {
                tracing::warn!(%topic, subscriber = %name, lost = self.lost, limit,
                    "a subscriber does not take its messages; the oldest are lost");
            }
            if self.messages.remove(oldest).is_none() {
                return Ok(());
            }
        }
        self.messages.push_back(payload.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_queue_without_subscribers_gets_what_is_published_behind_what_waits_for_it() {
        let backlogs = Backlogs::new(2);
        let queue = Recipient::Queue {
            topic: "orders".into(),
            name: "billing".into(),
        };
        let keep = |payload: &'static str| {
            backlogs.keep_for_deserted("orders", |_| false, &Bytes::from_static(payload.as_bytes()))
        };
        keep("nobody waits").unwrap();
        assert!(backlogs.report().is_empty());
        backlogs.keep(&queue, &Bytes::from_static(b"1")).unwrap();
        keep("2").unwrap();
        assert_eq!(keep("3").unwrap_err().code(), 503, "the limit holds");
        let payload = Bytes::from_static(b"another's");
        backlogs.keep_for_deserted("other", |_| false, &payload).unwrap();
        backlogs.keep_for_deserted("orders", |_| true, &payload).unwrap();
        assert_eq!(backlogs.report()[0].waiting, 2);
    }
}
