//! The errors of this transport.

use std::fmt::Display;

use micro_core::Error;

const TRANSPORT: &str = "go.micro.transport";
const CLIENT: &str = "go.micro.client";
const SERVER: &str = "go.micro.server";

/// A configuration that makes no sense.
pub(crate) fn misconfigured(why: impl Display) -> Error {
    Error::bad_request(TRANSPORT, format!("nats: {why}"))
}

/// A text that is no address here.
pub(crate) fn no_address(address: &str, why: &str) -> Error {
    Error::bad_request(
        CLIENT,
        format!(
            "connection error: node address {address:?} {why}; the nats transport needs a subject of NATS"
        ),
    )
    .never_started()
}

/// Somebody else listens there.
pub(crate) fn taken(address: &str, servers: &str) -> Error {
    Error::conflict(
        TRANSPORT,
        format!(
            "the subject {address} is taken at NATS at {servers}: somebody listens there; choose another, or :0 for one \
             of its own"
        ),
    )
}

/// Nobody listens at a node's address.
pub(crate) fn nobody(address: &str, servers: &str) -> Error {
    Error::unavailable(
        CLIENT,
        format!("connection error: nobody listens at {address} at NATS at {servers}; is the service running there?"),
    )
    .never_started()
}

/// The far side went away, or the connection did, while an answer was awaited.
pub(crate) fn gone(address: &str, why: &str) -> Error {
    Error::unavailable(
        CLIENT,
        format!("connection error: {address} did not answer: {why}; whether the call was handled is unknown"),
    )
    .unanswered()
}

/// A message that the server of NATS does not take.
pub(crate) fn too_large(what: &str, bytes: usize, limit: usize, servers: &str) -> Error {
    Error::too_large(
        CLIENT,
        format!(
            "{what} has {bytes} bytes as NATS gets it, and the server at {servers} takes {limit}; make it smaller, send \
             it as a stream of parts, or raise the server's `max_payload`"
        ),
    )
}

/// What came is no message of this transport.
pub(crate) fn malformed(from: &str, problem: &Error) -> Error {
    Error::new(
        "go.micro.client.transport",
        502,
        format!(
            "{from} sent no message of Go Micro's nats transport: {}",
            problem.detail()
        ),
    )
    .unanswered()
}

/// The peer sends more than its reader takes.
pub(crate) fn overflow(limit: usize) -> Error {
    Error::new(
        TRANSPORT,
        429,
        format!(
            "{limit} messages of this stream wait for its reader, the limit `stream_buffer`, and its sender does not \
             wait: it was cut. Send more slowly, or raise the limit at the receiver"
        ),
    )
}

/// A listener that takes no more calls.
pub(crate) fn refused(why: impl Display) -> Error {
    Error::unavailable(SERVER, format!("the call was not begun: {why}"))
}

/// The caller ended a stream without saying so.
pub(crate) fn caller_gone() -> Error {
    Error::server(499, "the caller closed the stream")
}
