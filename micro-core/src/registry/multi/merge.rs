//! What several registries know, as one.

use std::collections::{BTreeMap, HashSet};

use crate::registry::{Node, ServiceRecord};

/// Merges what registries said, in their order: one record a name and version, sorted. Of a node that several know, and
/// of a version's endpoints and metadata, the first one's are taken.
pub(super) fn merge(answers: impl IntoIterator<Item = Vec<ServiceRecord>>) -> Vec<ServiceRecord> {
    let mut merged: BTreeMap<(String, String), ServiceRecord> = BTreeMap::new();
    for record in answers.into_iter().flatten() {
        let key = (record.name.clone(), record.version.clone());
        match merged.get_mut(&key) {
            Some(known) => add(known, record.nodes),
            None => {
                merged.insert(key, record);
            }
        }
    }
    merged.into_values().collect()
}

fn add(known: &mut ServiceRecord, nodes: Vec<Node>) {
    let ids: HashSet<&str> = known.nodes.iter().map(|node| node.id.as_str()).collect();
    let is_new = |node: &Node| !ids.contains(node.id.as_str());
    let new: Vec<Node> = nodes.into_iter().filter(is_new).collect();
    known.nodes.extend(new);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, version: &str, nodes: &[(&str, &str)]) -> ServiceRecord {
        let nodes = nodes.iter().map(|(id, address)| Node::new(*id, *address));
        ServiceRecord::new(name, version).with_nodes(nodes.collect())
    }

    #[test]
    fn the_first_one_wins_for_a_node_that_several_know() {
        let merged = merge([
            vec![
                record("b", "2", &[("x", "first")]),
                record("b", "1", &[("y", "first")]),
            ],
            vec![
                record("b", "2", &[("x", "second"), ("z", "second")]),
                record("a", "1", &[]),
            ],
        ]);
        assert_eq!(
            merged,
            [
                record("a", "1", &[]),
                record("b", "1", &[("y", "first")]),
                record("b", "2", &[("x", "first"), ("z", "second")]),
            ]
        );
    }
}
