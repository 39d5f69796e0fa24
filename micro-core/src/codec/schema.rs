//! The shape of a message that was generated from a `.proto`: for registry records, and for Go's own JSON.

use serde_json::Value as Json;

use crate::registry::Value;

/// How deep a registry record describes a message, as Go Micro does.
const RECORD_DEPTH: usize = 3;

/// The shape of a message.
#[derive(Debug, Clone, Copy)]
pub struct MessageSchema {
    /// The message's name, without package.
    pub name: &'static str,
    /// Its fields, in the order of the `.proto`.
    pub fields: &'static [FieldSchema],
}

/// The shape of a field.
#[derive(Debug, Clone, Copy)]
pub struct FieldSchema {
    /// The name in the `.proto`, such as `served_by`.
    pub name: &'static str,
    /// The name in canonical JSON, such as `servedBy`.
    pub json_name: &'static str,
    /// What it holds.
    pub kind: FieldKind,
    /// Whether it holds many.
    pub repeated: bool,
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub enum FieldKind {
    /// A scalar, by its name in Go: `string`, `bool`, `int32`, `uint32`, `float32`, `float64`, `[]uint8`.
    Scalar(&'static str),
    /// `int64` or `uint64`, which canonical JSON writes as a string.
    Long(&'static str),
    /// An enumeration, which canonical JSON writes by name.
    Enum(&'static EnumSchema),
    /// A message. A function, because messages may contain themselves.
    Message(fn() -> &'static MessageSchema),
    /// A map with values of this kind.
    Map(&'static FieldKind),
}

/// An enumeration: its name, and the names and numbers of its values.
#[derive(Debug, Clone, Copy)]
pub struct EnumSchema {
    /// The enumeration's name, without package.
    pub name: &'static str,
    /// Names and numbers.
    pub values: &'static [(&'static str, i32)],
}

impl MessageSchema {
    /// The shape as registry records carry it, three levels deep.
    pub fn to_value(&self) -> Value {
        Value {
            name: self.name.into(),
            kind: self.name.into(),
            values: self.fields_to_values(RECORD_DEPTH - 1),
        }
    }

    fn fields_to_values(&self, depth: usize) -> Vec<Value> {
        if depth == 0 {
            return Vec::new();
        }
        self.fields.iter().map(|field| field.to_value(depth)).collect()
    }

    /// Rewrites canonical proto3 JSON as Go's `encoding/json` writes the same message: the names of the `.proto`,
    /// 64-bit integers and enumerations as numbers. Go Micro's JSON-RPC carries that form.
    pub fn to_go_json(&self, canonical: Json) -> Json {
        let Json::Object(object) = canonical else {
            return canonical;
        };
        let renamed = object.into_iter().map(|(name, value)| {
            match self.fields.iter().find(|field| field.json_name == name) {
                Some(field) => (field.name.to_owned(), field.to_go_json(value)),
                None => (name, value),
            }
        });
        Json::Object(renamed.collect())
    }
}

impl FieldSchema {
    fn to_value(self, depth: usize) -> Value {
        let (kind, values) = match self.kind {
            FieldKind::Scalar(kind) | FieldKind::Long(kind) => (kind, Vec::new()),
            FieldKind::Enum(schema) => (schema.name, Vec::new()),
            FieldKind::Message(schema) => (schema().name, schema().fields_to_values(depth - 1)),
            FieldKind::Map(_) => ("", Vec::new()),
        };
        let kind = if self.repeated {
            format!("[]{kind}")
        } else {
            kind.to_owned()
        };
        Value {
            name: self.name.into(),
            kind,
            values,
        }
    }

    fn to_go_json(self, value: Json) -> Json {
        match value {
            Json::Array(items) if self.repeated => {
                Json::Array(items.into_iter().map(|item| self.kind.to_go_json(item)).collect())
            }
            value => self.kind.to_go_json(value),
        }
    }
}

impl FieldKind {
    fn to_go_json(self, value: Json) -> Json {
        match (self, value) {
            (Self::Long(_), Json::String(digits)) => long(&digits).unwrap_or(Json::String(digits)),
            (Self::Enum(schema), Json::String(name)) => {
                match schema.values.iter().find(|(known, _)| *known == name) {
                    Some((_, number)) => Json::from(*number),
                    None => Json::String(name),
                }
            }
            (Self::Message(schema), value) => schema().to_go_json(value),
            (Self::Map(kind), Json::Object(entries)) => Json::Object(
                entries
                    .into_iter()
                    .map(|(key, value)| (key, kind.to_go_json(value)))
                    .collect(),
            ),
            (_, value) => value,
        }
    }
}

fn long(digits: &str) -> Option<Json> {
    digits
        .parse::<i64>()
        .map(Json::from)
        .or_else(|_| digits.parse::<u64>().map(Json::from))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const STATE: EnumSchema = EnumSchema {
        name: "State",
        values: &[("UNKNOWN", 0), ("READY", 2)],
    };
    const TREE: MessageSchema = MessageSchema {
        name: "Tree",
        fields: &[
            FieldSchema {
                name: "unix_nanos",
                json_name: "unixNanos",
                kind: FieldKind::Long("int64"),
                repeated: false,
            },
            FieldSchema {
                name: "state",
                json_name: "state",
                kind: FieldKind::Enum(&STATE),
                repeated: false,
            },
            FieldSchema {
                name: "sub_trees",
                json_name: "subTrees",
                kind: FieldKind::Message(|| &TREE),
                repeated: true,
            },
            FieldSchema {
                name: "by_name",
                json_name: "byName",
                kind: FieldKind::Map(&FieldKind::Long("uint64")),
                repeated: false,
            },
        ],
    };

    #[test]
    fn canonical_json_becomes_gos() {
        let canonical = json!({"unixNanos": "17", "state": "READY", "subTrees": [{"unixNanos": "-1"}],
            "byName": {"unixNanos": "18446744073709551615"}, "other": "1"});
        assert_eq!(
            TREE.to_go_json(canonical),
            json!({"unix_nanos": 17, "state": 2, "sub_trees": [{"unix_nanos": -1}],
                "by_name": {"unixNanos": 18_446_744_073_709_551_615_u64}, "other": "1"})
        );
    }

    #[test]
    fn a_message_that_contains_itself_is_described_three_levels_deep() {
        let value = TREE.to_value();
        assert_eq!((value.name.as_str(), value.kind.as_str()), ("Tree", "Tree"));
        let sub = &value.values[2];
        assert_eq!((sub.name.as_str(), sub.kind.as_str()), ("sub_trees", "[]Tree"));
        assert_eq!(sub.values.len(), 4);
        assert!(sub.values[2].values.is_empty());
    }
}
