//! The names that NSQ allows.

use micro_core::{Result, Text};

use crate::error;

const LONGEST: usize = 64;
const EPHEMERAL: &str = "#ephemeral";

/// A topic as it is, if nsqd takes it.
pub(crate) fn topic(name: &str) -> Result<Text> {
    checked("topic", name)
}

/// The channel of a queue; without one, a channel that ends with its subscription, as in Go Micro.
pub(crate) fn channel(queue: Option<&str>) -> Result<Text> {
    match queue {
        Some(name) => checked("queue", name),
        None => Ok(format!("{}{EPHEMERAL}", uuid::Uuid::new_v4()).into()),
    }
}

fn checked(what: &str, name: &str) -> Result<Text> {
    let bare = name.strip_suffix(EPHEMERAL).unwrap_or(name);
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if bare.is_empty() || name.len() > LONGEST || !bare.bytes().all(is_allowed) {
        return Err(error::refused(format_args!(
            "the {what} {name:?} is no name for NSQ: it has 1 to {LONGEST} of a-z, A-Z, 0-9, dot, dash and underscore, \
             and may end with {EPHEMERAL}"
        )));
    }
    Ok(name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_nsq_allows_them() {
        for good in ["orders", "a..b", "A-b_c.9", "orders#ephemeral", &"x".repeat(64)] {
            assert_eq!(topic(good).unwrap().as_str(), good);
        }
        for wrong in [
            "",
            "a b",
            "grüße",
            "*",
            "#",
            "#ephemeral",
            "a/b:c",
            "a\nPUB b",
            "a#ephemeral#ephemeral",
            &"x".repeat(65),
        ] {
            let error = topic(wrong).unwrap_err();
            assert!(error.detail().contains(&format!("{wrong:?}")), "{error}");
        }
    }

    #[test]
    fn without_a_queue_each_has_a_channel_that_ends_with_it() {
        let (one, other) = (channel(None).unwrap(), channel(None).unwrap());
        assert_ne!(one, other);
        assert!(one.len() == 46 && one.ends_with("#ephemeral"), "{one}");
        assert_eq!(channel(Some("workers")).unwrap().as_str(), "workers");
    }
}
