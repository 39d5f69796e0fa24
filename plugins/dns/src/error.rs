//! The errors of this registry.

use std::fmt::Display;
use std::time::Duration;

use hickory_resolver::net::{DnsError, NetError};
use micro_core::Error;

/// Where the errors say they come from.
const ID: &str = "go.micro.registry";

/// A configuration that makes no sense.
pub(crate) fn misconfigured(why: impl Display) -> Error {
    Error::bad_request(ID, format!("dns: {why}"))
}

/// The operating system does not say which name servers there are.
pub(crate) fn no_system_config(why: impl Display) -> Error {
    misconfigured(format!(
        "the system's name servers cannot be read ({why}); name one with --registry_address, such as 127.0.0.1:53"
    ))
}

/// The host of an address is none.
pub(crate) fn bad_host(host: &str, why: impl Display) -> Error {
    Error::not_found(ID, format!("dns: {host:?} is no host that DNS could know: {why}"))
}

/// The DNS cannot be written to.
pub(crate) fn read_only(what: &str, service: &str) -> Error {
    Error::method_not_allowed(
        ID,
        format!(
            "dns: cannot {what} service {service}: this registry only reads; add SRV records where the zone is kept, \
             or set `registrations` to `Ignore`"
        ),
    )
}

/// The DNS has no list.
pub(crate) fn no_list(what: &str) -> Error {
    Error::method_not_allowed(
        ID,
        format!(
            "dns: cannot {what} all services: DNS answers for a name only; ask for a service by its name"
        ),
    )
}

/// The answer did not come in time.
pub(crate) fn late(servers: &str, timeout: Duration) -> Error {
    Error::timeout(
        ID,
        format!(
            "dns: {servers} did not answer within {timeout:?}; is it running and reachable by UDP and TCP? The option \
             `request_timeout` allows for more"
        ),
    )
}

/// The task that asked ended before its answer.
pub(crate) fn interrupted(service: &str) -> Error {
    Error::unavailable(
        ID,
        format!("dns: the look-up of service {service} was interrupted; it is asked for anew"),
    )
}

/// A question that failed.
pub(crate) fn failed(servers: &str, problem: &NetError) -> Error {
    let unavailable = |what: String| Error::unavailable(ID, format!("dns: {servers} {what}"));
    match problem {
        NetError::Timeout => Error::timeout(
            ID,
            format!("dns: {servers} did not answer; is it running and reachable by UDP and TCP?"),
        ),
        NetError::Dns(DnsError::ResponseCode(code)) => unavailable(format!(
            "answered {:?} ({code}); does it serve this zone, and for this machine?",
            format!("{code:?}").to_uppercase()
        )),
        NetError::Truncated => unavailable(
            "cut its answer short, over TCP as well; spread the records over several names".to_owned(),
        ),
        NetError::Io(_) | NetError::NoConnections => unavailable(format!(
            "cannot be reached: {problem}; is it running and reachable by UDP and TCP?"
        )),
        _ => unavailable(format!("gave no usable answer: {problem}")),
    }
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::op::ResponseCode;
    use micro_core::ErrorKind;

    use super::*;

    #[test]
    fn what_goes_wrong_becomes_a_kind_and_names_the_server() {
        let rows = [
            (NetError::Timeout, ErrorKind::Timeout, "UDP and TCP"),
            (
                DnsError::ResponseCode(ResponseCode::ServFail).into(),
                ErrorKind::Unavailable,
                "SERVFAIL",
            ),
            (
                DnsError::ResponseCode(ResponseCode::Refused).into(),
                ErrorKind::Unavailable,
                "REFUSED",
            ),
            (NetError::Truncated, ErrorKind::Unavailable, "cut"),
            (NetError::NoConnections, ErrorKind::Unavailable, "running"),
        ];
        for (problem, kind, word) in rows {
            let error = failed("the name server 127.0.0.1:53", &problem);
            assert_eq!(error.kind(), kind, "{error}");
            assert!(
                error.detail().contains(word) && error.detail().contains("127.0.0.1:53"),
                "{error}"
            );
        }
    }
}
