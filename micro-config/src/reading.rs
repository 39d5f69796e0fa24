//! Values as types: what serde needs to make a type of a tree, with errors that say the path and the place.

mod access;
mod problem;
mod scalar;

use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use crate::tree::{Node, Tree};
use crate::{Error, Result};
use access::{Elements, Entries, Variant};
pub(crate) use problem::Problem;

/// Makes a type of what is at a path.
pub(crate) fn read<T: DeserializeOwned>(tree: &Tree, path: &str) -> Result<T> {
    let reader = Reader::new(tree);
    let read = reader.placed(T::deserialize(reader));
    read.map_err(|problem| Error::from(problem.under(path)))
}

/// Makes a type of what is not there: only one that may be absent can be made.
pub(crate) fn read_nothing<T: DeserializeOwned>() -> Option<T> {
    T::deserialize(Nothing).ok()
}

/// A tree, read by serde.
#[derive(Clone, Copy)]
struct Reader<'a> {
    tree: &'a Tree,
    /// A name may be repeated in an error, a value may not.
    is_name: bool,
}

impl<'a> Reader<'a> {
    fn new(tree: &'a Tree) -> Self {
        Self { tree, is_name: false }
    }

    fn of_name(tree: &'a Tree) -> Self {
        Self { tree, is_name: true }
    }

    /// Hands over the value as it is.
    fn plain<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.tree.node {
            Node::Null => visitor.visit_unit(),
            Node::Bool(value) => visitor.visit_bool(*value),
            Node::Number(number) => scalar::number(number, visitor),
            Node::Text(text) => visitor.visit_str(text),
            Node::List(trees) => visitor.visit_seq(Elements::new(trees)),
            Node::Table(table) => visitor.visit_map(Entries::new(table)),
        }
    }

    /// Says where it went wrong, and keeps back what repeats the value: also where a type checks after reading.
    fn placed<T>(self, read: Result<T, Problem>) -> Result<T, Problem> {
        read.map_err(|problem| match self.is_name {
            true => problem.at(&self.tree.place),
            false => problem.without(self.tree).at(&self.tree.place),
        })
    }
}

/// Texts are read as numbers where a type asks for one.
macro_rules! numbers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
            let read = match &self.tree.node {
                Node::Text(text) => scalar::number_in(text, visitor),
                _ => self.plain(visitor),
            };
            self.placed(read)
        }
    )*};
}

/// Numbers and truth values are read as texts where a type asks for one.
macro_rules! texts {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
            let read = match &self.tree.node {
                Node::Number(number) => visitor.visit_string(number.to_string()),
                Node::Bool(value) => visitor.visit_str(if *value { "true" } else { "false" }),
                _ => self.plain(visitor),
            };
            self.placed(read)
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.placed(self.plain(visitor))
    }

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
    }

    texts! { deserialize_char deserialize_str deserialize_string }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let read = match scalar::truth_of(&self.tree.node) {
            Some(value) => visitor.visit_bool(value),
            None => self.plain(visitor),
        };
        self.placed(read)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.tree.node {
            Node::Null => self.placed(visitor.visit_none()),
            _ => self.placed(visitor.visit_some(self)),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        self.placed(visitor.visit_newtype_struct(self))
    }

    /// A text is a list of what is between its commas, because variables and flags have no other lists.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let read = match &self.tree.node {
            Node::Text(text) => {
                let parts = scalar::parts(text, &self.tree.place);
                visitor.visit_seq(Elements::new(&parts))
            }
            _ => self.plain(visitor),
        };
        self.placed(read)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let read = match &self.tree.node {
            Node::Text(name) => visitor.visit_enum(name.as_str().into_deserializer()),
            Node::Table(table) if table.entries.len() == 1 => visitor.visit_enum(Variant::new(table)),
            Node::Table(_) => Err(Problem::new(
                "a table with one entry, named as the variant, is expected",
            )),
            _ => self.plain(visitor),
        };
        self.placed(read)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { bytes byte_buf unit unit_struct map struct identifier }
}

/// What is not there.
struct Nothing;

impl<'de> Deserializer<'de> for Nothing {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Problem> {
        Err(Problem::new("there is no such value"))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_none()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
