//! What comes later wins.

use std::collections::btree_map::Entry;

use super::{Node, Table, Tree};

impl Tree {
    /// Merges what comes later into it: tables entry by entry, anything else is replaced.
    pub(crate) fn merge(&mut self, later: Tree) {
        let (mut later, place) = match (later.node, later.place) {
            (Node::Table(table), place) => (table, place),
            (node, place) => {
                *self = Self::new(node, place);
                return;
            }
        };
        match &mut self.node {
            Node::Table(table) if !later.replaces => table.merge(later),
            earlier => {
                later.replaces |= !matches!(earlier, Node::Table(_)) || later.replaces;
                *self = Self::new(Node::Table(later), place);
            }
        }
    }
}

impl Table {
    fn merge(&mut self, later: Self) {
        for (name, tree) in later.entries {
            match self.entries.entry(name) {
                Entry::Occupied(mut earlier) => earlier.get_mut().merge(tree),
                Entry::Vacant(place) => {
                    place.insert(tree);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::{DEEPEST, DocumentName, Place};
    use super::*;

    fn tree(value: Value) -> Tree {
        let name = DocumentName {
            source: "test".into(),
            origin: "test".into(),
        };
        Tree::of_value(value, &Place::whole(name.into()), DEEPEST).unwrap()
    }

    fn merged(values: impl IntoIterator<Item = Value>) -> Tree {
        let mut trees = values.into_iter().map(tree);
        let first = trees.next().unwrap();
        trees.fold(first, |mut merged, later| {
            merged.merge(later);
            merged
        })
    }

    /// Few names, so that they meet.
    fn values() -> impl Strategy<Value = Value> {
        let plain = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..3_u8).prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from),
            prop::collection::vec((0..3_u8).prop_map(Value::from), 0..3).prop_map(Value::from),
        ];
        plain.prop_recursive(4, 24, 3, |inner| {
            let table = prop::collection::btree_map("[a-c]", inner, 0..3);
            table.prop_map(|table| Value::Object(table.into_iter().collect()))
        })
    }

    #[test]
    fn tables_are_merged_and_lists_replaced() {
        let earlier = json!({"a": {"b": 1, "c": [1, 2]}, "d": 1});
        let later = json!({"a": {"c": [3]}, "d": {"e": null}});
        let both = json!({"a": {"b": 1, "c": [3]}, "d": {"e": null}});
        assert_eq!(merged([earlier, later]).to_value(), both);
    }

    proptest! {
        #[test]
        fn merging_is_associative(one in values(), two in values(), three in values()) {
            let from_left = merged([one.clone(), two.clone(), three.clone()]);
            let mut from_right = tree(one);
            from_right.merge(merged([two, three]));
            prop_assert_eq!(from_left.to_value(), from_right.to_value());
        }

        #[test]
        fn merging_the_same_again_changes_nothing(one in values(), two in values()) {
            prop_assert_eq!(merged([one.clone(), one.clone()]).to_value(), one.clone());
            let once = merged([one.clone(), two.clone()]);
            let twice = merged([one, two.clone(), two]);
            prop_assert_eq!(once.to_value(), twice.to_value());
        }

        #[test]
        fn what_comes_later_wins(one in values(), two in values()) {
            let both = merged([one.clone(), two.clone()]);
            let later = tree(two);
            later.each_leaf(&mut String::new(), &mut |path, leaf| {
                let is_empty_table = matches!(&leaf.node, Node::Table(table) if table.entries.is_empty());
                if !is_empty_table {
                    assert!(both.at(path) == Some(leaf), "{path}");
                }
            });
        }

        #[test]
        fn only_what_differs_is_told(one in values(), two in values()) {
            let (one, two) = (tree(one), tree(two));
            let mut differences = Vec::new();
            one.each_difference(&two, &mut String::new(), &mut |path| differences.push(path.to_owned()));
            prop_assert_eq!(differences.is_empty(), one == two);
            for path in differences {
                prop_assert!(one.at(&path) != two.at(&path), "{}", path);
            }
        }
    }
}
