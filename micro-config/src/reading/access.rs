//! Lists, tables and enumerations, as serde walks through them.

use std::collections::btree_map;
use std::slice;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::{Problem, Reader};
use crate::tree::{Node, Table, Tree};

/// The values of a list.
pub(super) struct Elements<'a> {
    rest: slice::Iter<'a, Tree>,
    index: usize,
}

impl<'a> Elements<'a> {
    pub(super) fn new(trees: &'a [Tree]) -> Self {
        Self {
            rest: trees.iter(),
            index: 0,
        }
    }
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Problem;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Problem> {
        let Some(tree) = self.rest.next() else {
            return Ok(None);
        };
        let index = self.index;
        self.index += 1;
        let reader = Reader::new(tree);
        let read = reader.placed(seed.deserialize(reader));
        read.map(Some)
            .map_err(|problem| problem.within(&index.to_string()))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// The entries of a table.
pub(super) struct Entries<'a> {
    rest: btree_map::Iter<'a, String, Tree>,
    current: Option<(&'a String, &'a Tree)>,
}

impl<'a> Entries<'a> {
    pub(super) fn new(table: &'a Table) -> Self {
        Self {
            rest: table.entries.iter(),
            current: None,
        }
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Problem> {
        self.current = self.rest.next();
        let Some((name, tree)) = self.current else {
            return Ok(None);
        };
        let key = Tree::new(Node::Text(name.clone()), tree.place.clone());
        let reader = Reader::of_name(&key);
        let read = reader.placed(seed.deserialize(reader));
        read.map(Some).map_err(|problem| problem.within(name))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Problem> {
        let Some((name, tree)) = self.current.take() else {
            return Err(Problem::new("a value was asked for before its name"));
        };
        let reader = Reader::new(tree);
        let read = reader.placed(seed.deserialize(reader));
        read.map_err(|problem| problem.within(name))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// A table with one entry: the variant of an enumeration, and what it holds.
pub(super) struct Variant<'a> {
    entry: Option<(&'a String, &'a Tree)>,
}

impl<'a> Variant<'a> {
    pub(super) fn new(table: &'a Table) -> Self {
        Self {
            entry: table.entries.iter().next(),
        }
    }
}

impl<'de, 'a> EnumAccess<'de> for Variant<'a> {
    type Error = Problem;
    type Variant = Held<'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Held<'a>), Problem> {
        let Some((name, tree)) = self.entry else {
            return Err(Problem::new("a variant is expected"));
        };
        let deserializer: StrDeserializer<'_, Problem> = name.as_str().into_deserializer();
        let variant = seed.deserialize(deserializer)?;
        Ok((variant, Held { name, tree }))
    }
}

/// What a variant holds.
pub(super) struct Held<'a> {
    name: &'a str,
    tree: &'a Tree,
}

impl Held<'_> {
    fn within<T>(&self, read: Result<T, Problem>) -> Result<T, Problem> {
        let placed = Reader::new(self.tree).placed(read);
        placed.map_err(|problem| problem.within(self.name))
    }
}

impl<'de> VariantAccess<'de> for Held<'_> {
    type Error = Problem;

    fn unit_variant(self) -> Result<(), Problem> {
        let read = serde::Deserialize::deserialize(Reader::new(self.tree));
        self.within(read)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Problem> {
        let read = seed.deserialize(Reader::new(self.tree));
        self.within(read)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Problem> {
        let read = Reader::new(self.tree).deserialize_seq(visitor);
        self.within(read)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let read = Reader::new(self.tree).deserialize_map(visitor);
        self.within(read)
    }
}
