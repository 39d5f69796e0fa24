//! The nodes of one service as its follower knows them, doubtful ones included.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::service::VersionNodes;
use crate::registry::{Action, Change, Node, ServiceRecord};

#[derive(Debug, Default)]
pub(super) struct Nodes(BTreeMap<String, Version>);

#[derive(Debug, Default)]
struct Version {
    /// The record without its nodes.
    head: Arc<ServiceRecord>,
    nodes: BTreeMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    node: Arc<Node>,
    /// Missing or deleted at a time when that may not mean much.
    doubtful: bool,
}

/// What to do with a node that a listing lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Doubt it, however often it is missing.
    Doubt,
    /// Doubt it the first time, believe it the second time.
    Confirm,
}

impl Nodes {
    /// Takes a change; whether anything is different then.
    pub(super) fn apply(&mut self, change: Change, doubt_deletions: bool) -> bool {
        match change.action {
            Action::Create | Action::Update => self.add(change.service),
            Action::Delete if doubt_deletions => {
                self.doubt(&change.service);
                false
            }
            Action::Delete => self.remove(&change.service),
        }
    }

    /// Takes a complete listing; whether anything is different then.
    pub(super) fn replace(&mut self, listing: Vec<ServiceRecord>, missing: Missing) -> bool {
        let doubted = self.doubtful();
        for known in self.all() {
            known.doubtful = true;
        }
        let mut different = false;
        for record in listing {
            different |= self.add(record);
        }
        if missing == Missing::Confirm {
            different |= self.retain(|version, id, known| {
                !known.doubtful || !doubted.contains(&(version.to_owned(), id.to_owned()))
            });
        }
        different
    }

    /// Gives up on the doubtful ones; whether there were any.
    pub(super) fn drop_doubtful(&mut self) -> bool {
        self.retain(|_, _, known| !known.doubtful)
    }

    pub(super) fn has_doubtful(&self) -> bool {
        self.0
            .values()
            .any(|version| version.nodes.values().any(|known| known.doubtful))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is known now, sorted by version and id.
    pub(super) fn versions(&self) -> Vec<VersionNodes> {
        let versions = self.0.values().map(|version| VersionNodes {
            head: version.head.clone(),
            nodes: version.nodes.values().map(|known| known.node.clone()).collect(),
        });
        versions.collect()
    }

    fn add(&mut self, mut record: ServiceRecord) -> bool {
        let nodes = std::mem::take(&mut record.nodes);
        if nodes.is_empty() {
            return false;
        }
        let version = self.0.entry(record.version.clone()).or_default();
        let mut different = *version.head != record;
        if different {
            version.head = Arc::new(record);
        }
        for node in nodes {
            different |= version.add(node);
        }
        different
    }

    fn doubt(&mut self, record: &ServiceRecord) {
        let Some(version) = self.0.get_mut(&record.version) else {
            return;
        };
        for node in &record.nodes {
            if let Some(known) = version.nodes.get_mut(&node.id) {
                known.doubtful = true;
            }
        }
    }

    fn remove(&mut self, record: &ServiceRecord) -> bool {
        let Some(version) = self.0.get_mut(&record.version) else {
            return false;
        };
        let removed = record
            .nodes
            .iter()
            .filter(|node| version.nodes.remove(&node.id).is_some());
        let different = removed.count() > 0;
        if version.nodes.is_empty() {
            self.0.remove(&record.version);
        }
        different
    }

    fn retain(&mut self, keeps: impl Fn(&str, &str, &Known) -> bool) -> bool {
        let mut different = false;
        self.0.retain(|name, version| {
            let before = version.nodes.len();
            version.nodes.retain(|id, known| keeps(name, id, known));
            different |= version.nodes.len() != before;
            !version.nodes.is_empty()
        });
        different
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Known> {
        self.0.values_mut().flat_map(|version| version.nodes.values_mut())
    }

    /// Version and id of the doubtful ones.
    fn doubtful(&self) -> HashSet<(String, String)> {
        let nodes = self.0.iter().flat_map(|(version, known)| {
            let nodes = known.nodes.iter();
            nodes.map(move |(id, known)| (version, id, known.doubtful))
        });
        nodes
            .filter(|(_, _, doubtful)| *doubtful)
            .map(|(version, id, _)| (version.clone(), id.clone()))
            .collect()
    }
}

impl Version {
    /// A node that is known and the same stays the same `Arc`.
    fn add(&mut self, node: Node) -> bool {
        if let Some(known) = self.nodes.get_mut(&node.id) {
            known.doubtful = false;
            if *known.node == node {
                return false;
            }
        }
        let id = node.id.clone();
        let known = Known {
            node: Arc::new(node),
            doubtful: false,
        };
        self.nodes.insert(id, known);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(nodes: &[&str]) -> ServiceRecord {
        let nodes = nodes.iter().map(|id| Node::new(*id, "127.0.0.1:1"));
        ServiceRecord::new("greeter", "1").with_nodes(nodes.collect())
    }

    fn ids(nodes: &Nodes) -> Vec<String> {
        let all = nodes.versions().into_iter().flat_map(|version| version.nodes);
        all.map(|node| node.id.clone()).collect()
    }

    #[test]
    fn a_node_goes_when_two_listings_in_a_row_lack_it() {
        let mut nodes = Nodes::default();
        assert!(nodes.replace(vec![record(&["a", "b"])], Missing::Confirm));
        assert!(!nodes.replace(vec![record(&["a"])], Missing::Confirm));
        assert!(nodes.has_doubtful());
        assert!(!nodes.replace(vec![record(&["a", "b"])], Missing::Confirm));
        assert!(!nodes.replace(vec![record(&["a"])], Missing::Confirm));
        assert_eq!(ids(&nodes), ["a", "b"]);
        assert!(nodes.replace(vec![record(&["a"])], Missing::Confirm));
        assert_eq!(ids(&nodes), ["a"]);
    }

    #[test]
    fn what_is_doubted_stays_until_it_is_given_up() {
        let mut nodes = Nodes::default();
        nodes.replace(vec![record(&["a", "b", "c"])], Missing::Confirm);
        assert!(!nodes.replace(vec![], Missing::Doubt));
        assert!(!nodes.replace(vec![], Missing::Doubt));
        let change = |action, id| Change {
            action,
            service: record(&[id]),
        };
        assert!(!nodes.apply(change(Action::Create, "b"), true), "seen again");
        assert!(!nodes.apply(change(Action::Create, "c"), true));
        assert!(!nodes.apply(change(Action::Delete, "c"), true));
        assert_eq!(ids(&nodes), ["a", "b", "c"]);
        assert!(nodes.drop_doubtful());
        assert_eq!(ids(&nodes), ["b"]);
        assert!(nodes.apply(change(Action::Delete, "b"), false));
        assert!(nodes.is_empty());
    }
}
