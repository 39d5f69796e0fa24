//! A member of a group, with a thread of its own: it serves the group's rebalances, commits, and leaves in the end, all of
//! which may block.

mod context;
mod positions;
mod thread;

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use micro_core::{Error, Result, Text};
use rdkafka::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::sync::watch;

use self::context::Context;
pub(crate) use self::positions::Starts;
use self::thread::Thread;
use crate::config::Format;
use crate::error;
use crate::events::{Events, Place};
use crate::publisher::cannot_begin;

type Consumer = BaseConsumer<Context>;

/// How a member stands with its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It has no partitions assigned yet, nor was told that there are none for it.
    Joining,
    /// All is well.
    Joined,
    /// No server can be reached; it goes on by itself when one can.
    Away,
    /// It must be made anew.
    Broken,
}

const STAY: u8 = 0;
/// Leave when all events are decided.
const DRAIN: u8 = 1;
/// Leave now.
const LEAVE: u8 = 2;

/// What a member's thread shares with the subscription.
pub(crate) struct Member {
    pub(crate) topic: Text,
    pub(crate) servers: String,
    pub(crate) format: Format,
    pub(crate) events: Arc<Events>,
    pub(crate) phase: watch::Sender<Phase>,
    /// What is fetched of each assigned partition. Locked by the subscription while it takes an event, and by the
    /// thread while the assignment changes. They hold the consumer, so the thread clears them to end it.
    queues: Mutex<Vec<Queue>>,
    starts: Arc<Mutex<Starts>>,
    trouble: Mutex<Option<(Code, Option<String>)>>,
    wish: AtomicU8,
}

/// What is fetched of a partition.
pub(crate) struct Queue {
    pub(crate) place: Place,
    pub(crate) fetched: PartitionQueue<Context>,
}

impl Member {
    pub(crate) fn queues(&self) -> MutexGuard<'_, Vec<Queue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn starts(&self) -> MutexGuard<'_, Starts> {
        self.starts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
        self.events.news.notify_one();
    }

    /// Something is wrong, and what becomes of the member.
    fn suffer(&self, code: Code, reason: Option<String>, phase: Phase) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some((code, reason));
        self.enter(phase);
    }

    /// What is wrong, or was last.
    pub(crate) fn trouble(&self) -> Error {
        let trouble = self
            .trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let (code, reason) = trouble.unwrap_or((Code::Fail, None));
        error::failed(
            format!("subscribing to {:?}", self.topic),
            &self.servers,
            code,
            reason,
        )
    }

    /// Whether the topic is gone.
    pub(crate) fn lost_topic(&self) -> bool {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(
            trouble.as_ref(),
            Some((
                Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownTopicId,
                _
            ))
        )
    }

    /// Whether it is not to leave yet.
    fn stays(&self) -> bool {
        match self.wish.load(Ordering::Acquire) {
            STAY => true,
            DRAIN => !self.events.is_idle(),
            _ => false,
        }
    }
}

/// The members that are leaving their groups.
#[derive(Debug)]
pub(crate) struct Leaving(watch::Sender<usize>);

impl Default for Leaving {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Leaving {
    /// Waits until there is none.
    pub(crate) async fn done(&self) {
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

/// A member's place in its group. Dropping it leaves the group, a drained one when its last event is decided: its
/// thread commits what is handled, says goodbye, and ends.
pub(crate) struct Seat {
    pub(crate) member: Arc<Member>,
    /// Hung up when the thread has ended.
    ended: Option<Mutex<mpsc::Receiver<()>>>,
    leaving: Arc<Leaving>,
}

/// How long leaving is waited for. Without a server librdkafka does not end before one is back, because it wants to
/// commit; then the thread is left to that.
const LEAVING: Duration = Duration::from_secs(5);

/// What a seat is made of.
pub(crate) struct Application {
    pub(crate) topic: Text,
    /// How many partitions the topic has.
    pub(crate) partitions: i32,
    pub(crate) servers: String,
    pub(crate) client: ClientConfig,
    pub(crate) starts: Arc<Mutex<Starts>>,
    pub(crate) patience: Duration,
    pub(crate) format: Format,
}

impl Seat {
    /// Begins to join. [`Member::phase`] tells what comes of it.
    pub(crate) fn take(application: Application, leaving: Arc<Leaving>) -> Result<Self> {
        let member = Arc::new(Member {
            events: Events::new(application.topic.clone()),
            topic: application.topic,
            servers: application.servers,
            format: application.format,
            phase: watch::Sender::new(Phase::Joining),
            queues: Mutex::default(),
            starts: application.starts,
            trouble: Mutex::default(),
            wish: AtomicU8::new(STAY),
        });
        let consumer: Consumer = application
            .client
            .create_with_context(Context::new(member.clone()))
            .map_err(cannot_begin)?;
        let thread = Thread::new(
            member.clone(),
            consumer,
            application.partitions,
            application.patience,
        );
        let (ending, ended) = mpsc::channel();
        let spawned = std::thread::Builder::new()
            .name("kafka-member".to_owned())
            .spawn(move || {
                thread.run();
                drop(ending);
            });
        spawned.map_err(|problem| {
            Error::internal(
                "go.micro.broker",
                format!("kafka: no thread can be had for a subscription: {problem}"),
            )
        })?;
        Ok(Self {
            member,
            ended: Some(Mutex::new(ended)),
            leaving,
        })
    }

    /// Leaves when all events that were given out are decided.
    pub(crate) fn drain(&self) {
        self.member.events.close();
        self.member.wish.fetch_max(DRAIN, Ordering::AcqRel);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.member.events.close();
        // Who drains stays until the handlers have decided.
        let wish = &self.member.wish;
        let _ = wish.compare_exchange(STAY, LEAVE, Ordering::AcqRel, Ordering::Acquire);
        let Some(ended) = self.ended.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let gone = Gone::later(self.leaving.clone());
        // Leaving takes some milliseconds, and longer without a server. Where there is a runtime, it waits for that
        // before it ends.
        let wait = move || {
            let ended = ended.into_inner().unwrap_or_else(PoisonError::into_inner);
            let _ = ended.recv_timeout(LEAVING);
            drop(gone);
        };
        if !self.member.stays() {
            runtime.spawn_blocking(wait);
            return;
        }
        let member = self.member.clone();
        runtime.spawn(async move {
            while member.stays() {
                tokio::time::sleep(thread::TICK).await;
            }
            let _ = tokio::task::spawn_blocking(wait).await;
        });
    }
}

/// One that is leaving, until dropped.
struct Gone(Arc<Leaving>);

impl Gone {
    fn later(leaving: Arc<Leaving>) -> Self {
        leaving.0.send_modify(|count| *count += 1);
        Self(leaving)
    }
}

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}
