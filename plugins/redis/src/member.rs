//! A subscription as a reader of a stream, and the events that it was given and has not decided.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use micro_core::broker::{Acknowledge, Event, Message};
use micro_core::{Error, Result, Text, retry_pause};
use redis::Cmd;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::acknowledgements::Acknowledgements;
use crate::entry::EntryId;
use crate::link::Link;
use crate::tasks::Tasks;
use crate::upkeep;

/// How many events of a subscription without a queue may wait to be given out again. With so many, nothing new is read.
pub(crate) const MOST_RETURNED: usize = 1024;

/// A reader of a stream.
pub(crate) struct Member {
    pub(crate) link: Arc<Link>,
    tasks: Arc<Tasks>,
    pub(crate) topic: Text,
    pub(crate) key: String,
    /// With whom it shares. None: it reads everything.
    pub(crate) share: Option<Share>,
    pub(crate) claim_after: Duration,
    pub(crate) retention: Option<Duration>,
    /// What has arrived and is not decided.
    held: Mutex<HashSet<EntryId>>,
    acknowledgements: Acknowledgements,
    /// What a reader of its own is to give out again.
    returned: Mutex<VecDeque<Returned>>,
    /// Something was returned.
    pub(crate) wake: Notify,
    keeper: JoinHandle<()>,
}

/// The queue that a member shares, and its name there.
#[derive(Debug, Clone)]
pub(crate) struct Share {
    pub(crate) queue: Text,
    pub(crate) consumer: String,
}

/// An event to be given out again.
pub(crate) struct Returned {
    pub(crate) id: EntryId,
    /// How often it was given out.
    pub(crate) deliveries: u32,
    pub(crate) not_before: Instant,
}

/// What a member reads, and how.
pub(crate) struct Membership {
    pub(crate) link: Arc<Link>,
    pub(crate) tasks: Arc<Tasks>,
    pub(crate) topic: Text,
    pub(crate) key: String,
    pub(crate) queue: Option<Text>,
    pub(crate) claim_after: Duration,
    pub(crate) retention: Option<Duration>,
}

impl Member {
    pub(crate) fn new(membership: Membership) -> Arc<Self> {
        let share = membership.queue.map(|queue| Share {
            queue,
            consumer: uuid::Uuid::new_v4().to_string(),
        });
        Arc::new_cyclic(|member: &Weak<Self>| Self {
            link: membership.link,
            tasks: membership.tasks,
            topic: membership.topic,
            key: membership.key,
            share,
            claim_after: membership.claim_after,
            retention: membership.retention,
            held: Mutex::default(),
            acknowledgements: Acknowledgements::default(),
            returned: Mutex::default(),
            wake: Notify::new(),
            keeper: tokio::spawn(upkeep::keep(member.clone(), membership.claim_after)),
        })
    }

    /// Notes that an event has arrived.
    pub(crate) fn hold(&self, id: EntryId) {
        self.held().insert(id);
    }

    /// Notes that events that have arrived are not given out.
    pub(crate) fn let_go(&self, ids: &[EntryId]) {
        let mut held = self.held();
        for id in ids {
            held.remove(id);
        }
    }

    /// Gives out what has arrived.
    pub(crate) fn event(
        self: &Arc<Self>,
        id: EntryId,
        message: Message,
        deliveries: u32,
        slot: OwnedSemaphorePermit,
    ) -> Event {
        Event::new(self.topic.clone(), message)
            .with_deliveries(deliveries)
            .with_acknowledge(Undecided {
                member: self.clone(),
                id,
                deliveries,
                is_decided: false,
                _slot: slot,
            })
    }

    /// What has arrived and is not decided.
    pub(crate) fn held_ids(&self) -> Vec<EntryId> {
        self.held().iter().copied().collect()
    }

    pub(crate) fn holds(&self, id: EntryId) -> bool {
        self.held().contains(&id)
    }

    /// Runs what nobody waits for.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// An event whose time has come to be given out again.
    pub(crate) fn take_returned(&self) -> Option<Returned> {
        let mut returned = self.returned();
        let now = Instant::now();
        let first = returned.iter().position(|event| event.not_before <= now)?;
        returned.remove(first)
    }

    /// When there is one.
    pub(crate) fn take_returned_at(&self) -> Option<Instant> {
        self.returned().iter().map(|event| event.not_before).min()
    }

    /// Whether so much is to be given out again that nothing new may come.
    pub(crate) fn is_full(&self) -> bool {
        self.returned().len() >= MOST_RETURNED
    }

    /// Puts an event back that is to be given out again, at once if it was given out just once.
    pub(crate) fn put_back(&self, id: EntryId, deliveries: u32) {
        let pause = match deliveries {
            0 | 1 => Duration::ZERO,
            more => retry_pause(more - 1),
        };
        self.returned().push_back(Returned {
            id,
            deliveries,
            not_before: Instant::now() + pause,
        });
        self.wake.notify_one();
    }

    /// Tells Redis that an event was handled.
    async fn acknowledge(&self, share: &Share, id: EntryId) -> Result<()> {
        let tell = |ids: Vec<EntryId>| async move {
            let mut command = Cmd::with_capacity(3 + ids.len(), 128 + 32 * ids.len());
            command.arg("XACK").arg(&self.key).arg(share.queue.as_str());
            for id in ids {
                command.arg(id.to_string());
            }
            self.link.request(&command).await.map(drop)
        };
        self.acknowledgements.add(id, tell).await.map_err(|problem| {
            problem.context(format_args!("an event of {} was not acknowledged", self.topic))
        })
    }

    fn returned(&self) -> MutexGuard<'_, VecDeque<Returned>> {
        self.returned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> MutexGuard<'_, HashSet<EntryId>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.keeper.abort();
        if let Some(share) = self.share.take() {
            let (link, key) = (self.link.clone(), std::mem::take(&mut self.key));
            self.tasks
                .spawn(async move { sign_off(&link, &key, &share).await });
        }
    }
}

/// Lets the other members of the queue have these at once: whoever looks takes them over.
pub(crate) async fn give_back(
    link: &Link,
    key: &str,
    share: &Share,
    ids: &[EntryId],
    idle: Duration,
) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    // Its idle time says that it was not looked after for long enough; the count of deliveries stays.
    let mut command = redis::cmd("XCLAIM");
    command.arg(key).arg(share.queue.as_str()).arg(&share.consumer);
    command.arg(0);
    for id in ids {
        command.arg(id.to_string());
    }
    command.arg("IDLE").arg(upkeep::millis(idle)).arg("JUSTID");
    link.request(&command).await.map(drop)
}

/// Removes a member from its queue, unless Redis still counts events as its own.
async fn sign_off(link: &Link, key: &str, share: &Share) {
    let queue = share.queue.as_str();
    let mut pending = redis::cmd("XPENDING");
    pending
        .arg(key)
        .arg(queue)
        .arg("-")
        .arg("+")
        .arg(1)
        .arg(&share.consumer);
    let Ok(redis::Value::Array(pending)) = link.request(&pending).await else {
        return;
    };
    if pending.is_empty() {
        let mut command = redis::cmd("XGROUP");
        command
            .arg("DELCONSUMER")
            .arg(key)
            .arg(queue)
            .arg(&share.consumer);
        // It is known for longer otherwise, which does no harm.
        let _ = link.request(&command).await;
    }
}

/// An event that was given out. Dropped, it goes back.
struct Undecided {
    member: Arc<Member>,
    id: EntryId,
    deliveries: u32,
    is_decided: bool,
    _slot: OwnedSemaphorePermit,
}

impl Undecided {
    /// Gives the event back to the queue, or to the only one who reads it.
    async fn give_back(member: &Member, id: EntryId, deliveries: u32) -> Result<()> {
        let Some(share) = &member.share else {
            member.put_back(id, deliveries);
            return Ok(());
        };
        give_back(&member.link, &member.key, share, &[id], member.claim_after).await?;
        // What was given back before is left for a while, to others.
        if deliveries <= 1 {
            member.wake.notify_one();
        }
        Ok(())
    }
}

#[async_trait]
impl Acknowledge for Undecided {
    async fn acknowledge(mut self: Box<Self>) -> Result<()> {
        self.is_decided = true;
        match &self.member.share {
            Some(share) => self.member.acknowledge(share, self.id).await,
            None => Ok(()),
        }
    }

    async fn reject(mut self: Box<Self>, _: &Error) -> Result<()> {
        self.is_decided = true;
        self.member.held().remove(&self.id);
        let returned = Self::give_back(&self.member, self.id, self.deliveries).await;
        returned.map_err(|problem| {
            problem.context(format_args!(
                "an event of {} was not given back",
                self.member.topic
            ))
        })
    }
}

impl Drop for Undecided {
    fn drop(&mut self) {
        self.member.held().remove(&self.id);
        if self.is_decided {
            return;
        }
        let (member, id, deliveries) = (self.member.clone(), self.id, self.deliveries);
        if member.share.is_none() {
            member.put_back(id, deliveries);
            return;
        }
        self.member.spawn(async move {
            if let Err(problem) = Self::give_back(&member, id, deliveries).await {
                tracing::warn!(topic = %member.topic, %problem, "an event was not given back; it comes again later");
            }
        });
    }
}
