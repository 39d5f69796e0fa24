//! The life of a member, on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::Message as _;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::positions;
use super::{Consumer, LEAVE, Member, Phase};
use crate::context::{self, is_about_rights};

/// How often it looks how far everything is handled, and whether it is to leave.
pub(super) const TICK: Duration = Duration::from_millis(50);
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
        while self.member.stays() {
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
        while self.member.stays() {
            match self.consumer.poll(TICK) {
                Some(Ok(record)) => self.put_aside(&record),
                Some(Err(problem)) => self.suffer(&problem),
                None => {}
            }
            if *self.member.phase.borrow() == Phase::Away {
                self.look_for_servers();
            }
            self.consumer.context().store(&self.consumer);
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

    /// Says goodbye, and before that what is handled.
    fn leave(self) {
        self.member.wish.store(LEAVE, Ordering::Release);
        self.consumer.context().store(&self.consumer);
        // They hold the consumer.
        self.member.queues().clear();
        drop(self.consumer);
    }
}
