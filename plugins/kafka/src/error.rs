//! The errors of this broker.

use std::fmt::Display;
use std::time::Duration;

use micro_core::Error;
use rdkafka::types::RDKafkaErrorCode as Code;

/// Where the errors say they come from.
const ID: &str = "go.micro.broker";

/// A configuration that makes no sense.
pub(crate) fn misconfigured(why: impl Display) -> Error {
    Error::bad_request(ID, format!("kafka: {why}"))
}

/// A topic that Kafka does not allow.
pub(crate) fn no_topic(topic: &str) -> Error {
    Error::bad_request(
        ID,
        format!(
            "kafka allows no topic called {topic:?}: names have 1 to 249 of the characters a-z, A-Z, 0-9, '.', '_' \
             and '-', and are neither \".\" nor \"..\"; choose another name"
        ),
    )
}

/// A queue without a name cannot be a group.
pub(crate) fn no_group(topic: &str) -> Error {
    Error::bad_request(
        ID,
        format!(
            "the queue of the subscription to {topic:?} has an empty name, and kafka has no such group; name it"
        ),
    )
}

/// Asked for events before its time.
pub(crate) fn not_begun(topic: &str) -> Error {
    Error::unavailable(ID, format!("kafka: the subscription to {topic:?} has not begun"))
}

/// Something was not done in time.
pub(crate) fn late(what: impl Display, servers: &str, within: Duration, reason: Option<String>) -> Error {
    let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
    Error::timeout(
        ID,
        format!(
            "{what}: kafka at {servers} did not answer within {within:?}{reason}; is it running, reachable and not \
             overloaded?"
        ),
    )
}

/// The subscription was given up before the event was decided, or its partition went to another member.
pub(crate) fn gone(topic: &str, partition: i32, offset: i64) -> Error {
    Error::conflict(
        ID,
        format!(
            "the event {offset} of partition {partition} of {topic:?} is no longer this subscription's; whoever has \
             the partition now gets it again"
        ),
    )
}

/// What Kafka or librdkafka said.
pub(crate) fn failed(what: impl Display, servers: &str, code: Code, reason: Option<String>) -> Error {
    let reason = match reason {
        Some(reason) if reason.contains(&code.to_string()) => reason,
        Some(reason) => format!("{code} ({reason})"),
        None => code.to_string(),
    };
    let told = |advice: &str| format!("{what}: kafka at {servers}: {reason}; {advice}");
    match code {
        Code::Authentication | Code::SaslAuthenticationFailed => Error::unauthorized(
            ID,
            told(
                "check the user and the password (MICRO_KAFKA_USER, MICRO_KAFKA_PASSWORD), and the mechanism",
            ),
        ),
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed => {
            Error::forbidden(ID, told("give the user the right with kafka-acls"))
        }
        Code::MessageSizeTooLarge | Code::InvalidMessageSize => Error::too_large(
            ID,
            told("publish less at once, or raise `max_message_bytes` and the topic's max.message.bytes"),
        ),
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => Error::not_found(
            ID,
            told("create the topic, or let it be created with the option `create_topics`"),
        ),
        Code::InvalidReplicationFactor | Code::InvalidPartitions => {
            Error::bad_request(ID, told("check `create_topics` against the number of servers"))
        }
        Code::InconsistentGroupProtocol => Error::conflict(
            ID,
            told(
                "its members share their partitions in another way: set the option `assignment` to theirs; Go's is Range",
            ),
        ),
        Code::InvalidSessionTimeout => Error::bad_request(
            ID,
            told(
                "the servers allow a `session_timeout` from group.min.session.timeout.ms to group.max.session.timeout.ms",
            ),
        ),
        Code::MessageTimedOut | Code::OperationTimedOut | Code::RequestTimedOut => {
            Error::timeout(ID, told("is it running, reachable and not overloaded?"))
        }
        _ => Error::unavailable(
            ID,
            told("is it running and reachable, and does it speak TLS and SASL as configured?"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use micro_core::ErrorKind;

    use super::*;

    #[test]
    fn what_kafka_says_becomes_a_kind_and_an_advice() {
        let rows = [
            (
                Code::Authentication,
                ErrorKind::Unauthorized,
                "MICRO_KAFKA_PASSWORD",
            ),
            (Code::GroupAuthorizationFailed, ErrorKind::Forbidden, "kafka-acls"),
            (
                Code::MessageSizeTooLarge,
                ErrorKind::TooLarge,
                "max_message_bytes",
            ),
            (
                Code::UnknownTopicOrPartition,
                ErrorKind::NotFound,
                "create_topics",
            ),
            (Code::MessageTimedOut, ErrorKind::Timeout, "reachable"),
            (Code::BrokerTransportFailure, ErrorKind::Unavailable, "running"),
            (Code::InconsistentGroupProtocol, ErrorKind::Conflict, "Range"),
        ];
        for (code, kind, advice) in rows {
            let error = failed(
                "publishing to \"orders\"",
                "127.0.0.1:9092",
                code,
                Some("why".into()),
            );
            assert_eq!(error.kind(), kind, "{error}");
            for part in ["orders", "127.0.0.1:9092", "why", advice] {
                assert!(error.detail().contains(part), "{part}: {error}");
            }
        }
    }
}
