//! The errors of this registry.

use micro_core::Error;

/// Where the errors say they come from.
const ID: &str = "go.micro.registry";

/// A node that mDNS cannot carry.
pub(crate) fn refused(service: &str, node: &str, why: impl std::fmt::Display) -> Error {
    Error::bad_request(
        ID,
        format!("mdns: cannot register service {service}, node {node}: {why}"),
    )
}

/// A record that is larger than a limit.
pub(crate) fn too_large(service: &str, node: &str, why: impl std::fmt::Display) -> Error {
    Error::too_large(
        ID,
        format!("mdns: cannot register service {service}, node {node}: {why}"),
    )
}

/// A configuration that makes no sense.
pub(crate) fn misconfigured(why: impl std::fmt::Display) -> Error {
    Error::bad_request(ID, format!("mdns: {why}"))
}

/// The network does not let us.
pub(crate) fn unavailable(why: impl std::fmt::Display) -> Error {
    Error::unavailable(ID, format!("mdns: {why}"))
}

/// After `close`.
pub(crate) fn closed() -> Error {
    unavailable("this registry was closed; connect a new one")
}
