//! The records that every registry stores, in Go Micro's JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A service of one name and version, its endpoints and its nodes.
///
/// The JSON form is Go Micro's: `null` and missing are read as empty, and what is empty is written as `null`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRecord {
    /// The name that callers use.
    #[serde(default)]
    pub name: String,
    /// Any text; Go Micro's default is `latest`.
    #[serde(default)]
    pub version: String,
    /// What is true of all nodes. Several registries do not carry it.
    #[serde(
        default,
        serialize_with = "null_when_empty",
        deserialize_with = "empty_when_null"
    )]
    pub metadata: BTreeMap<String, String>,
    /// What can be called.
    #[serde(
        default,
        serialize_with = "null_when_empty",
        deserialize_with = "empty_when_null"
    )]
    pub endpoints: Vec<Endpoint>,
    /// Where it runs.
    #[serde(
        default,
        serialize_with = "null_when_empty",
        deserialize_with = "empty_when_null"
    )]
    pub nodes: Vec<Node>,
}

/// One running instance of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// What is known of it: `protocol`, `transport`, labels for selection …
    #[serde(
        default,
        serialize_with = "null_when_empty",
        deserialize_with = "empty_when_null"
    )]
    pub metadata: BTreeMap<String, String>,
    /// Unique among the service's nodes.
    #[serde(default)]
    pub id: String,
    /// `host:port`, or what the node's transport takes for an address.
    #[serde(default)]
    pub address: String,
}

/// Something that can be called, or a topic that is listened to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The shape of what it takes.
    #[serde(default)]
    pub request: Option<Value>,
    /// The shape of what it answers.
    #[serde(default)]
    pub response: Option<Value>,
    /// `stream=true`, a description, routes for gateways …
    #[serde(
        default,
        serialize_with = "null_when_empty",
        deserialize_with = "empty_when_null"
    )]
    pub metadata: BTreeMap<String, String>,
    /// `Handler.Method`.
    #[serde(default)]
    pub name: String,
}

/// The shape of a value, for people and tools: a field's name, its type, and what is inside it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    /// The field's name; of a message, the message's.
    #[serde(default)]
    pub name: String,
    /// The type in Go's words: `string`, `int64`, `[]string`, a message's name …
    #[serde(default, rename = "type")]
    pub kind: String,
    /// The fields of a message.
    #[serde(
        default,
        serialize_with = "null_when_empty",
        deserialize_with = "empty_when_null"
    )]
    pub values: Vec<Value>,
}

impl ServiceRecord {
    /// A record without endpoints and nodes.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            ..Self::default()
        }
    }

    /// The same service with just these nodes.
    #[must_use]
    pub fn with_nodes(&self, nodes: Vec<Node>) -> Self {
        Self {
            name: self.name.clone(),
            version: self.version.clone(),
            metadata: self.metadata.clone(),
            endpoints: self.endpoints.clone(),
            nodes,
        }
    }

    /// Groups records of single nodes by version: nodes of one version are merged, the endpoints and metadata are
    /// those of the version's first record. Sorted by version, so that equal registries give equal answers.
    pub fn merge_versions(records: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut versions: BTreeMap<String, Self> = BTreeMap::new();
        for record in records {
            match versions.get_mut(&record.version) {
                Some(known) => known.nodes.extend(record.nodes),
                None => {
                    versions.insert(record.version.clone(), record);
                }
            }
        }
        versions.into_values().collect()
    }
}

impl Node {
    /// A node without metadata.
    pub fn new(id: impl Into<String>, address: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            address: address.into(),
            metadata: BTreeMap::new(),
        }
    }

    /// The same node with one more pair of metadata.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }
}

trait IsEmpty {
    fn is_empty(&self) -> bool;
}

impl<T> IsEmpty for Vec<T> {
    fn is_empty(&self) -> bool {
        Self::is_empty(self)
    }
}

impl<K, V> IsEmpty for BTreeMap<K, V> {
    fn is_empty(&self) -> bool {
        Self::is_empty(self)
    }
}

fn null_when_empty<T: IsEmpty + Serialize, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    if value.is_empty() {
        serializer.serialize_none()
    } else {
        value.serialize(serializer)
    }
}

fn empty_when_null<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_has_gos_fields_in_gos_order() {
        let mut record = ServiceRecord::new("greeter", "latest");
        record
            .nodes
            .push(Node::new("greeter-1", "127.0.0.1:9101").with_metadata("protocol", "mucp"));
        record.endpoints.push(Endpoint {
            name: "Greeter.Hello".into(),
            request: Some(Value {
                name: "HelloRequest".into(),
                kind: "HelloRequest".into(),
                values: vec![],
            }),
            ..Endpoint::default()
        });
        assert_eq!(
            serde_json::to_string(&record).unwrap(),
            r#"{"name":"greeter","version":"latest","metadata":null,"endpoints":[{"request":{"name":"HelloRequest","type":"HelloRequest","values":null},"response":null,"metadata":null,"name":"Greeter.Hello"}],"nodes":[{"metadata":{"protocol":"mucp"},"id":"greeter-1","address":"127.0.0.1:9101"}]}"#
        );
    }

    #[test]
    fn null_and_missing_are_empty_and_unknown_fields_are_ignored() {
        let record: ServiceRecord = serde_json::from_str(
            r#"{"name":"a","metadata":null,"nodes":[{"id":"1","metadata":null,"new":1}]}"#,
        )
        .unwrap();
        assert_eq!(record.nodes, [Node::new("1", "")]);
        assert!(record.endpoints.is_empty() && record.metadata.is_empty());
    }

    #[test]
    fn nodes_of_a_version_are_merged_and_versions_stay_apart() {
        let node =
            |version: &str, id: &str| ServiceRecord::new("a", version).with_nodes(vec![Node::new(id, "")]);
        let merged = ServiceRecord::merge_versions([node("2", "x"), node("1", "y"), node("2", "z")]);
        let shape: Vec<_> = merged
            .iter()
            .map(|record| (record.version.as_str(), record.nodes.len()))
            .collect();
        assert_eq!(shape, [("1", 1), ("2", 2)]);
    }
}
