//! A broker inside this process: for tests, and for services that live together.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::future::join_all;
use futures_util::stream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::{Acknowledge, Broker, Event, Message, SubscribeOptions, Subscription};
use crate::{Error, Result, Text};

/// How many messages wait for a subscriber, or for a queue's subscribers together, before publishing waits too.
const CAPACITY: usize = 1024;

/// A broker inside this process. Clones share their topics; other instances know nothing of them.
///
/// Publishing returns when each subscriber's queue has the message, and waits while one of them holds 1,024 messages
/// that were not decided yet. An event that is dropped undecided goes to another subscriber of its queue; a rejected
/// one is gone.
#[derive(Clone, Default)]
pub struct MemoryBroker(Arc<Topics>);

/// The queues of each topic.
#[derive(Default)]
struct Topics(Mutex<HashMap<Text, Vec<Arc<Queue>>>>);

/// What the subscribers of one queue share. A subscription without a queue has one of its own.
struct Queue {
    topic: Text,
    name: Option<Text>,
    waiting: Mutex<Waiting>,
    arrived: Notify,
    room: Arc<Semaphore>,
}

#[derive(Default)]
struct Waiting {
    messages: VecDeque<Waited>,
    /// Subscribers that take events. When the last one goes, the queue is no longer its topic's.
    takers: usize,
    /// Subscriptions that were not dropped, draining ones too.
    subscriptions: usize,
}

/// A message and its room in the queue, which is free again when the event is decided.
struct Waited {
    message: Message,
    _room: OwnedSemaphorePermit,
}

impl MemoryBroker {
    /// A broker without topics.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Topics {
    fn lock(&self) -> MutexGuard<'_, HashMap<Text, Vec<Arc<Queue>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&self, topic: &str, name: Option<Text>) -> Arc<Queue> {
        let mut topics = self.lock();
        let queues = topics.entry(topic.into()).or_default();
        let shared = queues.iter().find(|queue| name.is_some() && queue.name == name);
        let queue = shared.cloned().unwrap_or_else(|| {
            let queue = Arc::new(Queue {
                topic: topic.into(),
                name,
                waiting: Mutex::default(),
                arrived: Notify::new(),
                room: Arc::new(Semaphore::new(CAPACITY)),
            });
            queues.push(queue.clone());
            queue
        });
        let mut waiting = queue.lock();
        waiting.takers += 1;
        waiting.subscriptions += 1;
        drop(waiting);
        queue
    }

    /// One subscriber of the queue takes no more. With the last one, the queue leaves its topic.
    fn leave(&self, queue: &Arc<Queue>) {
        let mut topics = self.lock();
        let mut waiting = queue.lock();
        waiting.takers -= 1;
        if waiting.takers > 0 {
            return;
        }
        drop(waiting);
        if let Some(queues) = topics.get_mut(&queue.topic) {
            queues.retain(|known| !Arc::ptr_eq(known, queue));
            if queues.is_empty() {
                topics.remove(&queue.topic);
            }
        }
        // Publishers that wait for room here wait for nobody.
        queue.room.close();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn put(&self, message: Message) {
        // Closed when the last subscriber has gone: then the message is for nobody.
        if let Ok(room) = self.room.clone().acquire_owned().await {
            self.lock().messages.push_back(Waited { message, _room: room });
            self.arrived.notify_one();
        }
    }

    /// Puts back what was given out and not decided.
    fn give_back(&self, waited: Waited) {
        let mut waiting = self.lock();
        if waiting.subscriptions > 0 {
            waiting.messages.push_front(waited);
            drop(waiting);
            self.arrived.notify_one();
        }
    }
}

/// One subscriber's place in a queue.
struct Place {
    topics: Arc<Topics>,
    queue: Arc<Queue>,
    left: Arc<AtomicBool>,
}

impl Place {
    async fn next(&self) -> Option<Event> {
        loop {
            let arrived = self.queue.arrived.notified();
            {
                let mut waiting = self.queue.lock();
                let is_leaving = self.left.load(Ordering::Acquire);
                // Who leaves last takes along what is still there.
                if is_leaving && (waiting.takers > 0 || waiting.messages.is_empty()) {
                    return None;
                }
                if let Some(waited) = waiting.messages.pop_front() {
                    return Some(self.event(waited));
                }
            }
            arrived.await;
        }
    }

    fn event(&self, waited: Waited) -> Event {
        Event::new(self.queue.topic.clone(), waited.message.clone()).with_acknowledge(GivenOut {
            queue: self.queue.clone(),
            waited: Some(waited),
        })
    }
}

fn leave_once(topics: &Topics, queue: &Arc<Queue>, left: &AtomicBool) {
    if !left.swap(true, Ordering::AcqRel) {
        topics.leave(queue);
    }
    // Wakes this subscriber, and whoever of the others was to hear of a message in its place.
    queue.arrived.notify_waiters();
    queue.arrived.notify_one();
}

impl Drop for Place {
    fn drop(&mut self) {
        leave_once(&self.topics, &self.queue, &self.left);
        let mut waiting = self.queue.lock();
        waiting.subscriptions -= 1;
        let for_nobody = if waiting.subscriptions == 0 {
            std::mem::take(&mut waiting.messages)
        } else {
            VecDeque::new()
        };
        drop(waiting);
        drop(for_nobody);
    }
}

/// Gives an event back unless it is decided.
struct GivenOut {
    queue: Arc<Queue>,
    waited: Option<Waited>,
}

#[async_trait]
impl Acknowledge for GivenOut {
    async fn acknowledge(mut self: Box<Self>) -> Result<()> {
        self.waited = None;
        Ok(())
    }

    async fn reject(mut self: Box<Self>, _: &Error) -> Result<()> {
        self.waited = None;
        Ok(())
    }
}

impl Drop for GivenOut {
    fn drop(&mut self) {
        if let Some(waited) = self.waited.take() {
            self.queue.give_back(waited);
        }
    }
}

#[async_trait]
impl Broker for MemoryBroker {
    fn name(&self) -> &str {
        "memory"
    }

    async fn publish(&self, topic: &str, message: Message) -> Result<()> {
        let queues = self.0.lock().get(topic).cloned().unwrap_or_default();
        join_all(queues.iter().map(|queue| queue.put(message.clone()))).await;
        Ok(())
    }

    async fn subscribe(&self, topic: &str, options: SubscribeOptions) -> Result<Subscription> {
        let place = Place {
            topics: self.0.clone(),
            queue: self.0.join(topic, options.queue),
            left: Arc::default(),
        };
        let (topics, queue, left) = (place.topics.clone(), place.queue.clone(), place.left.clone());
        let events = stream::unfold(place, |place| async move {
            let event = place.next().await?;
            Some((Ok(event), place))
        });
        Ok(Subscription::new(events).on_drain(move || leave_once(&topics, &queue, &left)))
    }
}

impl fmt::Debug for MemoryBroker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics = self.0.lock();
        formatter.debug_set().entries(topics.keys()).finish()
    }
}
