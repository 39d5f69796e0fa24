//! The errors of this registry.

use micro_core::Error;
use micro_kubernetes_connection::Role;

/// Where the errors say they come from.
pub(crate) const ROLE: Role = Role::Registry;

/// A configuration that makes no sense.
pub(crate) fn misconfigured(why: impl std::fmt::Display) -> Error {
    Error::bad_request(ROLE.id(), format!("kubernetes: {why}"))
}

/// The labels or annotations belong to something else.
pub(crate) fn taken(why: impl std::fmt::Display) -> Error {
    Error::conflict(ROLE.id(), format!("kubernetes: {why}"))
}
