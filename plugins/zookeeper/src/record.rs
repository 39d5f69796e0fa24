//! Paths and data: where a node is kept, and what is kept of it.

use micro_core::Result;
use micro_core::registry::{Node, ServiceRecord};

use crate::error;

/// Where all records are kept.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    root: String,
}

impl Paths {
    pub(crate) fn new(path: &str) -> Result<Self> {
        let root = path.strip_suffix('/').unwrap_or(path);
        let wrong = |why: &str| {
            error::misconfigured(format!(
                "the path {path:?} {why}; write one such as /micro-registry"
            ))
        };
        let Some(parts) = root.strip_prefix('/') else {
            return Err(wrong("does not begin with a slash and a name"));
        };
        for part in parts.split('/') {
            if let Some(why) = refusal(part) {
                return Err(wrong(&format!(
                    "has a part that ZooKeeper refuses, since it {why}"
                )));
            }
        }
        Ok(Self {
            root: root.to_owned(),
        })
    }

    /// The node below which all is.
    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// The root and all above it, from the top.
    pub(crate) fn above(&self) -> impl Iterator<Item = &str> {
        let ends = self.root.match_indices('/').skip(1).map(|(at, _)| at);
        ends.chain([self.root.len()]).map(|end| &self.root[..end])
    }

    /// Where the nodes of a service are.
    ///
    /// # Errors
    ///
    /// When ZooKeeper cannot have that name.
    pub(crate) fn service(&self, service: &str) -> Result<String> {
        Ok(format!("{}/{}", self.root, part("service", service)?))
    }

    /// Where a node is.
    pub(crate) fn node(&self, service: &str, node: &str) -> Result<String> {
        let directory = self.service(service)?;
        Ok(format!("{directory}/{}", part("node", node)?))
    }

    /// Whether a path is one of a node: two parts below the root.
    pub(crate) fn is_node(&self, path: &str) -> bool {
        let below = path
            .strip_prefix(self.root.as_str())
            .and_then(|rest| rest.strip_prefix('/'));
        below.is_some_and(|below| below.split('/').count() == 2)
    }
}

/// The directory that a path is in.
pub(crate) fn directory(path: &str) -> &str {
    path.rfind('/').map_or("", |at| &path[..at])
}

/// A slash would begin a deeper node; Go Micro writes a dash for it.
fn part(what: &str, name: &str) -> Result<String> {
    let written = name.replace('/', "-");
    match refusal(&written) {
        None => Ok(written),
        Some(why) => Err(error::misnamed(format!(
            "the name {name:?} of the {what} cannot be a node, since it {why}; choose another one"
        ))),
    }
}

/// Why ZooKeeper refuses a part of a path, if it does.
fn refusal(part: &str) -> Option<&'static str> {
    match part {
        "" => return Some("is empty"),
        "." | ".." => return Some("has a meaning of its own in paths"),
        _ => {}
    }
    part.chars().find_map(|character| match character {
        '\0'..='\x1f' | '\x7f'..='\u{9f}' => Some("has a control character"),
        '\u{e000}'..='\u{f8ff}' => Some("has a character of Unicode's private use area"),
        '\u{fff0}'..='\u{ffff}' => Some("has one of Unicode's special characters"),
        '\u{10000}'.. => Some("has a character beyond U+FFFF, such as an emoji"),
        _ => None,
    })
}

/// The data that are kept of one node: the record with just this node, as JSON.
pub(crate) fn write(service: &ServiceRecord, node: &Node) -> Result<Vec<u8>> {
    serde_json::to_vec(&service.with_nodes(vec![node.clone()]))
        .map_err(|problem| error::misconfigured("the record is no JSON").with_source(problem))
}

/// The record of a node, if its data are one and have a node.
pub(crate) fn read(path: &str, data: &[u8]) -> Option<ServiceRecord> {
    if data.is_empty() {
        return None;
    }
    match serde_json::from_slice::<ServiceRecord>(data) {
        Ok(record) => Some(record).filter(|record| !record.nodes.is_empty()),
        Err(problem) => {
            tracing::debug!(
                "zookeeper: the data of {path} are no record of a service and are left out: {problem}"
            );
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

    fn paths() -> Paths {
        Paths::new("/micro-registry").unwrap()
    }

    #[test]
    fn paths_are_those_of_go_micro() {
        let path = paths().node("interop.greeter", "interop.greeter-node-1").unwrap();
        assert_eq!(path, "/micro-registry/interop.greeter/interop.greeter-node-1");
        assert_eq!(paths().node("a/b", "/c/").unwrap(), "/micro-registry/a-b/-c-");
        assert_eq!(directory(&path), "/micro-registry/interop.greeter");
        let deep = Paths::new("/a/b/c/").unwrap();
        assert!(deep.above().eq(["/a", "/a/b", "/a/b/c"]));
        assert_eq!(deep.root(), "/a/b/c");
        for path in ["", "/", "a", "/a//b", "/a/../b", "/a\0"] {
            assert!(Paths::new(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn only_two_parts_below_the_root_are_a_node() {
        assert!(paths().is_node("/micro-registry/a/b"));
        for path in [
            "/micro-registry",
            "/micro-registry/a",
            "/micro-registry/a/b/c",
            "/micro-registry2/a/b",
            "/x/a/b",
        ] {
            assert!(!paths().is_node(path), "{path}");
        }
    }

    #[test]
    fn what_zookeeper_refuses_is_refused_by_name() {
        for name in [".", "..", "", "a\n", "\u{7f}", "🚀", "a\u{e000}", "\u{fffd}"] {
            let error = paths().node("greeter", name).unwrap_err();
            assert!(error.detail().contains(&format!("{name:?}")), "{error}");
            assert!(paths().service(name).is_err());
        }
        for name in ["...", "東京", " a ", "grüße", "e\u{301}", "a..b", "%2F"] {
            assert!(paths().node(name, name).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_record_of_go_micro_is_written_with_the_same_bytes() {
        let captured = include_bytes!("../tests/captured/greeter.json");
        let record = read("/p", captured).unwrap();
        assert!(is_of(&record, "interop.greeter", "interop.greeter-node-1"));
        assert_eq!(write(&record, &record.nodes[0]).unwrap(), captured);
    }

    #[test]
    fn what_is_no_record_is_left_out() {
        for data in [
            "",
            "{",
            "[]",
            "null",
            "{\"name\":\"a\"}",
            "{\"name\":\"a\",\"nodes\":[]}",
            "{\"nodes\":7}",
        ] {
            assert_eq!(read("/p", data.as_bytes()), None, "{data}");
        }
        assert_eq!(read("/p", "[".repeat(100_000).as_bytes()), None);
        assert!(read("/p", br#"{"name":"a","nodes":[{"id":"1"}]}"#).is_some());
    }
}
