//! The errors of requests to the API server.

use micro_core::Error;
use micro_core::backend::{Backend, Role};
use micro_core::error::first_cause;

/// How errors speak of the API server.
pub(crate) const KUBERNETES: Backend = Backend {
    name: "kubernetes",
    expected: "an API server of Kubernetes",
    encrypted_scheme: "https",
    authorities_variable: "KUBERNETES_CACERT",
};

/// How to say where the server is.
pub(crate) fn give_address(role: Role) -> &'static str {
    match role {
        Role::Registry => "give --registry_address",
        _ => "set KUBECONFIG",
    }
}

/// What to look at where more than one server was named.
pub(crate) fn check_address(role: Role) -> &'static str {
    match role {
        Role::Registry => "; check --registry_address",
        _ => "",
    }
}

/// The connection failed.
pub(crate) fn away(role: Role, address: &str, problem: &(dyn std::error::Error + 'static)) -> Error {
    Error::unavailable(
        role.id(),
        format!(
            "kubernetes at {address}: {}; is it reachable, and are its certificate and the authority as configured?",
            first_cause(problem)
        ),
    )
}

/// The watch ended in a way in which it should not.
pub(crate) fn ended(role: Role, address: &str, why: impl std::fmt::Display) -> Error {
    Error::unavailable(
        role.id(),
        format!("kubernetes at {address} ended the watch: {why}"),
    )
}

/// Where something is not as it should be. What the parser says of it may repeat what stands there, such as a password.
pub(crate) fn place(problem: &serde_json::Error) -> String {
    format!("see line {}, column {}", problem.line(), problem.column())
}

/// A request that was answered with a failure.
pub(crate) fn refused(role: Role, address: &str, code: u16, message: &str, grant: &str) -> Error {
    let id = role.id();
    let message = match message.trim() {
        "" => "no reason given",
        message => message,
    };
    let told = |advice: &str| format!("kubernetes at {address}: {message}; {advice}");
    match code {
        401 => Error::unauthorized(
            role.id(),
            told(
                "check the token or the client's certificate (KUBERNETES_TOKEN, the kubeconfig, or the pod's service account)",
            ),
        ),
        403 => Error::forbidden(
            role.id(),
            told(&format!(
                "grant it: a Role with {grant}, and a RoleBinding to the service account"
            )),
        ),
        404 => Error::not_found(id, told("check the namespace and the name")),
        409 => Error::conflict(id, told("somebody else changed it meanwhile; try again")),
        410 => Error::new(id, 410, told("list again")),
        413 => Error::too_large(id, told("make it smaller")),
        422 if message.contains("Too long") => Error::too_large(
            role.id(),
            told("the annotations of a pod have at most 256 KiB together; make it smaller"),
        ),
        400 | 415 | 422 => Error::bad_request(id, told("this is not to be tried again")),
        429 => Error::too_many_requests(id, told("it is overloaded; try again later")),
        504 => Error::timeout(id, told("is it overloaded?")),
        _ => Error::unavailable(id, told(&format!("it answered with status {code}"))),
    }
}

#[cfg(test)]
mod tests {
    use micro_core::ErrorKind;

    use super::*;

    #[test]
    fn what_the_server_says_becomes_a_kind_and_an_advice() {
        let rows = [
            (401, "Unauthorized", ErrorKind::Unauthorized, "KUBERNETES_TOKEN"),
            (
                403,
                "pods is forbidden",
                ErrorKind::Forbidden,
                "a Role with list pods",
            ),
            (404, "pods \"x\" not found", ErrorKind::NotFound, "namespace"),
            (409, "", ErrorKind::Conflict, "no reason given"),
            (
                422,
                "metadata.annotations: Too long",
                ErrorKind::TooLarge,
                "256 KiB",
            ),
            (
                422,
                "metadata.labels: Invalid value",
                ErrorKind::BadRequest,
                "Invalid value",
            ),
            (429, "busy", ErrorKind::TooManyRequests, "later"),
            (500, "etcd", ErrorKind::Unavailable, "status 500"),
        ];
        for (code, message, kind, advice) in rows {
            let error = refused(
                Role::Registry,
                "https://127.0.0.1:6443",
                code,
                message,
                "list pods",
            );
            assert_eq!(error.kind(), kind, "{error}");
            let detail = error.detail();
            assert!(
                detail.contains(advice) && detail.contains("127.0.0.1:6443"),
                "{error}"
            );
        }
    }
}
