//! The errors of this broker.

use std::fmt::Display;
use std::time::Duration;

use micro_core::Error;

/// Where the errors say they come from.
pub(crate) const ID: &str = "go.micro.broker";

/// A configuration that makes no sense.
pub(crate) fn misconfigured(why: impl Display) -> Error {
    Error::bad_request(ID, format!("nats: {why}"))
}

/// A text that cannot be a topic or a queue.
pub(crate) fn no_subject(what: &str, text: &str, why: &str) -> Error {
    Error::bad_request(
        ID,
        format!("nats: the {what} {text:?} {why}; choose another name"),
    )
}

/// A message that the server does not take.
pub(crate) fn too_large(topic: &str, bytes: usize, limit: usize, servers: &str) -> Error {
    Error::too_large(
        ID,
        format!(
            "a message to {topic:?} has {bytes} bytes as NATS gets it, and the server at {servers} takes {limit}; make it \
             smaller, or raise the server's `max_payload`"
        ),
    )
}

/// A publish that was not confirmed in time.
pub(crate) fn late(
    topic: &str,
    timeout: Duration,
    is_up: bool,
    last: Option<&Error>,
    servers: &str,
) -> Error {
    let why = match (last, is_up) {
        (Some(last), _) => last.detail().to_owned(),
        (None, true) => "the server does not answer; is it overloaded?".to_owned(),
        (None, false) => "it is not connected; is it running and reachable?".to_owned(),
    };
    Error::unavailable(
        ID,
        format!(
            "publishing to {topic:?} at NATS at {servers} was not confirmed within {timeout:?}: {why} The message may \
             have been sent or not; the option `publish_timeout` allows for more time"
        ),
    )
    .unanswered()
}

/// What JetStream does not do.
pub(crate) fn jetstream(what: impl Display, servers: &str, problem: impl Display, advice: &str) -> Error {
    Error::unavailable(ID, format!("JetStream at {servers}: {what}: {problem}; {advice}"))
}

/// A subscription whose connection is lost, or whose server forgot it.
pub(crate) fn interrupted(what: &str, servers: &str) -> Error {
    Error::unavailable(
        ID,
        format!("NATS at {servers}: {what}; the subscription begins anew"),
    )
}
