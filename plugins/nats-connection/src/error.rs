//! The errors of a connection.

use async_nats::{ConnectError, ConnectErrorKind};
use micro_core::Error;
use micro_core::backend::{Backend, Role};
use micro_core::error::with_first_cause;

/// How errors speak of NATS.
pub(crate) const NATS: Backend = Backend {
    name: "nats",
    expected: "a NATS server",
    encrypted_scheme: "tls",
    authorities_variable: "MICRO_NATS_CACERT",
};

/// It could not be connected to.
pub(crate) fn unreachable(role: Role, servers: &str, problem: &ConnectError) -> Error {
    let said = with_first_cause(problem);
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
