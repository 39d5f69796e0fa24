//! A subscription's events, from the partitions that are its.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use micro_core::broker::{Event, EventSource, Remainder};
use micro_core::{Result, Text};
use rdkafka::Message as _;
use tokio::time::{timeout, timeout_at};

use crate::broker::Shared;
use crate::error;
use crate::events::Offer;
use crate::member::{Application, Member, Phase, Queue, Seat, Starts};
use crate::record;

/// How long an attempt to go on waits for a server that is away.
const RETURN: Duration = Duration::from_secs(1);

/// The events of a subscription.
pub(crate) struct Source {
    shared: Arc<Shared>,
    topic: Text,
    group: Text,
    starts: Arc<Mutex<Starts>>,
    seat: Option<Seat>,
    /// Which partition is asked first.
    turn: usize,
}

impl Source {
    pub(crate) fn new(shared: Arc<Shared>, topic: Text, group: Text) -> Self {
        Self {
            shared,
            topic,
            group,
            starts: Arc::default(),
            seat: None,
            turn: 0,
        }
    }

    async fn join(&mut self) -> Result<()> {
        let config = &self.shared.config;
        let (publisher, topics) = (&self.shared.publisher, &self.shared.topics);
        let partitions = topics.ensure(&self.topic, publisher.producer()).await?;
        let application = Application {
            topic: self.topic.clone(),
            partitions,
            servers: config.named_servers(),
            client: config.consumer(&self.group)?,
            starts: self.starts.clone(),
            patience: config.subscribe_timeout,
            format: config.format,
        };
        let seat = Seat::take(application, self.shared.leaving.clone())?;
        let mut phase = seat.member.phase.subscribe();
        let decided = phase.wait_for(|phase| *phase != Phase::Joining);
        match timeout(config.subscribe_timeout, decided).await {
            Ok(Ok(phase)) if *phase == Phase::Joined => {}
            Ok(_) => return Err(seat.member.trouble()),
            Err(_) => {
                let what = format!("subscribing to {:?} as one of {:?}", self.topic, self.group);
                let reason = Some("its partitions are not assigned".to_owned());
                return Err(error::late(
                    what,
                    &config.named_servers(),
                    config.subscribe_timeout,
                    reason,
                ));
            }
        }
        self.seat = Some(seat);
        Ok(())
    }
}

/// Takes an event that has arrived. The partitions have their turns.
fn take(member: &Member, turn: &mut usize) -> Option<Event> {
    let mut queues = member.queues();
    let count = queues.len();
    for step in 0..count {
        let index = (*turn + step) % count;
        if let Some(event) = take_of(member, &mut queues[index]) {
            *turn = index + 1;
            return event;
        }
    }
    None
}

/// Takes an event of a partition. The inner None: there is one, but no longer for this subscription.
fn take_of(member: &Member, queue: &mut Queue) -> Option<Option<Event>> {
    let Queue { place, fetched } = queue;
    while member.events.has_room(*place) {
        match fetched.poll(Duration::ZERO)? {
            Ok(record) => {
                let offset = record.offset();
                match record::read(member.format, &record) {
                    Ok(message) => return Some(member.events.take_in(place, offset, message)),
                    Err(problem) => {
                        let (topic, partition) = (&member.topic, place.partition);
                        tracing::warn!(%topic, partition, offset, %problem, "a record is left out");
                        member.events.skip(place, offset);
                    }
                }
            }
            Err(problem) => {
                let (topic, partition) = (&member.topic, place.partition);
                tracing::debug!(target: "micro_kafka", %topic, partition, %problem, "trouble with a partition");
            }
        }
    }
    None
}

#[async_trait]
impl EventSource for Source {
    async fn begin(&mut self) -> Result<()> {
        if let Some(seat) = &self.seat {
            // librdkafka connects again by itself, and the group keeps the place for a while.
            let mut phase = seat.member.phase.subscribe();
            let decided = timeout(RETURN, phase.wait_for(|phase| *phase != Phase::Away)).await;
            match decided.map(|phase| phase.map(|phase| *phase)) {
                Ok(Ok(Phase::Joined)) => return Ok(()),
                Err(_) => return Err(seat.member.trouble()),
                Ok(_) => {}
            }
            if seat.member.lost_topic() {
                // Another of its name holds nothing that was there before.
                self.starts
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .ends
                    .clear();
            }
            self.seat = None;
        }
        self.join().await
    }

    async fn next(&mut self) -> Result<Option<Event>> {
        let Some(seat) = &self.seat else {
            return Err(error::not_begun(&self.topic));
        };
        let member = &seat.member;
        loop {
            if *member.phase.borrow() != Phase::Joined {
                return Err(member.trouble());
            }
            let until = match member.events.offer() {
                Offer::Again(event) => return Ok(Some(event)),
                Offer::New { until } => match take(member, &mut self.turn) {
                    Some(event) => return Ok(Some(event)),
                    None => until,
                },
                Offer::Full { until } => until,
            };
            match until {
                None => member.events.news.notified().await,
                Some(until) => {
                    let _ = timeout_at(until, member.events.news.notified()).await;
                }
            }
        }
    }

    async fn drain(&mut self) -> Result<Remainder> {
        if let Some(seat) = &self.seat {
            seat.drain();
        }
        // What is fetched and was not given out is the group's again.
        Ok(Remainder::Nothing)
    }
}
