//! Keys and values: where a node is kept, and what is kept of it.

use micro_core::registry::{Node, ServiceRecord};

/// Where all nodes are kept.
#[derive(Debug, Clone)]
pub(crate) struct Keys(String);

impl Keys {
    pub(crate) fn new(prefix: String) -> Self {
        Self(prefix)
    }

    /// What the keys of one service, or of all, begin with.
    pub(crate) fn prefix(&self, service: Option<&str>) -> String {
        match service {
            Some(service) => format!("{}{}/", self.0, part(service)),
            None => self.0.clone(),
        }
    }

    pub(crate) fn node(&self, service: &str, node: &str) -> String {
        format!("{}{}/{}", self.0, part(service), part(node))
    }
}

/// A slash would begin a deeper folder; Go Micro writes a dash for it.
fn part(text: &str) -> String {
    text.replace('/', "-")
}

/// The value that is kept of one node: the record with just this node, as JSON.
pub(crate) fn write(service: &ServiceRecord, node: &Node) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&service.with_nodes(vec![node.clone()]))
}

/// The record of a value, if it is one and has a node.
pub(crate) fn read(key: &[u8], value: &[u8]) -> Option<ServiceRecord> {
    match serde_json::from_slice::<ServiceRecord>(value) {
        Ok(record) => Some(record).filter(|record| !record.nodes.is_empty()),
        Err(problem) => {
            let key = String::from_utf8_lossy(key);
            tracing::debug!("etcd: the value of {key} is no record of a service and is left out: {problem}");
            None
        }
    }
}

/// Whether a record is of that node of that service.
pub(crate) fn is_of(record: &ServiceRecord, service: &str, node: &str) -> bool {
    record.name == service && record.nodes.iter().any(|known| known.id == node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_go_micro() {
        let keys = Keys::new("/micro/registry/".into());
        assert_eq!(
            keys.node("interop.greeter", "interop.greeter-node-1"),
            "/micro/registry/interop.greeter/interop.greeter-node-1"
        );
        assert_eq!(keys.node("a/b", "/c/"), "/micro/registry/a-b/-c-");
        assert_eq!(keys.prefix(Some("a/b")), "/micro/registry/a-b/");
        assert_eq!(keys.prefix(None), "/micro/registry/");
    }

    #[test]
    fn a_record_of_go_micro_is_written_with_the_same_bytes() {
        let captured = include_bytes!("../tests/captured/greeter.json");
        let record = read(b"k", captured).unwrap();
        assert!(is_of(&record, "interop.greeter", "interop.greeter-node-1"));
        assert_eq!(write(&record, &record.nodes[0]).unwrap(), captured);
    }

    #[test]
    fn what_is_no_record_is_left_out() {
        for value in [
            "",
            "{",
            "[]",
            "null",
            "{\"name\":\"a\"}",
            "{\"name\":\"a\",\"nodes\":[]}",
            "{\"nodes\":7}",
        ] {
            assert_eq!(read(b"k", value.as_bytes()), None, "{value}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(read(b"k", deep.as_bytes()), None);
        assert!(read(b"k", br#"{"name":"a","nodes":[{"id":"1"}]}"#).is_some());
    }
}
