//! JSON, with the line of each value.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::io;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::{Flaw, without_place};
use crate::tree::{Node, Place, Tree};

/// Parses a text. The parser takes it byte by byte and looks no further than it must, so that counting what it took
/// tells the line of a value when the value begins.
pub(super) fn parse(text: &str, place: &Place) -> Result<Tree, Flaw> {
    let line = Cell::new(1);
    let lines = Lines {
        rest: text.as_bytes(),
        line: &line,
    };
    let mut parser = serde_json::Deserializer::from_reader(lines);
    let seed = Seed { line: &line, place };
    let tree = seed.deserialize(&mut parser);
    let tree = tree.and_then(|tree| parser.end().map(|()| tree));
    tree.map_err(|problem| Flaw {
        line: u32::try_from(problem.line()).unwrap_or(0),
        message: without_place(&problem.to_string()),
    })
}

struct Lines<'a> {
    rest: &'a [u8],
    line: &'a Cell<u32>,
}

impl io::Read for Lines<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = self.rest.len().min(buffer.len());
        let (now, rest) = self.rest.split_at(taken);
        buffer[..taken].copy_from_slice(now);
        self.rest = rest;
        let ends = now.iter().filter(|byte| **byte == b'\n').count();
        let ends = u32::try_from(ends).unwrap_or(u32::MAX);
        self.line.set(self.line.get().saturating_add(ends));
        Ok(taken)
    }
}

#[derive(Clone, Copy)]
struct Seed<'a> {
    line: &'a Cell<u32>,
    place: &'a Place,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Tree;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        // Before the value is parsed: after a number, the byte behind it has been taken too.
        let place = self.place.on(self.line.get());
        let node = deserializer.deserialize_any(self)?;
        Ok(Tree::new(node, place))
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Number::from_f64(value).map_or(Node::Null, Node::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(tree) = values.next_element_seed(self)? {
            list.push(tree);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut values: A) -> Result<Node, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some(name) = values.next_key::<String>()? {
            let tree = values.next_value_seed(self)?;
            if entries.contains_key(&name) {
                return Err(de::Error::custom(format_args!("the name `{name}` occurs twice")));
            }
            entries.insert(name, tree);
        }
        Ok(Node::table(entries))
    }
}
