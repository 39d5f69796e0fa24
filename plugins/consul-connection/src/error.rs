//! The errors of a connection.

use std::fmt::Display;
use std::time::Duration;

use http::StatusCode;
use micro_core::Error;
use micro_core::error::first_cause;

/// How many characters of what Consul says an error repeats.
const LONGEST: usize = 300;

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

    fn about_the_token(self) -> &'static str {
        match self {
            Self::Registry => {
                "check the ACL token (CONSUL_HTTP_TOKEN): it needs `write` on the services and `read` on services and nodes"
            }
            Self::Config => {
                "check the ACL token (CONSUL_HTTP_TOKEN): it needs `key_prefix … read` on the keys"
            }
        }
    }

    fn about_what_is_missing(self) -> &'static str {
        match self {
            Self::Registry => "register again",
            Self::Config => "put the key",
        }
    }

    fn about_the_size(self) -> &'static str {
        match self {
            Self::Registry => "make the record smaller",
            Self::Config => "make the values smaller",
        }
    }

    fn about_the_number(self) -> &'static str {
        match self {
            Self::Registry => "raise the agent's `limits.http_max_conns_per_client`, or watch fewer services",
            Self::Config => "raise the agent's `limits.http_max_conns_per_client`, or watch fewer keys",
        }
    }
}

/// A configuration that makes no sense.
pub(crate) fn misconfigured(role: Role, why: impl Display) -> Error {
    Error::bad_request(role.id(), format!("consul: {why}"))
}

/// An answer that is too large to be read.
pub(crate) fn too_large(role: Role, address: &str, most: usize) -> Error {
    let advice = role.about_the_size();
    Error::too_large(
        role.id(),
        format!("consul: {address} answered with more than {most} bytes; {advice}"),
    )
}

/// The answer did not come in time.
pub(crate) fn late(role: Role, address: &str, timeout: Duration) -> Error {
    Error::timeout(
        role.id(),
        format!(
            "consul at {address} did not answer within {timeout:?}; is it overloaded or cut off? \
             The option `request_timeout` allows for more"
        ),
    )
}

/// No connection, or one that broke.
pub(crate) fn unreachable(role: Role, address: &str, problem: &(dyn std::error::Error + 'static)) -> Error {
    Error::unavailable(
        role.id(),
        format!(
            "consul at {address}: {}; is it running and reachable, and does it speak TLS as configured?",
            chain(problem)
        ),
    )
}

/// What Consul did is not what Consul does.
pub(crate) fn unexpected(role: Role, address: &str, what: impl Display) -> Error {
    Error::unavailable(
        role.id(),
        format!("consul at {address} {what}; is it an agent of Consul 1.12 or later?"),
    )
}

/// A request that Consul answered with an error.
pub(crate) fn failed(role: Role, address: &str, status: StatusCode, body: &[u8]) -> Error {
    let id = role.id();
    let said = said(body);
    let told = |advice: &str| format!("consul at {address}: {status}: {said}; {advice}");
    match status.as_u16() {
        400 => Error::bad_request(
            id,
            told("it refuses what it was told, so change that or the option it comes from"),
        ),
        401 => Error::unauthorized(id, told(role.about_the_token())),
        403 => Error::forbidden(id, told(role.about_the_token())),
        404 => Error::not_found(id, told(role.about_what_is_missing())),
        413 => Error::too_large(id, told(role.about_the_size())),
        429 => Error::unavailable(id, told(role.about_the_number())),
        500..=599 => Error::unavailable(id, told("has it a leader, and is it healthy?")),
        _ => unexpected(role, address, format_args!("answered {status}: {said}")),
    }
}

/// What Consul says, in one line of a bounded length.
fn said(body: &[u8]) -> String {
    let start = &body[..body.len().min(LONGEST * 4)];
    let text = String::from_utf8_lossy(start);
    let words: Vec<&str> = text.split_whitespace().collect();
    let line: String = words.join(" ").chars().take(LONGEST).collect();
    if line.is_empty() {
        "without a word".to_owned()
    } else {
        line
    }
}

/// The message, with its first cause: `client error (Connect): Connection refused`.
fn chain(problem: &(dyn std::error::Error + 'static)) -> String {
    let text = problem.to_string();
    let first = first_cause(problem).to_string();
    match text.contains(&first) {
        true => text,
        false => format!("{text}: {first}"),
    }
}

#[cfg(test)]
mod tests {
    use micro_core::ErrorKind;

    use super::*;

    #[test]
    fn what_consul_says_becomes_a_kind_and_an_advice() {
        let rows = [
            (400, "Invalid service address", ErrorKind::BadRequest, "refuses"),
            (
                403,
                "Permission denied: lacks permission",
                ErrorKind::Forbidden,
                "CONSUL_HTTP_TOKEN",
            ),
            (404, "Unknown check ID", ErrorKind::NotFound, "register again"),
            (
                429,
                "Too many",
                ErrorKind::Unavailable,
                "http_max_conns_per_client",
            ),
            (500, "No cluster leader", ErrorKind::Unavailable, "leader"),
            (301, "", ErrorKind::Unavailable, "1.12"),
        ];
        for (status, body, kind, advice) in rows {
            let status = StatusCode::from_u16(status).unwrap();
            let error = failed(Role::Registry, "http://127.0.0.1:8500", status, body.as_bytes());
            assert_eq!(error.kind(), kind, "{error}");
            assert_eq!(error.id(), "go.micro.registry");
            for part in [body, advice, "127.0.0.1:8500"] {
                assert!(error.detail().contains(part), "{error}");
            }
        }
        let error = failed(Role::Config, "http://127.0.0.1:8500", StatusCode::FORBIDDEN, b"");
        assert!(error.detail().contains("key_prefix"), "{error}");
        assert_eq!(error.id(), "go.micro.config");
    }

    #[test]
    fn only_so_much_is_repeated() {
        let long = "ü\n".repeat(100_000);
        assert!(said(long.as_bytes()).chars().count() <= LONGEST);
        assert_eq!(said(b" \n"), "without a word");
    }
}
