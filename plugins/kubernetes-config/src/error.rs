//! The errors of this source.

use micro_config::{Error, ErrorKind};
use micro_kubernetes_connection::Role;

/// What errors of the connection say that they come from.
pub(crate) const ROLE: Role = Role::Config;

/// What the connection told, as a source tells it.
pub(crate) fn told(error: micro_core::Error) -> Error {
    let kind = match error.kind() {
        micro_core::ErrorKind::BadRequest => ErrorKind::Misused,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, error.detail())
}

/// A configuration that makes no sense.
pub(crate) fn misused(why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Misused, format_args!("kubernetes: {why}"))
}
