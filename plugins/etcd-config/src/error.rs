//! The errors of this source.

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

/// There is no key.
pub(crate) fn missing(addresses: &str, prefix: &str) -> Error {
    let (place, example) = match prefix.strip_suffix('/') {
        Some(name) => (format!("no key below {prefix}"), name),
        None => (format!("neither a key {prefix} nor one below it"), prefix),
    };
    Error::new(
        ErrorKind::Missing,
        format_args!("etcd ({addresses}) has {place}; put one, as `etcdctl put {example}/name value` does"),
    )
}
