//! The errors of a connection.

use micro_core::Error;
use tonic::{Code, Status};

/// What a connection is for: where its errors say that they come from, and what they advise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A registry's: `go.micro.registry`.
    Registry,
    /// A source of configuration's: `go.micro.config`.
    Config,
}

impl Role {
    /// Where errors of this role come from, as they say.
    pub fn id(self) -> &'static str {
        match self {
            Self::Registry => "go.micro.registry",
            Self::Config => "go.micro.config",
        }
    }

    fn about_the_rights(self) -> &'static str {
        match self {
            Self::Registry => {
                "grant the user's role `readwrite` on the prefix of the keys, as etcdctl role grant-permission does"
            }
            Self::Config => {
                "grant the user's role `read` on the key and on all that begins with it, as etcdctl role grant-permission \
                 --prefix=true does"
            }
        }
    }

    fn about_the_size(self) -> &'static str {
        match self {
            Self::Registry => "make the records smaller, or keep fewer of them under one prefix",
            Self::Config => "make the values smaller, or keep fewer of them under one prefix",
        }
    }

    fn about_what_is_missing(self) -> &'static str {
        match self {
            Self::Registry => "register again",
            Self::Config => "put the key",
        }
    }
}

/// A configuration that makes no sense.
pub(crate) fn misconfigured(role: Role, why: impl std::fmt::Display) -> Error {
    Error::bad_request(role.id(), format!("etcd: {why}"))
}

/// The answer did not come in time.
pub(crate) fn late(role: Role, address: &str, timeout: std::time::Duration) -> Error {
    Error::timeout(
        role.id(),
        format!(
            "etcd at {address} did not answer within {timeout:?}; is it overloaded or cut off? \
             The option `request_timeout` allows for more"
        ),
    )
}

/// What etcd did is not what etcd does.
pub(crate) fn unexpected(role: Role, address: &str, what: impl std::fmt::Display) -> Error {
    Error::unavailable(
        role.id(),
        format!("etcd at {address} {what}; is it an etcd of version 3.4 or later?"),
    )
}

/// A watch that etcd ended, with its reason.
pub(crate) fn cancelled(role: Role, address: &str, reason: &str) -> Error {
    if reason.contains("permission denied") {
        return failed(role, address, &Status::permission_denied(reason));
    }
    let reason = if reason.is_empty() {
        "no reason given"
    } else {
        reason
    };
    Error::unavailable(
        role.id(),
        format!("etcd at {address} ended the watch ({reason}); it is begun anew"),
    )
}

/// A request that failed.
pub(crate) fn failed(role: Role, address: &str, status: &Status) -> Error {
    let said = said(status);
    let told = |advice: &str| format!("etcd at {address}: {said}; {advice}");
    match status.code() {
        Code::Unauthenticated => Error::unauthorized(role.id(), told(LOGIN)),
        Code::InvalidArgument if is_about_the_user(status) => Error::unauthorized(role.id(), told(LOGIN)),
        Code::PermissionDenied => Error::forbidden(role.id(), told(role.about_the_rights())),
        Code::InvalidArgument if said.contains("too large") => Error::too_large(
            role.id(),
            told("make the record smaller, or raise etcd's --max-request-bytes"),
        ),
        Code::OutOfRange | Code::ResourceExhausted if said.contains("message") => {
            Error::too_large(role.id(), told(role.about_the_size()))
        }
        Code::ResourceExhausted => Error::unavailable(
            role.id(),
            told("its storage is full: compact and defragment it, then disarm the alarm"),
        ),
        Code::DeadlineExceeded => Error::timeout(role.id(), told("is it overloaded, or without a leader?")),
        Code::NotFound => Error::not_found(role.id(), told(role.about_what_is_missing())),
        Code::Unimplemented => Error::unavailable(role.id(), told("is it an etcd of version 3.4 or later?")),
        _ => Error::unavailable(
            role.id(),
            told("is it running and reachable, and does it speak TLS as configured?"),
        ),
    }
}

const LOGIN: &str = "check the user and the password (ETCD_USERNAME, ETCD_PASSWORD)";

/// Whether etcd wants to know who is calling, or no longer knows it.
pub(crate) fn wants_login(status: &Status) -> bool {
    status.code() == Code::Unauthenticated || is_about_the_user(status)
}

fn is_about_the_user(status: &Status) -> bool {
    let message = status.message();
    let reasons = [
        "user name is empty",
        "invalid auth token",
        "revision of auth store is old",
        "authentication failed",
    ];
    reasons.iter().any(|reason| message.contains(reason))
}

/// The message, with its deepest cause: `tcp connect error: Connection refused`.
fn said(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = std::error::Error::source(status);
    let mut deepest = None;
    while let Some(next) = cause {
        deepest = Some(next.to_string());
        cause = next.source();
    }
    if let Some(deepest) = deepest.filter(|deepest| !text.contains(deepest.as_str())) {
        text = format!("{text}: {deepest}");
    }
    if text.is_empty() {
        text = format!("failed with {}", status.code());
    }
    text
}

#[cfg(test)]
mod tests {
    use micro_core::ErrorKind;

    use super::*;

    #[test]
    fn what_etcd_says_becomes_a_kind_and_an_advice() {
        let of = |status: Status| failed(Role::Registry, "http://127.0.0.1:2379", &status);
        let rows = [
            (
                Status::unauthenticated("etcdserver: invalid auth token"),
                ErrorKind::Unauthorized,
                "ETCD_PASSWORD",
            ),
            (
                Status::invalid_argument("etcdserver: user name is empty"),
                ErrorKind::Unauthorized,
                "ETCD_USERNAME",
            ),
            (
                Status::permission_denied("etcdserver: permission denied"),
                ErrorKind::Forbidden,
                "readwrite",
            ),
            (
                Status::invalid_argument("etcdserver: request is too large"),
                ErrorKind::TooLarge,
                "--max-request-bytes",
            ),
            (
                Status::resource_exhausted("etcdserver: mvcc: database space exceeded"),
                ErrorKind::Unavailable,
                "defragment",
            ),
            (
                Status::unavailable("tcp connect error"),
                ErrorKind::Unavailable,
                "running and reachable",
            ),
        ];
        for (status, kind, advice) in rows {
            let error = of(status);
            assert_eq!(error.kind(), kind, "{error}");
            assert!(
                error.detail().contains(advice) && error.detail().contains("127.0.0.1:2379"),
                "{error}"
            );
        }
    }
}
