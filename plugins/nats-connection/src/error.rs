//! The errors of a connection.

use async_nats::{ConnectError, ConnectErrorKind};
use micro_core::Error;

/// What a connection is for: where its errors say that they come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A broker's: `go.micro.broker`.
    Broker,
    /// A registry's: `go.micro.registry`.
    Registry,
    /// A transport's: `go.micro.transport`.
    Transport,
    /// Configuration's: `go.micro.config`.
    Config,
}

impl Role {
    /// Where errors of this role come from, as they say.
    pub fn id(self) -> &'static str {
        match self {
            Self::Broker => "go.micro.broker",
            Self::Registry => "go.micro.registry",
            Self::Transport => "go.micro.transport",
            Self::Config => "go.micro.config",
        }
    }

    pub(crate) fn connection_name(self) -> &'static str {
        match self {
            Self::Broker => "micro broker",
            Self::Registry => "micro registry",
            Self::Transport => "micro transport",
            Self::Config => "micro config",
        }
    }
}

/// A configuration that makes no sense.
pub(crate) fn misconfigured(role: Role, why: impl std::fmt::Display) -> Error {
    Error::bad_request(role.id(), format!("nats: {why}"))
}

/// It could not be connected to.
pub(crate) fn unreachable(role: Role, servers: &str, problem: &ConnectError) -> Error {
    let said = said(problem);
    let told = |advice: &str| format!("NATS at {servers}: {said}; {advice}");
    match problem.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => Error::unauthorized(
            role.id(),
            told(
                "check the login (MICRO_NATS_USERNAME and MICRO_NATS_PASSWORD, MICRO_NATS_TOKEN, MICRO_NATS_NKEY or \
                 MICRO_NATS_CREDENTIALS)",
            ),
        ),
        ConnectErrorKind::TimedOut => Error::timeout(
            role.id(),
            told("is it overloaded, cut off, or something else than NATS?"),
        ),
        ConnectErrorKind::Tls => Error::unavailable(
            role.id(),
            told("does it speak TLS, and prove itself by an authority of MICRO_NATS_CACERT?"),
        ),
        _ => Error::unavailable(
            role.id(),
            told("is it running and reachable, and does it speak TLS as configured?"),
        ),
    }
}

/// The message with its deepest cause.
fn said(problem: &ConnectError) -> String {
    let mut text = problem.to_string();
    let mut cause = std::error::Error::source(problem);
    let mut deepest = None;
    while let Some(next) = cause {
        deepest = Some(next.to_string());
        cause = next.source();
    }
    if let Some(deepest) = deepest.filter(|deepest| !text.contains(deepest.as_str())) {
        text = format!("{text}: {deepest}");
    }
    text
}
