//! From a published message to those who are subscribed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio_util::task::AbortOnDropHandle;

use super::HttpBrokerConfig;
use super::backlog::{Backlog, Backlogs, Recipient};
use super::directory::{Attempt, Directory, Subscriber};
use crate::{Error, Result, Text};

/// How long a subscriber may take at most for a message that it did not take before.
const LONGEST_PATIENCE: Duration = Duration::from_secs(3600);

pub(super) struct Deliveries {
    post_office: Arc<PostOffice>,
    /// Delivers what was kept, from the first such message on.
    redelivery: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// What publishers and the redelivery share.
struct PostOffice {
    directory: Directory,
    backlogs: Backlogs,
    delivery_timeout: Duration,
    backlog_age: Duration,
}

impl Deliveries {
    pub(super) fn new(directory: Directory, config: &HttpBrokerConfig) -> Self {
        Self {
            post_office: Arc::new(PostOffice {
                directory,
                backlogs: Backlogs::new(config.backlog),
                delivery_timeout: config.delivery_timeout,
                backlog_age: config.backlog_age,
            }),
            redelivery: Mutex::default(),
        }
    }

    pub(super) fn backlog(&self) -> Vec<Backlog> {
        self.post_office.backlogs.report()
    }

    pub(super) async fn publish(&self, topic: &str, payload: Bytes) -> Result<()> {
        let office = &self.post_office;
        let audience = office.directory.audience(topic).await?;
        let is_subscribed = |queue: &Text| {
            audience
                .as_ref()
                .is_some_and(|audience| audience.queues.contains_key(queue))
        };
        // A queue that has lost its last subscriber while messages wait for it gets the others, too.
        let kept = office.backlogs.keep_for_deserted(topic, is_subscribed, &payload);
        let Some(audience) = audience else {
            tracing::debug!(topic, "nobody is subscribed");
            return kept;
        };
        let topic = Text::from(topic);
        let everyone = audience.everyone.iter().map(|subscriber| {
            let recipient = Recipient::Subscriber {
                topic: topic.clone(),
                id: subscriber.id.clone(),
            };
            (recipient, std::slice::from_ref(subscriber))
        });
        let queues = audience.queues.iter().map(|(name, members)| {
            let recipient = Recipient::Queue {
                topic: topic.clone(),
                name: name.clone(),
            };
            (recipient, members.as_slice())
        });
        let deliveries = everyone
            .chain(queues)
            .map(|(recipient, members)| self.deliver(recipient, members, &payload));
        // All are tried, whatever becomes of one; the first error is told.
        let delivered: Result<()> = join_all(deliveries).await.into_iter().collect();
        delivered.and(kept)
    }

    async fn deliver(
        &self,
        recipient: Recipient,
        members: &[Arc<Subscriber>],
        payload: &Bytes,
    ) -> Result<()> {
        let office = &self.post_office;
        if office.backlogs.keep_behind(&recipient, payload)? {
            return Ok(());
        }
        match office.offer(members, payload, office.delivery_timeout).await {
            Attempt::Taken => Ok(()),
            Attempt::Refused(error) => Err(error),
            Attempt::NotTaken(error) => {
                tracing::info!(topic = %recipient.topic(), subscriber = %recipient.name(), %error,
                    "a message was not taken; it is kept and tried again");
                self.start_redelivery();
                office.backlogs.keep(&recipient, payload)
            }
        }
    }

    pub(super) async fn flush(&self) {
        self.post_office.backlogs.emptied().await;
    }

    fn start_redelivery(&self) {
        let mut redelivery = self.redelivery.lock().unwrap_or_else(PoisonError::into_inner);
        if redelivery.as_ref().is_none_or(AbortOnDropHandle::is_finished) {
            let office = self.post_office.clone();
            *redelivery = Some(AbortOnDropHandle::new(tokio::spawn(async move {
                office.redeliver().await;
            })));
        }
    }
}

impl PostOffice {
    /// Offers a message to one of these: to any first, and to the others while it is not taken.
    async fn offer(&self, members: &[Arc<Subscriber>], payload: &[u8], limit: Duration) -> Attempt {
        let first = fastrand::usize(..members.len().max(1));
        let (before, from) = members.split_at(first.min(members.len()));
        let mut last = Attempt::NotTaken(Error::unavailable(
            crate::error::BROKER,
            "nobody is subscribed any more",
        ));
        for member in from.iter().chain(before) {
            last = member.offer(payload, limit).await;
            if !matches!(last, Attempt::NotTaken(_)) {
                return last;
            }
        }
        last
    }

    /// How long a subscriber may take for a message that was not taken so often: each time twice as long, so that one
    /// which simply takes its time is not begun again for ever.
    fn patience(&self, attempts: u32) -> Duration {
        let longest = LONGEST_PATIENCE.max(self.delivery_timeout);
        self.delivery_timeout
            .saturating_mul(1 << attempts.min(16))
            .min(longest)
    }

    /// Delivers what is kept, each recipient's messages in their order and all recipients side by side.
    async fn redeliver(&self) {
        let mut busy = FuturesUnordered::new();
        loop {
            tokio::select! {
                recipient = self.backlogs.next_due() => busy.push(self.catch_up(recipient)),
                Some(()) = busy.next() => {}
            }
        }
    }

    async fn catch_up(&self, recipient: Recipient) {
        while let Some((payload, attempts)) = self.backlogs.oldest(&recipient) {
            let audience = match self.directory.audience(recipient.topic()).await {
                Ok(audience) => audience.unwrap_or_default(),
                Err(error) => {
                    tracing::debug!(topic = %recipient.topic(), %error, "who is subscribed is unknown just now");
                    return self.backlogs.pause(&recipient);
                }
            };
            let members = match &recipient {
                Recipient::Subscriber { id, .. } => {
                    let everyone = audience.everyone.iter();
                    everyone
                        .filter(|subscriber| subscriber.id == *id)
                        .cloned()
                        .collect()
                }
                Recipient::Queue { name, .. } => audience.queues.get(name).cloned().unwrap_or_default(),
            };
            let deserted = self.backlogs.deserted(&recipient, members.is_empty());
            let is_gone = members.is_empty()
                && (matches!(recipient, Recipient::Subscriber { .. }) || deserted > self.backlog_age);
            if is_gone {
                let lost = self.backlogs.forget(&recipient);
                tracing::warn!(topic = %recipient.topic(), subscriber = %recipient.name(), lost,
                    "the subscriber has gone; what was kept for it is dropped");
                return;
            }
            match self.offer(&members, &payload, self.patience(attempts)).await {
                Attempt::Taken => {}
                Attempt::NotTaken(_) => return self.backlogs.pause(&recipient),
                Attempt::Refused(error) => {
                    tracing::warn!(topic = %recipient.topic(), subscriber = %recipient.name(), %error,
                        "a kept message is dropped");
                }
            }
            if !self.backlogs.done(&recipient) {
                return;
            }
        }
        self.backlogs.forget(&recipient);
    }
}
