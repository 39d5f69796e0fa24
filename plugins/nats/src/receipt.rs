//! Telling JetStream what became of an event, and meanwhile that it is being worked on.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_nats::{Client, Subject};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use micro_core::broker::Acknowledge;
use micro_core::{Error, Result};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;

use crate::error::ID;

const DONE: Bytes = Bytes::from_static(b"+ACK");
const AGAIN: Bytes = Bytes::from_static(b"-NAK");
const WORKING: Bytes = Bytes::from_static(b"+WPI");
const NEVER: Bytes = Bytes::from_static(b"+TERM");

/// The pause before a rejected event comes again: doubles with each delivery, from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The events that were given out and are not decided.
pub(crate) struct Receipts {
    client: Client,
    next: AtomicU64,
    held: Mutex<HashMap<u64, Subject>>,
    task: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl Receipts {
    /// Begins to tell the server of events that take longer than it would wait.
    pub(crate) fn start(client: Client, ack_wait: Duration) -> Arc<Self> {
        let receipts = Arc::new(Self {
            client,
            next: AtomicU64::new(0),
            held: Mutex::default(),
            task: Mutex::default(),
        });
        let task = tokio::spawn(keep(Arc::downgrade(&receipts), ack_wait / 3));
        let handle = AbortOnDropHandle::new(task);
        *receipts.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle);
        receipts
    }

    fn held(&self) -> MutexGuard<'_, HashMap<u64, Subject>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn receipt(
        self: &Arc<Self>,
        reply: Subject,
        deliveries: u32,
        open: Arc<AtomicUsize>,
    ) -> Receipt {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.held().insert(number, reply.clone());
        open.fetch_add(1, Ordering::AcqRel);
        Receipt {
            receipts: self.clone(),
            number,
            reply: Some(reply),
            deliveries,
            open,
        }
    }
}

async fn keep(receipts: Weak<Receipts>, period: Duration) {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // What was not held at the last tick has time until the next.
    let mut last = 0;
    loop {
        ticks.tick().await;
        let Some(receipts) = receipts.upgrade() else {
            return;
        };
        let next = receipts.next.load(Ordering::Relaxed);
        let long: Vec<Subject> = {
            let held = receipts.held();
            let long = held.iter().filter(|(number, _)| **number < last);
            long.map(|(_, reply)| reply.clone()).collect()
        };
        last = next;
        let client = receipts.client.clone();
        drop(receipts);
        for reply in long {
            let _ = client.publish(reply, WORKING).await;
        }
    }
}

/// Gives up on a message that is none.
pub(crate) async fn give_up(client: &Client, reply: Subject) {
    let _ = client.publish(reply, NEVER).await;
}

/// Gives a message back at once, as far as that works without waiting.
pub(crate) fn give_back(client: &Client, reply: Subject) {
    let _ = client.publish(reply, AGAIN).now_or_never();
}

/// One event's answer. Dropped undecided, it gives the event back.
pub(crate) struct Receipt {
    receipts: Arc<Receipts>,
    number: u64,
    /// None once it is decided.
    reply: Option<Subject>,
    deliveries: u32,
    /// How many events of the subscription are undecided.
    open: Arc<AtomicUsize>,
}

impl Receipt {
    async fn tell(&mut self, word: Bytes) -> Result<()> {
        let Some(reply) = self.reply.take() else {
            return Ok(());
        };
        self.close();
        let told = self.receipts.client.publish(reply, word).await;
        told.map_err(|problem| {
            Error::unavailable(
                ID,
                format!("NATS could not be told what became of an event, which will come again: {problem}"),
            )
        })
    }

    fn close(&self) {
        self.receipts.held().remove(&self.number);
        self.open.fetch_sub(1, Ordering::AcqRel);
    }
}

#[async_trait]
impl Acknowledge for Receipt {
    async fn acknowledge(mut self: Box<Self>) -> Result<()> {
        self.tell(DONE).await
    }

    async fn reject(mut self: Box<Self>, _: &Error) -> Result<()> {
        let word = format!(r#"-NAK {{"delay": {}}}"#, pause(self.deliveries).as_nanos());
        self.tell(word.into()).await
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(reply) = self.reply.take() {
            self.close();
            give_back(&self.receipts.client, reply);
        }
    }
}

/// How long a rejected event waits that was given out so often.
fn pause(deliveries: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << deliveries.saturating_sub(1).min(10));
    doubled.min(LONGEST_PAUSE)
}

/// How often a message was given out, this time included, as the subject says that it is to be answered to.
pub(crate) fn deliveries(reply: &str) -> Option<u32> {
    // $JS.ACK.<stream>.<consumer>.<deliveries>.…, and from newer servers with domain and account before the stream.
    let mut parts = reply.strip_prefix("$JS.ACK.")?.split('.');
    let (of_old, of_new) = (parts.by_ref().nth(2)?, parts.nth(1));
    // What is left of seven parts: three, of which two were looked at, and of nine or more: at least four.
    match parts.count() {
        2 => of_old.parse().ok(),
        4.. => of_new?.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answers_subject_says_how_often_a_message_was_given_out() {
        let of_old = "$JS.ACK.orders.workers.3.17.20.1795236391714282058.0";
        assert_eq!(deliveries(of_old), Some(3));
        let of_new = "$JS.ACK._.acc.orders.workers.2.17.20.1795236391714282058.0.tok";
        assert_eq!(deliveries(of_new), Some(2));
        for other in ["", "_INBOX.x", "$JS.ACK.a.b.c", "$JS.ACK.a.b.x.1.1.1.1"] {
            assert_eq!(deliveries(other), None, "{other}");
        }
    }

    #[test]
    fn a_rejected_event_waits_longer_each_time() {
        assert_eq!(pause(1), FIRST_PAUSE);
        assert_eq!(pause(3), FIRST_PAUSE * 4);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }
}
