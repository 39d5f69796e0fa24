//! A node as a key and a value of the member that registered it.

use std::borrow::Cow;

use micro_core::Result;
use micro_core::registry::{Node, ServiceRecord};

use crate::error;

/// What all keys begin with.
pub(crate) const ROOT: &str = "s/";
/// The most bytes of a key and its value. A datagram has less than 64 KiB, and beside the record the names of members.
pub(crate) const MAX_RECORD: usize = 32 * 1024;

/// What the keys of a service begin with.
pub(crate) fn prefix(service: &str) -> String {
    format!("{ROOT}{}/", escape(service))
}

pub(crate) fn key(service: &ServiceRecord, node: &Node) -> String {
    format!(
        "{ROOT}{}/{}/{}",
        escape(&service.name),
        escape(&service.version),
        escape(&node.id)
    )
}

/// The key and the value: the record with just this node, in the JSON that all registries have.
pub(crate) fn entry(service: &ServiceRecord, node: &Node) -> Result<(String, String)> {
    let key = key(service, node);
    let value = serde_json::to_string(&service.with_nodes(vec![node.clone()]))
        .map_err(|problem| error::refused(&service.name, &node.id, problem))?;
    let bytes = key.len() + value.len();
    match bytes > MAX_RECORD {
        true => Err(error::too_large(&service.name, &node.id, bytes, MAX_RECORD)),
        false => Ok((key, value)),
    }
}

/// Reads an entry. What is none, or says something else than its key, is left out.
pub(crate) fn read(key_of: &str, value: &str) -> Option<ServiceRecord> {
    let record: ServiceRecord = serde_json::from_str(value).ok()?;
    let [node] = &record.nodes[..] else { return None };
    (key(&record, node) == key_of).then_some(record)
}

/// Service, version and node of a key.
pub(crate) fn names(key: &str) -> Option<[String; 3]> {
    let mut parts = key.strip_prefix(ROOT)?.split('/').map(unescape);
    let names = [parts.next()?, parts.next()?, parts.next()?];
    parts.next().is_none().then_some(names)
}

fn escape(text: &str) -> Cow<'_, str> {
    match text.contains(['/', '%']) {
        true => Cow::Owned(text.replace('%', "%25").replace('/', "%2F")),
        false => Cow::Borrowed(text),
    }
}

fn unescape(text: &str) -> String {
    text.replace("%2F", "/").replace("%25", "%")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_record_that_is_too_large_is_refused_by_name() {
        let node = Node::new("one", "x").with_metadata("key", "x".repeat(MAX_RECORD));
        let error = entry(&ServiceRecord::new("greeter", "1"), &node).unwrap_err();
        assert!(
            error.detail().contains("greeter") && error.detail().contains("one"),
            "{error}"
        );
    }

    #[test]
    fn what_does_not_fit_its_key_is_left_out() {
        let record = ServiceRecord::new("greeter", "1");
        let (key, value) = entry(&record, &Node::new("one", "x")).unwrap();
        assert_eq!(key, "s/greeter/1/one");
        assert!(read(&key, &value).is_some());
        assert!(read("s/greeter/1/two", &value).is_none());
        for value in [
            "",
            "{}",
            "null",
            "[]",
            r#"{"name":"greeter","version":"1","nodes":[]}"#,
        ] {
            assert!(read(&key, value).is_none(), "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_names_come_back(service in ".{0,20}", version in ".{0,20}", node in ".{0,20}") {
            let record = ServiceRecord::new(&service, &version);
            let (key, value) = entry(&record, &Node::new(&node, "x")).unwrap();
            prop_assert!(key.starts_with(&prefix(&service)));
            prop_assert!(read(&key, &value).is_some());
            prop_assert_eq!(names(&key).unwrap(), [service, version, node]);
        }

        #[test]
        fn any_text_is_read_without_harm(key in ".{0,40}", value in ".{0,200}") {
            let _ = (names(&key), read(&key, &value));
        }
    }
}
