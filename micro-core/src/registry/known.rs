//! What a watcher knows, so that a fresh listing can be told as changes.

use std::collections::BTreeMap;

use super::{Action, Change, ServiceRecord};

/// The nodes that a watcher has reported, each as a record of its own.
///
/// A watcher that lost its connection lists again and hands the listing to [`KnownNodes::replace`]: what comes
/// back is exactly what happened meanwhile.
#[derive(Debug, Default)]
pub struct KnownNodes(BTreeMap<Key, ServiceRecord>);

/// Service, version, node.
type Key = (String, String, String);

impl KnownNodes {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a change. Returns it split by node, with the action that it is in view of what was known: creating a
    /// known node is an update, doing so with the same record is nothing, deleting an unknown one is nothing.
    pub fn apply(&mut self, change: Change) -> Vec<Change> {
        let mut told = Vec::new();
        for (key, record) in split([change.service]) {
            told.extend(match change.action {
                Action::Delete => self.remove(&key),
                Action::Create | Action::Update => self.set(key, record),
            });
        }
        told
    }

    /// Takes a complete listing and tells how it differs from what was known. Deletions come first.
    pub fn replace(&mut self, listing: impl IntoIterator<Item = ServiceRecord>) -> Vec<Change> {
        let listed: BTreeMap<Key, ServiceRecord> = split(listing).collect();
        let gone: Vec<Key> = self
            .0
            .keys()
            .filter(|key| !listed.contains_key(*key))
            .cloned()
            .collect();
        let mut told: Vec<Change> = gone.iter().filter_map(|key| self.remove(key)).collect();
        told.extend(
            listed
                .into_iter()
                .filter_map(|(key, record)| self.set(key, record)),
        );
        told
    }

    /// The records of a service known now, one a version.
    pub fn service(&self, name: &str) -> Vec<ServiceRecord> {
        let first = (name.to_owned(), String::new(), String::new());
        let of_service = self.0.range(first..).take_while(|(key, _)| key.0 == name);
        ServiceRecord::merge_versions(of_service.map(|(_, record)| record.clone()))
    }

    /// How many nodes are known.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no node is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn set(&mut self, key: Key, record: ServiceRecord) -> Option<Change> {
        let action = match self.0.get(&key) {
            Some(known) if *known == record => return None,
            Some(_) => Action::Update,
            None => Action::Create,
        };
        self.0.insert(key, record.clone());
        Some(Change {
            action,
            service: record,
        })
    }

    fn remove(&mut self, key: &Key) -> Option<Change> {
        // The record that was known: a deletion often says no more than the node's id.
        self.0.remove(key).map(|service| Change {
            action: Action::Delete,
            service,
        })
    }
}

/// One record a node.
fn split(records: impl IntoIterator<Item = ServiceRecord>) -> impl Iterator<Item = (Key, ServiceRecord)> {
    records.into_iter().flat_map(|mut record| {
        let nodes = std::mem::take(&mut record.nodes);
        nodes.into_iter().map(move |node| {
            let key = (record.name.clone(), record.version.clone(), node.id.clone());
            (key, record.with_nodes(vec![node]))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::Node;
    use super::*;

    fn record(nodes: &[(&str, &str)]) -> ServiceRecord {
        let nodes = nodes
            .iter()
            .map(|(id, address)| Node::new(*id, *address))
            .collect();
        ServiceRecord::new("greeter", "1").with_nodes(nodes)
    }

    fn told(changes: &[Change]) -> Vec<(Action, &str)> {
        changes
            .iter()
            .map(|change| (change.action, change.service.nodes[0].id.as_str()))
            .collect()
    }

    #[test]
    fn a_listing_is_told_as_what_happened_meanwhile() {
        let mut known = KnownNodes::new();
        assert_eq!(
            told(&known.replace([record(&[("a", "1"), ("b", "1")])])),
            [(Action::Create, "a"), (Action::Create, "b")]
        );
        assert_eq!(
            told(&known.replace([record(&[("b", "2"), ("c", "1")])])),
            [
                (Action::Delete, "a"),
                (Action::Update, "b"),
                (Action::Create, "c")
            ]
        );
        assert!(known.replace([record(&[("b", "2"), ("c", "1")])]).is_empty());
        assert_eq!(known.service("greeter")[0].nodes.len(), 2);
        assert!(known.service("greet").is_empty());
    }

    #[test]
    fn a_change_is_told_in_view_of_what_was_known() {
        let mut known = KnownNodes::new();
        let change = |action, nodes| Change {
            action,
            service: record(nodes),
        };
        assert_eq!(
            told(&known.apply(change(Action::Update, &[("a", "1")]))),
            [(Action::Create, "a")]
        );
        assert!(known.apply(change(Action::Create, &[("a", "1")])).is_empty());
        assert_eq!(
            told(&known.apply(change(Action::Create, &[("a", "2")]))),
            [(Action::Update, "a")]
        );
        assert!(known.apply(change(Action::Delete, &[("b", "")])).is_empty());
        let deleted = known.apply(change(Action::Delete, &[("a", "")]));
        assert_eq!(
            deleted[0].service.nodes[0].address, "2",
            "the record that was known"
        );
        assert!(known.is_empty());
    }
}
