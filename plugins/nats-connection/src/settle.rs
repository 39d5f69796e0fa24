//! Knowing that the server has seen what was sent: a message to oneself, which comes back behind everything else.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{Client, Subject, Subscriber};
use futures_util::StreamExt;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::connection::Health;

/// How long a message to oneself may be on its way.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why nobody knows what the server has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsettled {
    /// The connection is lost, and what was sent may be lost with it.
    Lost,
    /// The server does not let this side send messages to itself.
    Refused,
    /// The message did not come back in time.
    Late,
}

pub(crate) struct Settler {
    waiting: Arc<Waiting>,
    _task: AbortOnDropHandle<()>,
}

type Done = oneshot::Sender<Result<(), Unsettled>>;

/// Who waits for the next message to oneself.
#[derive(Default)]
struct Waiting {
    who: Mutex<Vec<Done>>,
    wanted: Notify,
}

impl Settler {
    pub(crate) async fn start(
        client: &Client,
        health: watch::Receiver<Health>,
    ) -> Result<Self, async_nats::SubscribeError> {
        let inbox = Subject::from(client.new_inbox());
        let subscriber = client.subscribe(inbox.clone()).await?;
        let waiting = Arc::new(Waiting::default());
        let round = Round {
            waiting: waiting.clone(),
            client: client.clone(),
            inbox,
            subscriber,
            health,
        };
        Ok(Self {
            waiting,
            _task: AbortOnDropHandle::new(tokio::spawn(round.run())),
        })
    }

    /// Waits until the server has surely seen what was sent before.
    pub(crate) async fn settled(&self) -> Result<(), Unsettled> {
        let (done, is_done) = oneshot::channel();
        self.waiting.push(done);
        self.waiting.wanted.notify_one();
        is_done.await.unwrap_or(Err(Unsettled::Lost))
    }
}

impl Waiting {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Done>> {
        self.who.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, done: Done) {
        let mut who = self.lock();
        // Those who gave up make room before the list grows: looking at each push would cost as much as they are many.
        if who.len() == who.capacity() {
            who.retain(|done| !done.is_closed());
        }
        who.push(done);
    }
}

struct Round {
    waiting: Arc<Waiting>,
    client: Client,
    inbox: Subject,
    subscriber: Subscriber,
    health: watch::Receiver<Health>,
}

impl Round {
    async fn run(mut self) {
        let mut number: u64 = 0;
        loop {
            self.waiting.wanted.notified().await;
            // A reader that is not there any more waits for nothing.
            let mut who = std::mem::take(&mut *self.waiting.lock());
            who.retain(|done| !done.is_closed());
            if who.is_empty() {
                continue;
            }
            number += 1;
            let outcome = self.there_and_back(number).await;
            for done in who {
                let _ = done.send(outcome);
            }
        }
    }

    async fn there_and_back(&mut self, number: u64) -> Result<(), Unsettled> {
        let losses = {
            let health = self.health.borrow();
            if !health.is_up {
                return Err(Unsettled::Lost);
            }
            if is_refused(&health, &self.inbox) {
                return Err(Unsettled::Refused);
            }
            health.losses
        };
        let sent = number.to_be_bytes();
        let payload = bytes::Bytes::copy_from_slice(&sent);
        let sent_off = self.client.publish(self.inbox.clone(), payload).await;
        sent_off.map_err(|_| Unsettled::Lost)?;
        let subscriber = &mut self.subscriber;
        let back = async {
            while let Some(message) = subscriber.next().await {
                // One of a former round, which was given up, may come late.
                if message.payload[..] == sent {
                    return Ok(());
                }
            }
            Err(Unsettled::Lost)
        };
        let (mut health, inbox) = (self.health.clone(), &self.inbox);
        let not_back = async {
            let is_over = |health: &Health| health.losses > losses || is_refused(health, inbox);
            match health.wait_for(is_over).await {
                Ok(health) if health.losses == losses => Unsettled::Refused,
                _ => Unsettled::Lost,
            }
        };
        let round = async {
            tokio::select! {
                biased;
                back = back => back,
                why = not_back => Err(why),
            }
        };
        timeout(PATIENCE, round).await.unwrap_or(Err(Unsettled::Late))
    }
}

fn is_refused(health: &Health, inbox: &Subject) -> bool {
    let inbox = inbox.as_str();
    health.refused_to_publish.contains(inbox) || health.refused_to_subscribe.contains(inbox)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gave_up_does_not_make_the_list_grow() {
        let waiting = Waiting::default();
        for _ in 0..10_000 {
            let (done, is_done) = oneshot::channel();
            waiting.push(done);
            drop(is_done);
        }
        assert!(waiting.lock().len() < 10);
    }
}
