//! The errors of this registry, beside those of the connection.

use std::fmt::Display;

use micro_core::Error;
use micro_etcd_connection::Role;

/// A configuration that makes no sense.
pub(crate) fn misconfigured(why: impl Display) -> Error {
    Error::bad_request(Role::Registry.id(), format!("etcd: {why}"))
}

/// The key belongs to something else.
pub(crate) fn taken(why: impl Display) -> Error {
    Error::conflict(Role::Registry.id(), format!("etcd: {why}"))
}

/// A watch is read that does not run.
pub(crate) fn not_begun(prefix: &str) -> Error {
    Error::unavailable(
        Role::Registry.id(),
        format!("etcd: the watch of {prefix} has not begun; it is begun anew"),
    )
}
