//! What librdkafka tells a member: partitions that come and go, positions that are committed, trouble.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{CommitMode, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use super::{Consumer, Member, Phase, Queue};
use crate::context::{self, Said};
use crate::progress::Progress;

/// How long the group's positions are waited for. Without them librdkafka asks itself, again and again.
const POSITIONS: Duration = Duration::from_secs(5);

/// What librdkafka calls, on the member's thread.
pub(crate) struct Context {
    pub(super) member: Arc<Member>,
    pub(super) said: Said,
    /// Whether a commit is on its way.
    pub(super) is_committing: AtomicBool,
    pub(super) consumer: OnceLock<Weak<Consumer>>,
}

impl Context {
    pub(super) fn new(member: Arc<Member>) -> Self {
        Self {
            member,
            said: Said::default(),
            is_committing: AtomicBool::new(false),
            consumer: OnceLock::new(),
        }
    }

    /// Gives the new partitions their positions and queues, then lets librdkafka fetch.
    fn assign(&self, consumer: &Consumer, partitions: &mut TopicPartitionList) -> KafkaResult<()> {
        let Some(held) = self.consumer.get().and_then(Weak::upgrade) else {
            return consumer.unassign();
        };
        let member = &self.member;
        let committed = match partitions.count() {
            0 => Ok(TopicPartitionList::new()),
            _ => consumer.committed_offsets(partitions.clone(), POSITIONS),
        };
        let mut is_new = false;
        let mut queues = member.queues();
        for mut partition in partitions.elements() {
            let number = partition.partition();
            let known = committed
                .as_ref()
                .ok()
                .map(|list| list.find_partition(&member.topic, number));
            let progress = match known.map(|known| known.map(|known| known.offset())) {
                Some(Some(Offset::Offset(position))) => {
                    partition.set_offset(Offset::Offset(position))?;
                    Progress::committed_at(position)
                }
                // librdkafka finds it out itself.
                None => Progress::beginning_at(None),
                Some(_) => {
                    is_new = true;
                    let end = member.starts().ends.get(&number).copied();
                    partition.set_offset(end.map_or(Offset::Beginning, Offset::Offset))?;
                    Progress::beginning_at(end)
                }
            };
            // Before anything is fetched, so that nothing goes to the consumer's own queue.
            if let Some(mut fetched) = held.split_partition_queue(&member.topic, number) {
                let news = member.events.news.clone();
                fetched.set_nonempty_callback(move || news.notify_one());
                let place = member.events.assign(number, progress);
                queues.push(Queue { place, fetched });
            }
        }
        drop(queues);
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(partitions)?,
            _ => consumer.assign(partitions)?,
        }
        if is_new {
            self.commit_now(consumer);
        }
        if *member.phase.borrow() == Phase::Joining {
            member.enter(Phase::Joined);
        } else {
            member.events.news.notify_one();
        }
        Ok(())
    }

    /// Commits what is handled of partitions that go, and forgets them.
    fn revoke(&self, consumer: &Consumer, partitions: &TopicPartitionList) -> KafkaResult<()> {
        if !consumer.assignment_lost() {
            self.commit_now(consumer);
        }
        let gone: Vec<i32> = partitions
            .elements()
            .iter()
            .map(|partition| partition.partition())
            .collect();
        let mut queues = self.member.queues();
        self.member.events.revoke(|partition| gone.contains(&partition));
        queues.retain(|queue| !gone.contains(&queue.place.partition));
        drop(queues);
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(partitions),
            _ => consumer.unassign(),
        }
    }

    /// Commits what is handled, and waits for it.
    pub(super) fn commit_now(&self, consumer: &Consumer) {
        let positions = self.uncommitted();
        if positions.count() == 0 {
            return;
        }
        match consumer.commit(&positions, CommitMode::Sync) {
            Ok(()) => self.confirm(&positions),
            Err(problem) => {
                tracing::debug!(target: "micro_kafka", topic = %self.member.topic, %problem, "positions are not committed");
            }
        }
    }

    /// Positions that Kafka is to know.
    pub(super) fn uncommitted(&self) -> TopicPartitionList {
        let mut positions = TopicPartitionList::new();
        for (partition, position) in self.member.events.uncommitted() {
            let added =
                positions.add_partition_offset(&self.member.topic, partition, Offset::Offset(position));
            if let Err(problem) = added {
                tracing::warn!(topic = %self.member.topic, partition, position, %problem, "no position for Kafka");
            }
        }
        positions
    }

    fn confirm(&self, positions: &TopicPartitionList) {
        for position in positions.elements() {
            if let (Ok(()), Offset::Offset(offset)) = (position.error(), position.offset()) {
                self.member.events.confirm(position.partition(), offset);
            }
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        context::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        context::note(&self.said, &error, reason);
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &Consumer, what: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        tracing::debug!(target: "micro_kafka", topic = %self.member.topic, ?what, ?partitions, "rebalance");
        let done = match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, partitions),
            _ => self.revoke(consumer, partitions),
        };
        if let Err(problem) = done {
            tracing::error!(topic = %self.member.topic, %problem, "kafka's partitions could not be taken or given");
            let reason = Some(problem.to_string());
            self.member.suffer(context::code(&problem), reason, Phase::Broken);
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, positions: &TopicPartitionList) {
        self.is_committing.store(false, Ordering::Release);
        match result {
            Ok(()) => self.confirm(positions),
            Err(problem) => {
                tracing::debug!(target: "micro_kafka", topic = %self.member.topic, %problem, "positions are not committed yet");
            }
        }
    }
}
