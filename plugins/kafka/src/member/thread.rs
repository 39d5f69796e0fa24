//! The life of a member, on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::Message as _;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::positions;
use super::{Consumer, DRAIN, LEAVE, Member, Phase, STAY};
use crate::context::{self, is_about_rights};

/// How often it looks whether there is something to commit, or it is to leave.
const TICK: Duration = Duration::from_millis(50);
/// How long one question to the servers may take.
const QUESTION: Duration = Duration::from_secs(1);

pub(super) struct Thread {
    member: Arc<Member>,
    consumer: Arc<Consumer>,
    partitions: i32,
    patience: Duration,
}

impl Thread {
    pub(super) fn new(member: Arc<Member>, consumer: Consumer, partitions: i32, patience: Duration) -> Self {
        let consumer = Arc::new(consumer);
        // It is set once.
        let _ = consumer.context().consumer.set(Arc::downgrade(&consumer));
        Self {
            member,
            consumer,
            partitions,
            patience,
        }
    }

    pub(super) fn run(self) {
        if self.find_starts() {
            self.stay();
        }
        self.leave();
    }

    /// Finds where to begin. Says whether it did, and is still to.
    fn find_starts(&self) -> bool {
        let until = Instant::now() + self.patience;
        while self.member.wish() == STAY {
            if self.member.starts().is_known {
                return true;
            }
            let found = positions::find(&self.consumer, &self.member.topic, self.partitions, QUESTION);
            let problem = match found {
                Ok(ends) => {
                    let mut starts = self.member.starts();
                    starts.ends = ends;
                    starts.is_known = true;
                    return true;
                }
                Err(problem) => problem,
            };
            // Gives out what librdkafka has to tell of its connections.
            let _ = self.consumer.poll(TICK);
            let said = &self.consumer.context().said;
            let code = context::code(&problem);
            let hopeless = said
                .is_hopeless()
                .or(Some(code).filter(|code| is_about_rights(*code)));
            if hopeless.is_some() || Instant::now() >= until {
                self.member
                    .suffer(hopeless.unwrap_or(code), said.reason(), Phase::Broken);
                return false;
            }
        }
        false
    }

    fn stay(&self) {
        if let Err(problem) = self.consumer.subscribe(&[&self.member.topic]) {
            let reason = Some(problem.to_string());
            return self.member.suffer(context::code(&problem), reason, Phase::Broken);
        }
        while !self.is_to_leave() {
            match self.consumer.poll(TICK) {
                Some(Ok(record)) => self.put_aside(&record),
                Some(Err(problem)) => self.suffer(&problem),
                None => {}
            }
            if *self.member.phase.borrow() == Phase::Away {
                self.look_for_servers();
            }
            self.commit();
        }
    }

    fn is_to_leave(&self) -> bool {
        match self.member.wish() {
            STAY => false,
            DRAIN => self.member.events.is_idle(),
            _ => true,
        }
    }

    /// Commits what is handled, unless that is being done.
    fn commit(&self) {
        let context = self.consumer.context();
        if context.is_committing.load(Ordering::Acquire) {
            return;
        }
        let positions = context.uncommitted();
        if positions.count() == 0 {
            return;
        }
        context.is_committing.store(true, Ordering::Release);
        if let Err(problem) = self.consumer.commit(&positions, CommitMode::Async) {
            context.is_committing.store(false, Ordering::Release);
            tracing::debug!(target: "micro_kafka", topic = %self.member.topic, %problem, "nothing can be committed");
        }
    }

    /// Gives out later what came past its partition's queue.
    fn put_aside(&self, record: &rdkafka::message::BorrowedMessage<'_>) {
        let mut queues = self.member.queues();
        let queue = queues
            .iter_mut()
            .find(|queue| queue.place.partition == record.partition());
        if let Some(queue) = queue
            && let Ok(message) = crate::record::read(self.member.format, record)
        {
            drop(
                self.member
                    .events
                    .take_in(&mut queue.place, record.offset(), message),
            );
        }
    }

    fn suffer(&self, problem: &KafkaError) {
        let context = self.consumer.context();
        let code = context::code(problem);
        let is_joining = *self.member.phase.borrow() == Phase::Joining;
        let phase = match code {
            Code::AllBrokersDown if !is_joining => Phase::Away,
            Code::UnknownTopicOrPartition
            | Code::UnknownTopic
            | Code::UnknownTopicId
            | Code::InconsistentGroupProtocol
            | Code::InvalidSessionTimeout
            | Code::InvalidGroupId
            | Code::GroupMaxSizeReached
            | Code::Fatal => Phase::Broken,
            code if is_about_rights(code) || matches!(problem, KafkaError::MessageConsumptionFatal(_)) => {
                Phase::Broken
            }
            _ => {
                tracing::debug!(target: "micro_kafka", topic = %self.member.topic, %problem, "trouble that librdkafka mends");
                return;
            }
        };
        self.member.suffer(code, context.said.reason(), phase);
    }

    /// Whether a server answers again. The rest librdkafka does by itself.
    fn look_for_servers(&self) {
        if self
            .consumer
            .fetch_metadata(Some(&self.member.topic), QUESTION / 4)
            .is_ok()
        {
            self.consumer.context().said.clear();
            self.member.enter(Phase::Joined);
        }
    }

    /// Commits what is handled and says goodbye.
    fn leave(self) {
        self.member.wish.store(LEAVE, Ordering::Release);
        if *self.member.phase.borrow() == Phase::Joined {
            self.consumer.context().commit_now(&self.consumer);
        }
        // They hold the consumer.
        self.member.queues().clear();
        drop(self.consumer);
    }
}
