//! The errors of this registry.

use std::fmt::Display;
use std::time::Duration;

use http::StatusCode;
use micro_core::Error;
use micro_core::error::first_cause;

/// Where the errors say they come from.
const ID: &str = "go.micro.registry";
/// How many characters of what Consul says an error repeats.
const LONGEST: usize = 300;

/// A configuration that makes no sense.
pub(crate) fn misconfigured(why: impl Display) -> Error {
    Error::bad_request(ID, format!("consul: {why}"))
}

/// What Consul cannot keep.
pub(crate) fn refused(why: impl Display) -> Error {
    Error::bad_request(ID, format!("consul cannot keep it: {why}"))
}

/// What is too large to be read again.
pub(crate) fn too_large(why: impl Display) -> Error {
    Error::too_large(ID, format!("consul: {why}"))
}

/// The id belongs to something else.
pub(crate) fn taken(why: impl Display) -> Error {
    Error::conflict(ID, format!("consul: {why}"))
}

/// The answer did not come in time.
pub(crate) fn late(address: &str, timeout: Duration) -> Error {
    Error::timeout(
        ID,
        format!(
            "consul at {address} did not answer within {timeout:?}; is it overloaded or cut off? \
             The option `request_timeout` allows for more"
        ),
    )
}

/// No connection, or one that broke.
pub(crate) fn unreachable(address: &str, problem: &(dyn std::error::Error + 'static)) -> Error {
    Error::unavailable(
        ID,
        format!(
            "consul at {address}: {}; is it running and reachable, and does it speak TLS as configured?",
            chain(problem)
        ),
    )
}

/// What Consul did is not what Consul does.
pub(crate) fn unexpected(address: &str, what: impl Display) -> Error {
    Error::unavailable(
        ID,
        format!("consul at {address} {what}; is it an agent of Consul 1.12 or later?"),
    )
}

/// A request that Consul answered with an error.
pub(crate) fn failed(address: &str, status: StatusCode, body: &[u8]) -> Error {
    let said = said(body);
    let told = |advice: &str| format!("consul at {address}: {status}: {said}; {advice}");
    match status.as_u16() {
        400 => Error::bad_request(
            ID,
            told("it refuses what it was told, so change that or the option it comes from"),
        ),
        401 => Error::unauthorized(ID, told(TOKEN)),
        403 => Error::forbidden(ID, told(TOKEN)),
        404 => Error::not_found(ID, told("register again")),
        413 => Error::too_large(ID, told("make the record smaller")),
        429 => Error::unavailable(
            ID,
            told("raise the agent's `limits.http_max_conns_per_client`, or watch fewer services"),
        ),
        500..=599 => Error::unavailable(ID, told("has it a leader, and is it healthy?")),
        _ => unexpected(address, format_args!("answered {status}: {said}")),
    }
}

const TOKEN: &str = "check the ACL token (CONSUL_HTTP_TOKEN): it needs `write` on the services and `read` on services \
                     and nodes";

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
            let error = failed("http://127.0.0.1:8500", status, body.as_bytes());
            assert_eq!(error.kind(), kind, "{error}");
            for part in [body, advice, "127.0.0.1:8500"] {
                assert!(error.detail().contains(part), "{error}");
            }
        }
    }

    #[test]
    fn only_so_much_is_repeated() {
        let long = "ü\n".repeat(100_000);
        assert!(said(long.as_bytes()).chars().count() <= LONGEST);
        assert_eq!(said(b" \n"), "without a word");
    }
}
