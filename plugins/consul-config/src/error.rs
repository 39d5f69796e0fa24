//! The errors of this source.

use std::fmt::Display;

use micro_config::{Error, ErrorKind};

/// What the connection told, as a source tells it.
pub(crate) fn told(error: micro_core::Error) -> Error {
    let kind = match error.kind() {
        micro_core::ErrorKind::BadRequest => ErrorKind::Misused,
        micro_core::ErrorKind::TooLarge => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, error.detail())
}

/// A configuration that makes no sense.
pub(crate) fn misused(why: impl Display) -> Error {
    Error::new(ErrorKind::Misused, format_args!("consul: {why}"))
}

/// There is no key.
pub(crate) fn missing(addresses: &str, prefix: &str) -> Error {
    let (place, example) = match prefix.strip_suffix('/') {
        Some(name) => (format!("no key below {prefix}"), name),
        None => (format!("neither a key {prefix} nor one below it"), prefix),
    };
    Error::new(
        ErrorKind::Missing,
        format_args!(
            "consul ({addresses}) has {place}, or the token may not read it; put one, as `consul kv put \
             {example}/name value` does"
        ),
    )
}

/// What Consul did is not what Consul does.
pub(crate) fn unexpected(addresses: &str, what: impl Display) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format_args!("consul ({addresses}) {what}"),
    )
}
