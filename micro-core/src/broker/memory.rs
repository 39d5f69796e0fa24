//! A broker inside this process: for tests, and for services that live together.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use futures_core::Stream;
use futures_util::future::join_all;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Acknowledge, Broker, Event, Message, SubscribeOptions, Subscription};
use crate::{Error, Result, Text};

/// How many messages wait for a subscriber, or for a queue's subscribers together, before publishing waits too.
const CAPACITY: usize = 1024;

/// A broker inside this process. Clones share their topics; other instances know nothing of them.
///
/// Publishing returns when each subscriber's queue has the message, and waits while one of them holds 1,024 messages
/// that were not decided yet. An event that is dropped undecided goes to another subscriber of its queue, or to the
/// same where there is no other; a rejected one is gone.
#[derive(Clone, Default)]
pub struct MemoryBroker(Arc<Topics>);

/// The queues of each topic.
#[derive(Default)]
struct Topics(Mutex<HashMap<Text, Vec<Arc<Queue>>>>);

/// What the subscribers of one queue share. A subscription without a queue has one of its own.
struct Queue {
    topic: Text,
    name: Option<Text>,
    state: Mutex<State>,
    room: Arc<Semaphore>,
}

#[derive(Default)]
struct State {
    messages: VecDeque<Waited>,
    /// Subscribers that take events. When the last one goes, the queue is no longer its topic's.
    takers: usize,
    /// Subscriptions that were not dropped, draining ones too.
    subscriptions: usize,
    /// Who found nothing. All are woken for a message, because one that is busy by then
    /// would not take it.
    idle: Vec<(u64, Waker)>,
    last_place: u64,
}

/// A message and its room in the queue, which is free again when the event is decided.
struct Waited {
    message: Message,
    /// The place that had it last and did not decide: others go first.
    dropped_by: Option<u64>,
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

    /// The queue of that name, and a place in it.
    fn join(&self, topic: &str, name: Option<Text>) -> (Arc<Queue>, u64) {
        let mut topics = self.lock();
        let queues = topics.entry(topic.into()).or_default();
        let shared = queues.iter().find(|queue| name.is_some() && queue.name == name);
        let queue = shared.cloned().unwrap_or_else(|| {
            let queue = Arc::new(Queue {
                topic: topic.into(),
                name,
                state: Mutex::default(),
                room: Arc::new(Semaphore::new(CAPACITY)),
            });
            queues.push(queue.clone());
            queue
        });
        let mut state = queue.lock();
        state.takers += 1;
        state.subscriptions += 1;
        state.last_place += 1;
        let place = state.last_place;
        drop(state);
        (queue, place)
    }

    /// One subscriber of the queue takes no more. With the last one, the queue leaves its topic.
    fn leave(&self, queue: &Arc<Queue>) {
        let mut topics = self.lock();
        let mut state = queue.lock();
        state.takers -= 1;
        // Also the one that leaves, to find that it has.
        state.wake_all();
        if state.takers > 0 {
            return;
        }
        drop(state);
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
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn put(&self, message: Message) {
        // Closed when the last subscriber has gone: then the message is for nobody.
        if let Ok(room) = self.room.clone().acquire_owned().await {
            let mut state = self.lock();
            state.messages.push_back(Waited {
                message,
                dropped_by: None,
                _room: room,
            });
            state.wake_all();
        }
    }

    /// Puts back what was given out and not decided.
    fn give_back(&self, waited: Waited) {
        let mut state = self.lock();
        if state.subscriptions > 0 {
            state.messages.push_front(waited);
            state.wake_all();
        }
    }
}

impl State {
    /// The first message for this place.
    fn take(&mut self, place: u64) -> Option<Waited> {
        let is_alone = self.takers <= 1;
        let mut messages = self.messages.iter();
        let first = messages.position(|waited| is_alone || waited.dropped_by != Some(place))?;
        self.messages.remove(first)
    }

    fn wake_all(&mut self) {
        for (_, waker) in self.idle.drain(..) {
            waker.wake();
        }
    }
}

/// One subscriber's place in a queue.
struct Place {
    topics: Arc<Topics>,
    queue: Arc<Queue>,
    number: u64,
    left: Arc<AtomicBool>,
}

impl Place {
    fn event(&self, waited: Waited) -> Event {
        Event::new(self.queue.topic.clone(), waited.message.clone()).with_acknowledge(GivenOut {
            queue: self.queue.clone(),
            place: self.number,
            waited: Some(waited),
        })
    }
}

impl Stream for Place {
    type Item = Result<Event>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.queue.lock();
        state.idle.retain(|(number, _)| *number != self.number);
        // Who leaves last takes along what is still there.
        if self.left.load(Ordering::Acquire) && (state.takers > 0 || state.messages.is_empty()) {
            return Poll::Ready(None);
        }
        match state.take(self.number) {
            Some(waited) => Poll::Ready(Some(Ok(self.event(waited)))),
            None => {
                state.idle.push((self.number, context.waker().clone()));
                Poll::Pending
            }
        }
    }
}

fn leave_once(topics: &Topics, queue: &Arc<Queue>, left: &AtomicBool) {
    if !left.swap(true, Ordering::AcqRel) {
        topics.leave(queue);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        leave_once(&self.topics, &self.queue, &self.left);
        let mut state = self.queue.lock();
        state.idle.retain(|(number, _)| *number != self.number);
        state.subscriptions -= 1;
        let for_nobody = if state.subscriptions == 0 {
            std::mem::take(&mut state.messages)
        } else {
            VecDeque::new()
        };
        drop(state);
        drop(for_nobody);
    }
}

/// Gives an event back unless it is decided.
struct GivenOut {
    queue: Arc<Queue>,
    place: u64,
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
        if let Some(mut waited) = self.waited.take() {
            waited.dropped_by = Some(self.place);
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
        let (queue, number) = self.0.join(topic, options.queue);
        let place = Place {
            topics: self.0.clone(),
            queue: queue.clone(),
            number,
            left: Arc::default(),
        };
        let (topics, left) = (place.topics.clone(), place.left.clone());
        Ok(Subscription::new(place).on_drain(move || leave_once(&topics, &queue, &left)))
    }
}

impl fmt::Debug for MemoryBroker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics = self.0.lock();
        formatter.debug_set().entries(topics.keys()).finish()
    }
}
