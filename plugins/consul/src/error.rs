//! The errors of this registry, beside those of the connection.

use std::fmt::Display;

use micro_consul_connection::Role;
use micro_core::Error;

/// A configuration that makes no sense.
pub(crate) fn misconfigured(why: impl Display) -> Error {
    Error::bad_request(Role::Registry.id(), format!("consul: {why}"))
}

/// What Consul cannot keep.
pub(crate) fn refused(why: impl Display) -> Error {
    Error::bad_request(Role::Registry.id(), format!("consul cannot keep it: {why}"))
}

/// What is too large to be read again.
pub(crate) fn too_large(why: impl Display) -> Error {
    Error::too_large(Role::Registry.id(), format!("consul: {why}"))
}

/// The id belongs to something else.
pub(crate) fn taken(why: impl Display) -> Error {
    Error::conflict(Role::Registry.id(), format!("consul: {why}"))
}
