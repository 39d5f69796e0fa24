//! YAML, with the line of each value.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::Spanned;

use super::{Flaw, without_place};
use crate::tree::{DEEPEST, Node, Place, Tree};

/// Parses a text. One without any value is an empty table.
pub(super) fn parse(text: &str, place: &Place) -> Result<Tree, Flaw> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        strict_booleans: true,
        budget: serde_saphyr::budget! { max_depth: DEEPEST },
    };
    let value: Spanned<Raw> = serde_saphyr::from_str_with_options(text, options).map_err(|problem| Flaw {
        line: problem.location().map_or(0, |place| line(place.line())),
        message: without_place(&problem.without_snippet().to_string()),
    })?;
    Ok(tree(value, place))
}

fn line(line: u64) -> u32 {
    u32::try_from(line).unwrap_or(0)
}

fn tree(value: Spanned<Raw>, place: &Place) -> Tree {
    let here = place.on(line(value.referenced.line()));
    let node = match value.value {
        Raw::Plain(node) => node,
        Raw::List(values) => Node::List(values.into_iter().map(|value| tree(value, place)).collect()),
        Raw::Table(values) => {
            let values = values.into_iter();
            Node::table(values.map(|(name, value)| (name, tree(value, place))).collect())
        }
    };
    Tree::new(node, here)
}

/// A value as it is parsed.
enum Raw {
    Plain(Node),
    List(Vec<Spanned<Raw>>),
    Table(BTreeMap<String, Spanned<Raw>>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Plain(Node::Null))
    }

    fn visit_none<E: Error>(self) -> Result<Raw, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Plain(Node::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Plain(Node::Number(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Plain(Node::Number(value.into())))
    }

    /// What JSON has no number for stays a text, which can be read as a number too.
    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        let number = Number::from_f64(value).map(Node::Number);
        Ok(Raw::Plain(
            number.unwrap_or_else(|| Node::Text(value.to_string())),
        ))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Raw, E> {
        self.visit_string(value.to_owned())
    }

    fn visit_string<E>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Plain(Node::Text(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = values.next_element()? {
            list.push(value);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut values: A) -> Result<Raw, A::Error> {
        let mut table = BTreeMap::new();
        while let Some((name, value)) = values.next_entry()? {
            table.insert(name, value);
        }
        Ok(Raw::Table(table))
    }
}
