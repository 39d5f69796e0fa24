//! The errors of this broker.

use std::fmt::Display;
use std::time::Duration;

use micro_core::Error;
use micro_core::backend::{Backend, Role, in_one_line};
use redis::{ErrorKind, RedisError, ServerErrorKind};

/// Where the errors say they come from.
const ID: &str = "go.micro.broker";

/// How errors speak of Redis.
pub(crate) const REDIS: Backend = Backend {
    name: "redis",
    expected: "a Redis of version 6.2 or later",
    encrypted_scheme: "rediss",
    authorities_variable: "MICRO_REDIS_CACERT",
};

/// A configuration that makes no sense.
pub(crate) fn misconfigured(why: impl Display) -> Error {
    REDIS.misconfigured(Role::Broker, why)
}

/// What cannot be done with Redis as it is configured.
pub(crate) fn refused(why: impl Display) -> Error {
    Error::bad_request(ID, format!("redis: {why}"))
}

/// A message that Redis does not take.
pub(crate) fn too_large(why: impl Display) -> Error {
    Error::too_large(ID, format!("redis: {why}"))
}

/// No connection within the time.
pub(crate) fn unreachable(address: &str, why: impl Display) -> Error {
    REDIS.unreachable(Role::Broker, address, why)
}

/// No confirmation within the time.
pub(crate) fn late(address: &str, timeout: Duration, last: Option<&Error>) -> Error {
    let last = last.map(|last| format!(" ({})", last.detail()));
    Error::timeout(
        ID,
        format!(
            "redis at {address} did not confirm within {timeout:?}{}; is it running, or overloaded? The option \
             `publish_timeout` allows for more",
            last.unwrap_or_default()
        ),
    )
}

/// The connection was lost each time that the same was asked.
pub(crate) fn hangs_up(address: &str, timeout: Duration, losses: u32) -> Error {
    Error::timeout(
        ID,
        format!(
            "redis at {address} did not confirm within {timeout:?}, and the connection was lost {losses} times over the              same command; is the message larger than its `proto-max-bulk-len` or `client-query-buffer-limit`, or are              connections cut on their way?"
        ),
    )
}

/// No room among the messages on their way within the time.
pub(crate) fn crowded(address: &str, limit: usize, timeout: Duration) -> Error {
    Error::timeout(
        ID,
        format!(
            "redis at {address}: {limit} messages were on their way for {timeout:?} (`publish_timeout`); is it running, \
             or overloaded? `max_pending` allows for more"
        ),
    )
}

/// What Redis did is not what Redis does.
pub(crate) fn unexpected(address: &str, what: impl Display) -> Error {
    REDIS.unexpected(Role::Broker, address, what)
}

/// A subscriber that does not keep up with a channel.
pub(crate) fn overrun(topic: &str, limit: usize) -> Error {
    Error::too_many_requests(
        ID,
        format!(
            "redis: more than {limit} messages of {topic} waited for the subscriber, and what came then is lost; \
             handle more at once, raise `max_pending`, or use streams, which keep what was not taken"
        ),
    )
}

/// A request that failed.
pub(crate) fn failed(address: &str, problem: &RedisError) -> Error {
    let told = |advice: &str| format!("redis at {address}: {}; {advice}", said(problem));
    match said_code(problem).as_str() {
        "NOAUTH" | "WRONGPASS" | "AUTH" => Error::unauthorized(
            ID,
            told("check the user and the password (MICRO_REDIS_USERNAME, MICRO_REDIS_PASSWORD)"),
        ),
        "NOPERM" => Error::forbidden(
            ID,
            told(
                "let the user's ACL have the keys of the prefix, the channels of the topics, and the commands of both",
            ),
        ),
        "WRONGTYPE" => Error::conflict(
            ID,
            told("something else is kept under that key: choose another prefix or topic"),
        ),
        "OOM" => Error::unavailable(
            ID,
            told("its memory is full: raise `maxmemory`, or keep less by `max_length` and `retention`"),
        ),
        "READONLY" => Error::unavailable(ID, told("it is a replica: name the primary")),
        "MOVED" | "ASK" | "CROSSSLOT" | "CLUSTERDOWN" => Error::unavailable(
            ID,
            told("it is part of a Redis Cluster, which is not supported: name a server of its own"),
        ),
        "LOADING" | "BUSY" | "MASTERDOWN" | "TRYAGAIN" | "MISCONF" => {
            Error::unavailable(ID, told("it cannot do this now: try again later"))
        }
        "LARGE" => Error::too_large(
            ID,
            told("make the message smaller, or raise `proto-max-bulk-len`"),
        ),
        "VERSION" => Error::unavailable(ID, told("is it a Redis of version 6.2 or later?")),
        "DB" => Error::bad_request(
            ID,
            told("it has no database of that number: check the address and `database`"),
        ),
        _ if problem.is_timeout() => unreachable(address, "no answer came in time (`response_timeout`)"),
        _ if matches!(problem.kind(), ErrorKind::Io) => unreachable(address, said(problem)),
        _ => unexpected(address, format_args!("answered: {}", said(problem))),
    }
}

/// The code of a refusal, in one word. Some have none of their own.
fn said_code(problem: &RedisError) -> String {
    let said = said(problem);
    let has = |words: &str| said.contains(words);
    let code = match problem.kind() {
        _ if has("WRONGPASS") || has("invalid username-password") || has("invalid password") => "WRONGPASS",
        _ if has("NOAUTH") => "NOAUTH",
        _ if has("NOPERM") || problem.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => "NOPERM",
        ErrorKind::AuthenticationFailed => "AUTH",
        _ if has("unknown command") || has("syntax error") || has("NOPROTO") => "VERSION",
        _ if has("invalid bulk length") => "LARGE",
        _ if has("DB index") || has("invalid DB") => "DB",
        _ => problem.code().unwrap_or_default(),
    };
    code.to_owned()
}

/// Whether the connection is of no more use.
pub(crate) fn is_lost(problem: &RedisError) -> bool {
    matches!(problem.kind(), ErrorKind::Io | ErrorKind::Parse)
}

/// Whether the same request on the same connection may do better in a moment.
pub(crate) fn may_pass(problem: &RedisError) -> bool {
    matches!(
        said_code(problem).as_str(),
        "LOADING" | "BUSY" | "MASTERDOWN" | "TRYAGAIN"
    )
}

/// Whether Redis says that the group of the queue is there already.
pub(crate) fn is_there_already(problem: &RedisError) -> bool {
    problem.code() == Some("BUSYGROUP")
}

/// Whether the key or the group of the queue is not there.
pub(crate) fn is_absent(problem: &RedisError) -> bool {
    problem.code() == Some("NOGROUP") || said(problem).contains("no such key")
}

/// In one line of a bounded length.
fn said(problem: &RedisError) -> String {
    in_one_line(problem.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::*;

    fn says(line: &str) -> Error {
        let answer = redis::parse_redis_value(format!("-{line}\r\n").as_bytes());
        let problem = match answer {
            Ok(Value::ServerError(problem)) => RedisError::from(problem),
            Err(problem) => problem,
            Ok(other) => panic!("{other:?}"),
        };
        failed("127.0.0.1:6379", &problem)
    }

    #[test]
    fn what_redis_says_becomes_a_kind_and_an_advice() {
        use micro_core::ErrorKind as Kind;
        let rows = [
            (
                "NOAUTH Authentication required.",
                Kind::Unauthorized,
                "MICRO_REDIS_PASSWORD",
            ),
            (
                "WRONGPASS invalid username-password pair or user is disabled.",
                Kind::Unauthorized,
                "MICRO_REDIS_USERNAME",
            ),
            (
                "NOPERM this user has no permissions to run the 'xadd' command",
                Kind::Forbidden,
                "ACL",
            ),
            (
                "WRONGTYPE Operation against a key holding the wrong kind of value",
                Kind::Conflict,
                "another prefix",
            ),
            (
                "OOM command not allowed when used memory > 'maxmemory'.",
                Kind::Unavailable,
                "max_length",
            ),
            (
                "READONLY You can't write against a read only replica.",
                Kind::Unavailable,
                "primary",
            ),
            ("MOVED 3999 127.0.0.1:6381", Kind::Unavailable, "Cluster"),
            ("ERR unknown command 'XAUTOCLAIM'", Kind::Unavailable, "6.2"),
            (
                "ERR Protocol error: invalid bulk length",
                Kind::TooLarge,
                "proto-max-bulk-len",
            ),
            ("ERR DB index is out of range", Kind::BadRequest, "database"),
        ];
        for (line, kind, advice) in rows {
            let error = says(line);
            assert_eq!(error.kind(), kind, "{error}");
            assert!(
                error.detail().contains(advice) && error.detail().contains("127.0.0.1:6379"),
                "{error}"
            );
        }
    }

    #[test]
    fn only_so_much_is_repeated() {
        assert!(says(&format!("ERR {}", "x ".repeat(10_000))).detail().len() < 500);
    }
}
