//! The errors of this registry.

use std::fmt::Display;
use std::net::SocketAddr;

use micro_core::Error;

/// Where the errors say they come from.
const ID: &str = "go.micro.registry";

/// A configuration that makes no sense.
pub(crate) fn misconfigured(why: impl Display) -> Error {
    Error::bad_request(ID, format!("gossip: {why}"))
}

/// The socket cannot be had.
pub(crate) fn cannot_listen(at: SocketAddr, why: impl Display) -> Error {
    Error::unavailable(
        ID,
        format!(
            "gossip: cannot listen at {at} by UDP: {why}; is another process there? The option `listen` names \
                 another address"
        ),
    )
}

/// A record that is larger than what is told at once.
pub(crate) fn too_large(service: &str, node: &str, bytes: usize, limit: usize) -> Error {
    Error::too_large(
        ID,
        format!(
            "gossip: cannot register service {service}, node {node}: its record has {bytes} bytes, and the limit is \
             {limit}; shorten its metadata and endpoints"
        ),
    )
}

/// A record that cannot be written.
pub(crate) fn refused(service: &str, node: &str, why: impl Display) -> Error {
    Error::bad_request(
        ID,
        format!("gossip: cannot register service {service}, node {node}: {why}"),
    )
}

/// The task that gossips ended, and is begun anew.
pub(crate) fn interrupted() -> Error {
    Error::unavailable(ID, "gossip: this member's gossip ended and is begun anew")
}

/// After `close`.
pub(crate) fn closed() -> Error {
    Error::unavailable(ID, "gossip: this registry was closed; connect a new one")
}
