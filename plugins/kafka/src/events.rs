//! The events of a subscription that are not decided yet.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use micro_core::broker::{Acknowledge, Event, Message};
use micro_core::{Error, Result, Text, retry_pause};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error;
use crate::progress::Progress;

/// How many events may wait to be given out again before no new ones are.
pub(crate) const MAX_WAITING: usize = 64;

/// Which assignment of which partition an event came with. Positions of one assignment say nothing about another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) partition: i32,
    pub(crate) assignment: u64,
}

/// What a subscription knows of its partitions, and whom it tells.
pub(crate) struct Events {
    topic: Text,
    book: Mutex<Book>,
    /// Told when there may be something to give out.
    pub(crate) news: Arc<Notify>,
}

#[derive(Default)]
struct Book {
    partitions: Vec<(Place, Progress)>,
    waiting: Vec<Undecided>,
    /// How many events handlers have.
    in_hand: usize,
    last_assignment: u64,
    /// Nobody asks for events any more.
    is_closed: bool,
}

/// An event that was given out at least once, or is about to be.
struct Undecided {
    place: Place,
    offset: i64,
    message: Message,
    /// How often it was given out.
    deliveries: u32,
    due: Instant,
}

/// What there is to give out.
pub(crate) enum Offer {
    /// An event that comes again.
    Again(Event),
    /// What the partitions have; and when an event comes again, at the latest.
    New { until: Option<Instant> },
    /// Nothing new, until an event is decided or comes again.
    Full { until: Option<Instant> },
}

impl Events {
    pub(crate) fn new(topic: Text) -> Arc<Self> {
        Arc::new(Self {
            topic,
            book: Mutex::default(),
            news: Arc::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A partition is this subscription's from now on.
    pub(crate) fn assign(&self, partition: i32, progress: Progress) -> Place {
        let mut book = self.lock();
        book.last_assignment += 1;
        let place = Place {
            partition,
            assignment: book.last_assignment,
        };
        book.partitions.push((place, progress));
        place
    }

    /// Partitions are no longer this subscription's. What is undecided of them is somebody else's then.
    pub(crate) fn revoke(&self, is_revoked: impl Fn(i32) -> bool) {
        let mut book = self.lock();
        book.partitions.retain(|(place, _)| !is_revoked(place.partition));
        book.waiting
            .retain(|undecided| !is_revoked(undecided.place.partition));
    }

    /// Nobody asks for events any more.
    pub(crate) fn close(&self) {
        let mut book = self.lock();
        book.is_closed = true;
        book.waiting.clear();
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.lock().in_hand == 0
    }

    /// Positions that Kafka is to know.
    pub(crate) fn uncommitted(&self) -> Vec<(i32, i64)> {
        let book = self.lock();
        let positions = book.partitions.iter();
        let positions =
            positions.filter_map(|(place, progress)| Some((place.partition, progress.uncommitted()?)));
        positions.collect()
    }

    /// Kafka has confirmed a position.
    pub(crate) fn confirm(&self, partition: i32, position: i64) {
        let mut book = self.lock();
        let mut partitions = book.partitions.iter_mut();
        if let Some((_, progress)) = partitions.find(|(place, _)| place.partition == partition) {
            progress.confirm(position);
        }
    }

    pub(crate) fn offer(self: &Arc<Self>) -> Offer {
        let mut book = self.lock();
        let first = book
            .waiting
            .iter()
            .enumerate()
            .min_by_key(|(_, undecided)| undecided.due);
        let first = first.map(|(index, undecided)| (index, undecided.due));
        match first {
            Some((index, due)) if due <= Instant::now() => {
                let undecided = book.waiting.swap_remove(index);
                book.in_hand += 1;
                drop(book);
                Offer::Again(self.event(undecided))
            }
            _ => {
                let until = first.map(|(_, due)| due);
                match book.waiting.len() {
                    MAX_WAITING.. => Offer::Full { until },
                    _ => Offer::New { until },
                }
            }
        }
    }

    /// Whether a partition may give out more.
    pub(crate) fn has_room(&self, place: Place) -> bool {
        self.lock()
            .progress(place)
            .is_some_and(|progress| !progress.is_full())
    }

    /// Takes in a message that arrived. None: its partition went to somebody else meanwhile.
    pub(crate) fn take_in(
        self: &Arc<Self>,
        place: &mut Place,
        offset: i64,
        message: Message,
    ) -> Option<Event> {
        self.lock().give(place, offset)?.in_hand += 1;
        Some(self.event(Undecided {
            place: *place,
            offset,
            message,
            deliveries: 0,
            due: Instant::now(),
        }))
    }

    /// Leaves out what cannot be given to anybody.
    pub(crate) fn skip(&self, place: &mut Place, offset: i64) {
        if let Some(book) = self.lock().give(place, offset)
            && let Some(progress) = book.progress(*place)
        {
            progress.finish(offset);
        }
    }

    fn event(self: &Arc<Self>, mut undecided: Undecided) -> Event {
        undecided.deliveries = undecided.deliveries.saturating_add(1);
        let event =
            Event::new(self.topic.clone(), undecided.message.clone()).with_deliveries(undecided.deliveries);
        event.with_acknowledge(GivenOut {
            events: self.clone(),
            undecided: Some(undecided),
        })
    }
}

impl Book {
    fn progress(&mut self, place: Place) -> Option<&mut Progress> {
        let mut partitions = self.partitions.iter_mut();
        partitions
            .find(|(known, _)| *known == place)
            .map(|(_, progress)| progress)
    }

    /// An event of a partition is given out for the first time.
    fn give(&mut self, place: &mut Place, offset: i64) -> Option<&mut Self> {
        if !self.progress(*place)?.is_behind(offset) {
            // The topic was made anew, and numbers its events from the beginning again.
            self.last_assignment += 1;
            let next = self.last_assignment;
            let found = self.partitions.iter_mut().find(|(known, _)| known == place)?;
            found.0.assignment = next;
            found.1 = Progress::beginning_at(Some(offset));
            self.waiting.retain(|undecided| undecided.place != *place);
            place.assignment = next;
        }
        self.progress(*place)?.give(offset);
        Some(self)
    }
}

/// An event that a handler has. Dropped undecided it is given out again, after a pause.
struct GivenOut {
    events: Arc<Events>,
    undecided: Option<Undecided>,
}

impl GivenOut {
    fn give_back(&mut self) {
        let Some(mut undecided) = self.undecided.take() else {
            return;
        };
        undecided.due = Instant::now() + retry_pause(undecided.deliveries.saturating_sub(1));
        let mut book = self.events.lock();
        book.in_hand -= 1;
        if !book.is_closed && book.progress(undecided.place).is_some() {
            book.waiting.push(undecided);
            drop(book);
            self.events.news.notify_one();
        }
    }
}

#[async_trait]
impl Acknowledge for GivenOut {
    async fn acknowledge(mut self: Box<Self>) -> Result<()> {
        let Some(Undecided { place, offset, .. }) = self.undecided.take() else {
            return Ok(());
        };
        let mut book = self.events.lock();
        book.in_hand -= 1;
        let Some(progress) = book.progress(place) else {
            return Err(error::gone(&self.events.topic, place.partition, offset));
        };
        let was_full = progress.is_full();
        progress.finish(offset);
        drop(book);
        if was_full {
            self.events.news.notify_one();
        }
        Ok(())
    }

    async fn reject(mut self: Box<Self>, _: &Error) -> Result<()> {
        self.give_back();
        Ok(())
    }
}

impl Drop for GivenOut {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn taken(events: &Arc<Events>, place: &mut Place, offset: i64) -> Event {
        events.take_in(place, offset, Message::new("x")).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_rejected_event_comes_again_after_a_pause_and_holds_up_only_the_position() {
        let events = Events::new("orders".into());
        let mut place = events.assign(0, Progress::committed_at(5));
        let (bad, good) = (taken(&events, &mut place, 5), taken(&events, &mut place, 6));
        assert_eq!(bad.deliveries(), Some(1));
        bad.reject(&Error::internal("test", "no")).await.unwrap();
        good.acknowledge().await.unwrap();
        assert_eq!(events.uncommitted(), []);
        let Offer::New { until: Some(until) } = events.offer() else {
            panic!("nothing waits");
        };
        tokio::time::sleep_until(until).await;
        let Offer::Again(again) = events.offer() else {
            panic!("it does not come again");
        };
        assert_eq!(again.deliveries(), Some(2));
        again.acknowledge().await.unwrap();
        assert_eq!(events.uncommitted(), [(0, 7)]);
        assert!(events.is_idle());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_decided_after_its_partition_went_is_not_committed() {
        let events = Events::new("orders".into());
        let mut place = events.assign(3, Progress::committed_at(0));
        let (late, dropped) = (taken(&events, &mut place, 0), taken(&events, &mut place, 1));
        events.revoke(|partition| partition == 3);
        events.assign(3, Progress::committed_at(0));
        let error = late.acknowledge().await.unwrap_err();
        assert!(error.detail().contains("orders"), "{error}");
        drop(dropped);
        assert_eq!(events.uncommitted(), []);
        assert!(events.is_idle());
        assert!(
            matches!(events.offer(), Offer::New { until: None }),
            "nothing comes again"
        );
        assert!(events.take_in(&mut place, 2, Message::new("x")).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn events_that_nobody_can_handle_are_not_piled_up() {
        let events = Events::new("orders".into());
        let mut place = events.assign(0, Progress::committed_at(0));
        for offset in 0..MAX_WAITING as i64 {
            assert!(matches!(events.offer(), Offer::New { .. }));
            drop(taken(&events, &mut place, offset));
        }
        assert!(matches!(events.offer(), Offer::Full { until: Some(_) }));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(matches!(events.offer(), Offer::Again(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_topic_that_was_made_anew_begins_anew() {
        let events = Events::new("orders".into());
        let mut place = events.assign(0, Progress::committed_at(100));
        let old = taken(&events, &mut place, 100);
        let new = taken(&events, &mut place, 0);
        assert!(old.acknowledge().await.is_err());
        new.acknowledge().await.unwrap();
        assert_eq!(events.uncommitted(), [(0, 1)]);
    }

    #[tokio::test]
    async fn what_cannot_be_given_to_anybody_is_passed() {
        let events = Events::new("orders".into());
        let mut place = events.assign(0, Progress::committed_at(0));
        events.skip(&mut place, 0);
        assert_eq!(events.uncommitted(), [(0, 1)]);
    }
}
