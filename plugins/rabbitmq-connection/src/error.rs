//! What RabbitMQ and its client say, as errors of the framework.

use std::fmt::Display;

use lapin::ErrorKind;
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use micro_core::Error;
use micro_core::backend::{Backend, Role};

/// How errors speak of RabbitMQ.
pub const RABBITMQ: Backend = Backend {
    name: "rabbitmq",
    expected: "a RabbitMQ",
    encrypted_scheme: "amqps",
    authorities_variable: "MICRO_RABBITMQ_CACERT",
};

/// The error of something that RabbitMQ did not take, or could not be asked.
///
/// `server` is where it is, `doing` what it was asked: "declaring the exchange micro".
pub(crate) fn failed(role: Role, server: &str, doing: impl Display, problem: &lapin::Error) -> Error {
    let told = |advice: &str| format!("rabbitmq at {server}: {doing}: {problem}; {advice}");
    let ErrorKind::ProtocolError(said) = problem.kind() else {
        return Error::unavailable(role.id(), told("is it running and reachable?"));
    };
    match said.kind() {
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => Error::forbidden(
            role.id(),
            told("grant the user the permission, as rabbitmqctl set_permissions does"),
        ),
        AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => {
            Error::not_found(role.id(), told("declare it, or let this side declare it"))
        }
        AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED)
            if said.get_message().as_str().contains("larger") =>
        {
            Error::too_large(
                role.id(),
                told("make the message smaller, or raise RabbitMQ's max_message_size"),
            )
        }
        AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED | AMQPSoftError::RESOURCELOCKED) => {
            Error::conflict(
                role.id(),
                told(
                    "somebody declared it otherwise: use the same settings everywhere, or another name, or delete it",
                ),
            )
        }
        AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => Error::forbidden(
            role.id(),
            told("check the virtual host of the address, and the user's permissions for it"),
        ),
        AMQPErrorKind::Hard(AMQPHardError::CONNECTIONFORCED) => Error::unavailable(
            role.id(),
            told("it is stopping, or its operator closed the connection"),
        ),
        _ => Error::unavailable(role.id(), told("its log says more")),
    }
}

/// The same for a connection that could not be made.
pub(crate) fn not_connected(role: Role, server: &str, problem: &lapin::Error) -> Error {
    let told = |advice: &str| format!("rabbitmq at {server}: connecting: {problem}; {advice}");
    match problem.kind() {
        ErrorKind::ProtocolError(said) if said.get_id() == AMQPSoftError::ACCESSREFUSED.get_id() => {
            Error::unauthorized(
                role.id(),
                told("check the user and the password (MICRO_RABBITMQ_USERNAME, MICRO_RABBITMQ_PASSWORD)"),
            )
        }
        ErrorKind::ProtocolError(_) => failed(role, server, "connecting", problem),
        _ => Error::unavailable(
            role.id(),
            told("is it running and reachable, and does it speak TLS as configured?"),
        ),
    }
}

/// The error of a connection that did not come about in time.
pub(crate) fn late(role: Role, server: &str, limit: std::time::Duration) -> Error {
    Error::timeout(
        role.id(),
        format!(
            "rabbitmq at {server}: connecting: no connection within {limit:?}; is it overloaded or cut off? The \
             option `connect_timeout` allows for more"
        ),
    )
}

#[cfg(test)]
mod tests {
    use lapin::protocol::AMQPError;
    use micro_core::ErrorKind as Kind;

    use super::*;

    #[test]
    fn what_rabbitmq_says_becomes_a_kind_and_an_advice() {
        let said = |id: u16, text: &str| {
            let error = AMQPError::from_id(id, text.into()).unwrap();
            lapin::Error::from(ErrorKind::ProtocolError(error))
        };
        let rows = [
            (
                said(406, "PRECONDITION_FAILED - inequivalent arg"),
                Kind::Conflict,
                "otherwise",
            ),
            (
                said(406, "message size 9 is larger than"),
                Kind::TooLarge,
                "max_message_size",
            ),
            (said(403, "ACCESS_REFUSED"), Kind::Forbidden, "set_permissions"),
            (said(404, "NOT_FOUND - no exchange"), Kind::NotFound, "declare"),
            (
                said(530, "NOT_ALLOWED - vhost x not found"),
                Kind::Forbidden,
                "virtual host",
            ),
            (said(320, "CONNECTION_FORCED"), Kind::Unavailable, "stopping"),
            (said(501, "FRAME_ERROR"), Kind::Unavailable, "log"),
        ];
        for (problem, kind, advice) in rows {
            let error = failed(
                Role::Broker,
                "127.0.0.1:5672",
                "declaring the exchange micro",
                &problem,
            );
            assert_eq!(error.kind(), kind, "{error}");
            for words in [advice, "127.0.0.1:5672", "the exchange micro"] {
                assert!(error.detail().contains(words), "{words}: {error}");
            }
        }
        let error = not_connected(Role::Transport, "127.0.0.1:5672", &said(403, "ACCESS_REFUSED"));
        assert_eq!(error.kind(), Kind::Unauthorized);
        assert!(error.detail().contains("MICRO_RABBITMQ_PASSWORD"), "{error}");
    }
}
