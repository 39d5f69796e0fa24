//! What librdkafka tells a member: partitions that come and go, and trouble.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{CommitMode, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use super::{Consumer, Member, Phase, Queue, positions};
use crate::context::{self, Said};
use crate::progress::Progress;

/// How long the group's positions are waited for. Without them librdkafka asks itself, again and again.
const POSITIONS: Duration = Duration::from_secs(5);

/// What librdkafka calls, on the member's thread.
pub(crate) struct Context {
    pub(super) member: Arc<Member>,
    pub(super) said: Said,
    pub(super) consumer: OnceLock<Weak<Consumer>>,
}

impl Context {
    pub(super) fn new(member: Arc<Member>) -> Self {
        Self {
            member,
            said: Said::default(),
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
                .and_then(|list| list.find_partition(&member.topic, number))
                .and_then(|known| positions::committed(&known).ok());
            let progress = match known {
                Some(Some(position)) => {
                    partition.set_offset(Offset::Offset(position))?;
                    Progress::known_at(position)
                }
                // librdkafka finds it out itself.
                None => Progress::beginning_at(None),
                Some(None) => {
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
            self.commit_beginning(consumer);
        }
        if *member.phase.borrow() == Phase::Joining {
            member.enter(Phase::Joined);
        } else {
            member.events.news.notify_one();
        }
        Ok(())
    }

    /// Hands over what is handled of partitions that go, and forgets them.
    fn revoke(&self, consumer: &Consumer, partitions: &TopicPartitionList) -> KafkaResult<()> {
        self.store(consumer);
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

    /// Hands over how far everything is handled. librdkafka commits that soon, when partitions go, and when it is
    /// closed; and again, where it did not work.
    pub(super) fn store(&self, consumer: &Consumer) {
        let positions = self.unstored();
        if positions.count() == 0 {
            return;
        }
        match consumer.store_offsets(&positions) {
            Ok(()) => self.stored(&positions),
            Err(problem) => {
                tracing::debug!(target: "micro_kafka", topic = %self.member.topic, %problem, "positions are not stored");
            }
        }
    }

    /// Commits where reading begins, and waits for it: what is published from then on is the group's.
    fn commit_beginning(&self, consumer: &Consumer) {
        let positions = self.unstored();
        if positions.count() == 0 {
            return;
        }
        if let Err(problem) = consumer.commit(&positions, CommitMode::Sync) {
            tracing::debug!(target: "micro_kafka", topic = %self.member.topic, %problem, "the beginning is not committed yet");
        }
    }

    /// Positions that librdkafka does not know.
    fn unstored(&self) -> TopicPartitionList {
        let mut positions = TopicPartitionList::new();
        for (partition, position) in self.member.events.unstored() {
            let added =
                positions.add_partition_offset(&self.member.topic, partition, Offset::Offset(position));
            if let Err(problem) = added {
                tracing::warn!(topic = %self.member.topic, partition, position, %problem, "no position for Kafka");
            }
        }
        positions
    }

    fn stored(&self, positions: &TopicPartitionList) {
        for position in positions.elements() {
            if let (Ok(()), Offset::Offset(offset)) = (position.error(), position.offset()) {
                self.member.events.stored(position.partition(), offset);
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
}
