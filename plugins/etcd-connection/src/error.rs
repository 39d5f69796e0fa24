//! The errors of a connection.

use micro_core::Error;
use micro_core::backend::{Backend, Role};
use micro_core::error::first_cause;
use tonic::{Code, Status};

/// How errors speak of etcd.
pub(crate) const ETCD: Backend = Backend {
    name: "etcd",
    expected: "an etcd of version 3.4 or later",
    encrypted_scheme: "https",
    authorities_variable: "ETCD_CACERT",
};

/// What errors advise.
struct Advice {
    rights: &'static str,
    size: &'static str,
    missing: &'static str,
}

const OF_A_REGISTRY: Advice = Advice {
    rights: "grant the user's role `readwrite` on the prefix of the keys, as etcdctl role grant-permission does",
    size: "make the records smaller, or keep fewer of them under one prefix",
    missing: "register again",
};

const OF_CONFIGURATION: Advice = Advice {
    rights: "grant the user's role `read` on the key and on all that begins with it, as etcdctl role grant-permission \
             --prefix=true does",
    size: "make the values smaller, or keep fewer of them under one prefix",
    missing: "put the key",
};

fn advice(role: Role) -> &'static Advice {
    match role {
        Role::Registry => &OF_A_REGISTRY,
        _ => &OF_CONFIGURATION,
    }
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
        Code::PermissionDenied => Error::forbidden(role.id(), told(advice(role).rights)),
        Code::InvalidArgument if said.contains("too large") => Error::too_large(
            role.id(),
            told("make the record smaller, or raise etcd's --max-request-bytes"),
        ),
        Code::OutOfRange | Code::ResourceExhausted if said.contains("message") => {
            Error::too_large(role.id(), told(advice(role).size))
        }
        Code::ResourceExhausted => Error::unavailable(
            role.id(),
            told("its storage is full: compact and defragment it, then disarm the alarm"),
        ),
        Code::DeadlineExceeded => Error::timeout(role.id(), told("is it overloaded, or without a leader?")),
        Code::NotFound => Error::not_found(role.id(), told(advice(role).missing)),
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
    if let Some(cause) = std::error::Error::source(status) {
        let first = first_cause(cause).to_string();
        if !text.contains(&first) {
            text = format!("{text}: {first}");
        }
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
