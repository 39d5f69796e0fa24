//! The errors of this source.

use std::fmt::Display;

use micro_config::{Error, ErrorKind};
use micro_nats_connection::{Health, Role};

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
pub(crate) fn misused(why: impl Display) -> Error {
    Error::new(ErrorKind::Misused, format_args!("nats: {why}"))
}

/// What JetStream does not do now.
pub(crate) fn jetstream(servers: &str, what: impl Display, advice: &str) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format_args!("JetStream at {servers}: {what}; {advice}"),
    )
}

/// What the server does not let this user do.
pub(crate) fn refused(servers: &str, health: &Health) -> Error {
    let publish = health.refused_to_publish.iter();
    let subscribe = health.refused_to_subscribe.iter();
    let publish = publish.map(|subject| format!("publish to {subject:?}"));
    let subscribe = subscribe.map(|subject| format!("subscribe to {subject:?}"));
    let refused: Vec<String> = publish.chain(subscribe).collect();
    Error::new(
        ErrorKind::Unavailable,
        format_args!(
            "NATS at {servers} does not let this user {}; grant it to the user in the server's configuration: a reader of \
             a bucket publishes to `$JS.API.STREAM.INFO.KV_<bucket>` and `$JS.API.CONSUMER.CREATE.KV_<bucket>.>`, and \
             publishes and subscribes to `_INBOX.>`",
            refused.join(" and ")
        ),
    )
}
