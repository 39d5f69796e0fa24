//! The errors of this registry.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use micro_core::Error;
use micro_core::backend::{Backend, Role};

use crate::requests::Code;

/// Where the errors say they come from.
const ID: &str = "go.micro.registry";

/// How errors speak of ZooKeeper.
pub(crate) const ZOOKEEPER: Backend = Backend {
    name: "zookeeper",
    expected: "a ZooKeeper of version 3.6 or later",
    encrypted_scheme: "tls",
    authorities_variable: "ZOOKEEPER_CACERT",
};

/// Why a request has no result. Several requests may share one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The server said no.
    Refused { server: Arc<str>, code: Code },
    /// The connection was lost before the answer: nobody here knows whether it was done.
    Lost { server: Arc<str>, why: Arc<str> },
    /// No server could be reached; each with its reason.
    Away { why: Arc<str> },
    /// The answer did not come in time.
    Late { servers: Arc<str>, timeout: Duration },
    /// The request is larger than a server takes, or the answer larger than is taken here.
    TooLarge { size: usize, limit: usize },
    /// The server does not speak as a ZooKeeper does.
    Unexpected { server: Arc<str>, what: &'static str },
}

impl Trouble {
    /// Whether the same request may do better later.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::Away { .. } | Self::Late { .. })
    }

    /// Whether the server answered with that code.
    pub(crate) fn is(&self, code: Code) -> bool {
        matches!(self, Self::Refused { code: refused, .. } if *refused == code)
    }
}

impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Refused { server, code } => refused(&server, code),
            Trouble::Lost { server, why } => Error::unavailable(
                ID,
                format!("zookeeper at {server}: the connection was lost: {why}"),
            ),
            Trouble::Away { why } => Error::unavailable(
                ID,
                format!(
                    "zookeeper: {why}; is it running and reachable, and does it speak TLS as configured?"
                ),
            ),
            Trouble::Late { servers, timeout } => ZOOKEEPER.late(Role::Registry, &servers, timeout),
            Trouble::TooLarge { size, limit } => Error::too_large(
                ID,
                format!(
                    "zookeeper: {size} bytes are more than the {limit} that a message may have; make the record \
                     smaller, or raise the option `max_message` and the servers' jute.maxbuffer"
                ),
            ),
            Trouble::Unexpected { server, what } => {
                let what = format_args!("sent what cannot be read: {what}");
                ZOOKEEPER.unexpected(Role::Registry, &server, what)
            }
        }
    }
}

fn refused(server: &str, code: Code) -> Error {
    let told = |what: &str| format!("zookeeper at {server}: {what}");
    match code {
        Code::NO_AUTH => Error::forbidden(
            ID,
            told(
                "not allowed; the node belongs to another user: check `user` and `password` (ZOOKEEPER_USERNAME, \
                 ZOOKEEPER_PASSWORD) and the node's ACL, as getAcl of zkCli.sh shows it",
            ),
        ),
        Code::AUTH_FAILED | Code::SESSION_NEEDS_AUTH => Error::unauthorized(
            ID,
            told(
                "it wants to know who is calling; check `user` and `password` (ZOOKEEPER_USERNAME, ZOOKEEPER_PASSWORD)",
            ),
        ),
        Code::INVALID_ACL => Error::bad_request(
            ID,
            told("it refuses the ACL of a node; is its authentication provider `digest` switched off?"),
        ),
        Code::UNIMPLEMENTED => Error::unavailable(
            ID,
            told("it does not know the request; is it a ZooKeeper of version 3.6 or later?"),
        ),
        Code::QUOTA_EXCEEDED => Error::unavailable(
            ID,
            told("the quota of the path is used up; raise it with setquota"),
        ),
        Code::THROTTLED => {
            Error::unavailable(ID, told("it is overloaded and takes no more requests just now"))
        }
        Code::NO_NODE => Error::not_found(ID, told("there is no such node")),
        Code(code) => Error::unavailable(
            ID,
            told(&format!("failed with its code {code}; its log says more")),
        ),
    }
}

/// A configuration that makes no sense.
pub(crate) fn misconfigured(why: impl Display) -> Error {
    ZOOKEEPER.misconfigured(Role::Registry, why)
}

/// A name that ZooKeeper cannot have.
pub(crate) fn misnamed(why: impl Display) -> Error {
    Error::bad_request(ID, format!("zookeeper: {why}"))
}

/// The path belongs to something else.
pub(crate) fn taken(why: impl Display) -> Error {
    Error::conflict(ID, format!("zookeeper: {why}"))
}

/// The watch has to begin anew.
pub(crate) fn interrupted(path: &str) -> Error {
    Error::unavailable(
        ID,
        format!("zookeeper: the connection of the watch of {path} was lost; it is begun anew"),
    )
}

#[cfg(test)]
mod tests {
    use micro_core::ErrorKind;

    use super::*;

    #[test]
    fn what_zookeeper_says_becomes_a_kind_and_an_advice() {
        let rows = [
            (Code::NO_AUTH, ErrorKind::Forbidden, "ZOOKEEPER_PASSWORD"),
            (Code::AUTH_FAILED, ErrorKind::Unauthorized, "ZOOKEEPER_USERNAME"),
            (Code::UNIMPLEMENTED, ErrorKind::Unavailable, "3.6"),
            (Code::QUOTA_EXCEEDED, ErrorKind::Unavailable, "setquota"),
            (Code(-9999), ErrorKind::Unavailable, "-9999"),
        ];
        for (code, kind, advice) in rows {
            let error = Error::from(Trouble::Refused {
                server: "127.0.0.1:2181".into(),
                code,
            });
            assert_eq!(error.kind(), kind, "{error}");
            assert!(
                error.detail().contains(advice) && error.detail().contains("127.0.0.1:2181"),
                "{error}"
            );
        }
    }
}
