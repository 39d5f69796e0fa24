//! The errors of a connection.

use http::StatusCode;
use micro_core::Error;
use micro_core::backend::{Backend, Role, in_one_line};
use micro_core::error::with_first_cause;

/// How errors speak of Consul.
pub(crate) const CONSUL: Backend = Backend {
    name: "consul",
    expected: "an agent of Consul 1.12 or later",
    encrypted_scheme: "https",
    authorities_variable: "CONSUL_CACERT",
};

/// What errors advise.
struct Advice {
    token: &'static str,
    missing: &'static str,
    size: &'static str,
    number: &'static str,
}

const OF_A_REGISTRY: Advice = Advice {
    token: "check the ACL token (CONSUL_HTTP_TOKEN): it needs `write` on the services and `read` on services and nodes",
    missing: "register again",
    size: "make the record smaller",
    number: "raise the agent's `limits.http_max_conns_per_client`, or watch fewer services",
};

const OF_CONFIGURATION: Advice = Advice {
    token: "check the ACL token (CONSUL_HTTP_TOKEN): it needs `key_prefix … read` on the keys",
    missing: "put the key",
    size: "make the values smaller",
    number: "raise the agent's `limits.http_max_conns_per_client`, or watch fewer keys",
};

fn advice(role: Role) -> &'static Advice {
    match role {
        Role::Registry => &OF_A_REGISTRY,
        _ => &OF_CONFIGURATION,
    }
}

/// An answer that is too large to be read.
pub(crate) fn too_large(role: Role, address: &str, most: usize) -> Error {
    let advice = advice(role).size;
    Error::too_large(
        role.id(),
        format!("consul: {address} answered with more than {most} bytes; {advice}"),
    )
}

/// No connection, or one that broke.
pub(crate) fn unreachable(role: Role, address: &str, problem: &(dyn std::error::Error + 'static)) -> Error {
    CONSUL.unreachable(role, address, with_first_cause(problem))
}

/// A request that Consul answered with an error.
pub(crate) fn failed(role: Role, address: &str, status: StatusCode, body: &[u8]) -> Error {
    let (id, advice) = (role.id(), advice(role));
    let said = match in_one_line(body) {
        nothing if nothing.is_empty() => "without a word".to_owned(),
        said => said,
    };
    let told = |advice: &str| format!("consul at {address}: {status}: {said}; {advice}");
    match status.as_u16() {
        400 => Error::bad_request(
            id,
            told("it refuses what it was told, so change that or the option it comes from"),
        ),
        401 => Error::unauthorized(id, told(advice.token)),
        403 => Error::forbidden(id, told(advice.token)),
        404 => Error::not_found(id, told(advice.missing)),
        413 => Error::too_large(id, told(advice.size)),
        429 => Error::unavailable(id, told(advice.number)),
        500..=599 => Error::unavailable(id, told("has it a leader, and is it healthy?")),
        _ => CONSUL.unexpected(role, address, format_args!("answered {status}: {said}")),
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
}
