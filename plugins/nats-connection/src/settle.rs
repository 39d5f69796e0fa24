//! Knowing that the server has seen what was sent: a message to oneself, which comes back behind everything else.

use std::sync::{Arc, Mutex, PoisonError};

use async_nats::{Client, Subject, Subscriber};
use futures_util::StreamExt;
use tokio::sync::{Notify, oneshot, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::connection::Health;

pub(crate) struct Settler {
    waiting: Arc<Waiting>,
    _task: AbortOnDropHandle<()>,
}

/// Who waits for the next message to oneself.
#[derive(Default)]
struct Waiting {
    who: Mutex<Vec<oneshot::Sender<()>>>,
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

    /// Whether the server has surely seen what was sent before.
    pub(crate) async fn settled(&self) -> bool {
        let (done, is_done) = oneshot::channel();
        self.waiting.lock().push(done);
        self.waiting.wanted.notify_one();
        is_done.await.is_ok()
    }
}

impl Waiting {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<oneshot::Sender<()>>> {
        self.who.lock().unwrap_or_else(PoisonError::into_inner)
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
            if self.there_and_back(number).await {
                for done in who {
                    let _ = done.send(());
                }
            }
        }
    }

    /// False when the connection was lost meanwhile: what was sent may be lost with it.
    async fn there_and_back(&mut self, number: u64) -> bool {
        let losses = {
            let health = self.health.borrow();
            if !health.is_up {
                return false;
            }
            health.losses
        };
        let sent = number.to_be_bytes();
        let payload = bytes::Bytes::copy_from_slice(&sent);
        if self.client.publish(self.inbox.clone(), payload).await.is_err() {
            return false;
        }
        let subscriber = &mut self.subscriber;
        let back = async {
            while let Some(message) = subscriber.next().await {
                // One of a former round, which was given up, may come late.
                if message.payload[..] == sent {
                    return true;
                }
            }
            false
        };
        let mut health = self.health.clone();
        tokio::select! {
            biased;
            is_back = back => is_back,
            _ = health.wait_for(|health| health.losses > losses) => false,
        }
    }
}
