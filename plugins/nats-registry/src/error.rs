//! The errors of this registry.

use std::fmt::Display;

use micro_core::Error;

/// Where the errors say they come from.
const ID: &str = "go.micro.registry";

/// A configuration that makes no sense.
pub(crate) fn misconfigured(why: impl Display) -> Error {
    Error::bad_request(ID, format!("nats: {why}"))
}

/// A node whose record the server does not take.
pub(crate) fn too_large(service: &str, node: &str, bytes: usize, limit: usize) -> Error {
    Error::too_large(
        ID,
        format!(
            "nats: the record of node {node} of {service} has {bytes} bytes, and the server takes {limit}; make it \
             smaller, or raise the server's `max_payload`"
        ),
    )
}

/// What the library does not even hand to the server.
pub(crate) fn unsendable(bytes: usize, servers: &str, problem: impl Display) -> Error {
    Error::too_large(
        ID,
        format!(
            "NATS at {servers} cannot be told of a change of {bytes} bytes: {problem}; make the record smaller, or raise \
             the server's `max_payload`"
        ),
    )
}

/// A record that cannot be written.
pub(crate) fn refused(service: &str, problem: impl Display) -> Error {
    Error::bad_request(
        ID,
        format!("nats: the record of {service} cannot be written: {problem}"),
    )
}
