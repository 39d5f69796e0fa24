//! The errors of this broker.

use std::fmt::Display;
use std::time::Duration;

use micro_core::backend::{Backend, Role, in_one_line};
use micro_core::{Error, ErrorKind};

/// Where the errors say they come from.
const ID: &str = "go.micro.broker";

/// How errors speak of NSQ.
pub(crate) const NSQ: Backend = Backend {
    name: "nsq",
    expected: "an nsqd of version 1.0 or later",
    encrypted_scheme: "tls",
    authorities_variable: "MICRO_NSQ_CACERT",
};

/// A configuration that makes no sense.
pub(crate) fn misconfigured(why: impl Display) -> Error {
    NSQ.misconfigured(Role::Broker, why)
}

/// What NSQ does not take.
pub(crate) fn refused(why: impl Display) -> Error {
    Error::bad_request(ID, format!("nsq: {why}"))
}

/// A message that is larger than a limit.
pub(crate) fn too_large(size: usize, limit: usize) -> Error {
    Error::too_large(
        ID,
        format!(
            "nsq: the message has {size} bytes with headers and in base64, and `max_message` allows for {limit}; make it \
             smaller, or raise the option and nsqd's -max-msg-size"
        ),
    )
}

/// No connection, or one that broke.
pub(crate) fn unreachable(address: &str, why: impl Display) -> Error {
    NSQ.unreachable(Role::Broker, address, why)
}

/// No connection or answer within the time.
pub(crate) fn silent(address: &str, within: Duration) -> Error {
    unreachable(address, format_args!("nothing was heard for {within:?}"))
}

/// No confirmation within the time.
pub(crate) fn late(addresses: &str, timeout: Duration, last: Option<&Error>) -> Error {
    let last = last
        .map(|last| format!(" ({})", last.detail()))
        .unwrap_or_default();
    Error::timeout(
        ID,
        format!(
            "no nsqd of {addresses} confirmed within {timeout:?}{last}; are they running, or overloaded? The option \
             `publish_timeout` allows for more"
        ),
    )
}

/// What a server did is not what NSQ does.
pub(crate) fn unexpected(address: &str, what: impl Display) -> Error {
    NSQ.unexpected(Role::Broker, address, what)
}

/// An nsqd that wants to know who is calling.
pub(crate) fn wants_secret(address: &str) -> Error {
    Error::unauthorized(
        ID,
        format!("nsqd at {address} asks for authorization; set `secret`, or MICRO_NSQ_SECRET"),
    )
}

/// The connection that a message came over is gone.
pub(crate) fn gone(address: &str) -> Error {
    Error::unavailable(
        ID,
        format!("the connection to nsqd at {address} is gone; the message is given out again"),
    )
}

/// What an nsqd says is wrong: a code and words.
pub(crate) fn said(address: &str, line: &[u8]) -> Error {
    let line = in_one_line(line);
    let told = |advice: &str| format!("nsqd at {address}: {line}; {advice}");
    match line.split_whitespace().next().unwrap_or_default() {
        "E_BAD_TOPIC" | "E_BAD_CHANNEL" => {
            Error::bad_request(ID, told("choose another name for the topic or the queue"))
        }
        "E_BAD_MESSAGE" | "E_BAD_BODY" => Error::too_large(
            ID,
            told("make the message smaller, or raise nsqd's -max-msg-size"),
        ),
        "E_AUTH_FAILED" => Error::unauthorized(ID, told("check the secret (MICRO_NSQ_SECRET)")),
        "E_UNAUTHORIZED" => Error::forbidden(
            ID,
            told("let nsqd's authorization server allow the topic and the channel to this secret"),
        ),
        "E_INVALID" if line.to_ascii_lowercase().contains("tls") => {
            Error::bad_request(ID, told("it wants TLS: configure `tls`, or MICRO_NSQ_CACERT"))
        }
        "E_PUB_FAILED" | "E_MPUB_FAILED" => {
            Error::unavailable(ID, told("is its disk full, or is it ending?"))
        }
        _ => unexpected(address, format_args!("says {line}")),
    }
}

/// Whether an nsqd goes on after it said this.
pub(crate) fn is_passing(line: &[u8]) -> bool {
    ["E_FIN_FAILED", "E_REQ_FAILED", "E_TOUCH_FAILED"]
        .iter()
        .any(|code| line.starts_with(code.as_bytes()))
}

/// Whether another nsqd or another attempt may do better.
pub(crate) fn may_pass(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nsqd_says_becomes_a_kind_and_an_advice() {
        let rows = [
            (
                "E_BAD_TOPIC PUB topic name",
                ErrorKind::BadRequest,
                "another name",
            ),
            (
                "E_BAD_MESSAGE PUB message too big 2 > 1",
                ErrorKind::TooLarge,
                "-max-msg-size",
            ),
            (
                "E_AUTH_FAILED AUTH failed",
                ErrorKind::Unauthorized,
                "MICRO_NSQ_SECRET",
            ),
            (
                "E_UNAUTHORIZED AUTH failed for PUB",
                ErrorKind::Forbidden,
                "authorization server",
            ),
            (
                "E_INVALID cannot IDENTIFY in current state (TLS required)",
                ErrorKind::BadRequest,
                "MICRO_NSQ_CACERT",
            ),
            ("E_PUB_FAILED PUB failed exiting", ErrorKind::Unavailable, "disk"),
            ("WHAT", ErrorKind::Unavailable, "1.0"),
        ];
        for (line, kind, advice) in rows {
            let error = said("127.0.0.1:4150", line.as_bytes());
            assert_eq!(error.kind(), kind, "{error}");
            for part in [line, advice, "127.0.0.1:4150"] {
                assert!(error.detail().contains(part), "{error}");
            }
        }
        assert!(is_passing(b"E_FIN_FAILED FIN 1 failed") && !is_passing(b"E_INVALID"));
    }
}
