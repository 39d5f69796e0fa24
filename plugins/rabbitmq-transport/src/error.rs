//! The errors of this transport.

use std::fmt::Display;

use micro_core::{Error, Result};
use micro_rabbitmq_connection::Role;

/// The error of a request that surely reached nobody.
pub(crate) fn unreachable(address: &str, problem: impl Display) -> Error {
    Error::client(
        503,
        format!("connection error: cannot reach {address} over RabbitMQ: {problem}"),
    )
    .never_started()
}

/// The error of a call that broke off: whether it was handled is unknown.
pub(crate) fn broken(address: &str, problem: impl Display) -> Error {
    Error::client(
        503,
        format!(
            "connection error: {address} did not answer over RabbitMQ: {problem}; whether the call was handled is unknown"
        ),
    )
    .unanswered()
}

/// Whether a text can be an address: the name of a queue, and a routing key that means nothing but itself.
pub(crate) fn check(address: &str) -> Result<()> {
    let why = match address {
        "" => "it is empty",
        long if long.len() > 255 => "it is longer than 255 bytes",
        other if other.contains(char::is_whitespace) || other.contains(char::is_control) => {
            "it has white space"
        }
        other if other.contains(['*', '#']) => "it has a * or #, which mean many addresses",
        other if other.starts_with("amq.") => "names that begin with amq. are RabbitMQ's own",
        _ => return Ok(()),
    };
    Err(Error::bad_request(
        Role::Transport.id(),
        format!("address {address:?} is none of the rabbitmq transport: {why}; :0 lets it choose one"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_refused_by_name() {
        for address in ["", "a b", "orders.*", "#", "amq.topic", "\u{7}", &"x".repeat(256)] {
            let error = check(address).unwrap_err();
            assert!(error.detail().contains(&format!("{address:?}")), "{error}");
        }
        assert!(check("127.0.0.1:9090").is_ok() && check("f0e1-22").is_ok());
    }
}
