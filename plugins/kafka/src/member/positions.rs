//! Where a subscription begins.

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};

use crate::context;

/// Where the partitions ended when the subscription was made. What another member never committed is read from there
/// on, and what has no place here was made since, and is read from its beginning.
#[derive(Debug, Default)]
pub(crate) struct Starts {
    /// Whether that was found out. It is once: what is published while a subscription is interrupted is for it, too.
    pub(crate) is_known: bool,
    pub(crate) ends: HashMap<i32, i64>,
}

/// Finds the ends of a topic's partitions, and has the group begin there, if it is new.
///
/// Blocks.
pub(super) fn find<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partitions: i32,
    within: Duration,
) -> KafkaResult<HashMap<i32, i64>> {
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range(topic, 0, partitions - 1);
    let committed = consumer.committed_offsets(asked, within)?;
    let mut ends = HashMap::new();
    let mut new = TopicPartitionList::new();
    for partition in committed.elements() {
        let (_, end) = consumer.fetch_watermarks(topic, partition.partition(), within)?;
        ends.insert(partition.partition(), end);
        if self::committed(&partition)?.is_none() {
            new.add_partition_offset(topic, partition.partition(), Offset::Offset(end))?;
        }
    }
    if new.count() == 0 {
        return Ok(ends);
    }
    // So that what is published from now on is the group's, even if this member dies before it commits.
    match consumer.commit(&new, CommitMode::Sync) {
        Ok(()) => {}
        // The group has members, and they have done so.
        Err(problem) if is_of_members(context::code(&problem)) => {
            tracing::debug!(target: "micro_kafka", topic, %problem, "the group has its positions from its members");
        }
        Err(problem) => return Err(problem),
    }
    Ok(ends)
}

/// What the group committed of a partition: nothing, if it is new. That this could not be found out says neither.
pub(super) fn committed(partition: &TopicPartitionListElem<'_>) -> KafkaResult<Option<i64>> {
    partition.error()?;
    Ok(match partition.offset() {
        Offset::Offset(position) => Some(position),
        _ => None,
    })
}

/// Whether a group refuses positions because it has members.
fn is_of_members(code: Code) -> bool {
    matches!(
        code,
        Code::UnknownMemberId | Code::IllegalGeneration | Code::RebalanceInProgress | Code::FencedInstanceId
    )
}
