//! Reads messages.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor};

use super::{Kind, ReadAs};

/// How many field names the error about an unknown one lists.
const LISTED: usize = 16;

/// A message whose fields can be read one by one.
pub trait Object: Default {
    /// The message's full name, for errors.
    const NAME: &'static str;
    /// Its fields: their names in JSON and in the `.proto`, either of which is read.
    const FIELDS: &'static [(&'static str, &'static str)];
    /// Whether fields of other names are skipped.
    const IGNORE_UNKNOWN: bool;

    /// Reads the field at this index of [`FIELDS`](Self::FIELDS).
    ///
    /// # Errors
    ///
    /// When the value is not of the field's type.
    fn read_field<'de, A: MapAccess<'de>>(
        &mut self,
        index: usize,
        field: Field<'_, A>,
    ) -> Result<(), A::Error>;
}

/// Reads a message.
///
/// # Errors
///
/// When there is no object, or a field that is unknown, comes twice or is of another type.
pub fn read_object<'de, T: Object, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_map(ObjectVisitor(PhantomData))
}

struct ObjectVisitor<T>(PhantomData<fn() -> T>);

impl<'de, T: Object> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "an object with the fields of {}", T::NAME)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut message = T::default();
        let mut seen = Seen::default();
        while let Some(name) = map.next_key_seed(FieldName(T::FIELDS))? {
            match name {
                Name::Known(index, name) if seen.is_new(index) => {
                    message.read_field(index, Field { map: &mut map, name })?;
                }
                Name::Known(_, name) => {
                    return Err(A::Error::custom(format_args!("duplicate field `{name}`")));
                }
                Name::Unknown(_) if T::IGNORE_UNKNOWN => {
                    map.next_value::<IgnoredAny>()?;
                }
                Name::Unknown(name) => return Err(unknown_field(&name, T::FIELDS)),
            }
        }
        Ok(message)
    }
}

fn unknown_field<E: Error>(name: &str, fields: &[(&str, &str)]) -> E {
    let known: Vec<&str> = fields.iter().take(LISTED).map(|(name, _)| *name).collect();
    let more = if fields.len() > LISTED { ", …" } else { "" };
    let name: String = name.chars().take(64).collect();
    match known.as_slice() {
        [] => E::custom(format_args!("unknown field `{name}`, there are no fields")),
        _ => E::custom(format_args!(
            "unknown field `{name}`, expected one of {}{more}",
            known.join(", ")
        )),
    }
}

/// Which fields there were.
#[derive(Default)]
struct Seen {
    first: u128,
    others: BTreeSet<usize>,
}

impl Seen {
    fn is_new(&mut self, index: usize) -> bool {
        if index >= 128 {
            return self.others.insert(index);
        }
        let bit = 1 << index;
        let is_new = self.first & bit == 0;
        self.first |= bit;
        is_new
    }
}

enum Name {
    Known(usize, &'static str),
    Unknown(String),
}

/// Looks a name up while it is read, so that it need not be kept.
struct FieldName(&'static [(&'static str, &'static str)]);

impl<'de> DeserializeSeed<'de> for FieldName {
    type Value = Name;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for FieldName {
    type Value = Name;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Name, E> {
        let known = self
            .0
            .iter()
            .position(|(json, proto)| *json == name || *proto == name);
        Ok(
            match known.and_then(|index| self.0.get(index).map(|field| (index, field.0))) {
                Some((index, name)) => Name::Known(index, name),
                None => Name::Unknown(name.to_owned()),
            },
        )
    }
}

/// The value of a field that is about to be read.
#[derive(Debug)]
pub struct Field<'a, A> {
    map: &'a mut A,
    name: &'static str,
}

impl<'de, A: MapAccess<'de>> Field<'_, A> {
    fn value<K: Kind<T>, T>(&mut self) -> Result<Option<T>, A::Error> {
        let value = self.map.next_value::<Option<ReadAs<T, K>>>()?;
        Ok(value.map(|value| value.0).or_else(K::null))
    }

    /// Reads a field that has a default; `null` stands for it.
    ///
    /// # Errors
    ///
    /// When the value is not of this kind. So say the others.
    pub fn plain<K: Kind<T>, T>(mut self, place: &mut T) -> Result<(), A::Error> {
        if let Some(value) = self.value::<K, T>()? {
            *place = value;
        }
        Ok(())
    }

    /// Reads a field that is there or not.
    ///
    /// # Errors
    ///
    /// See [`plain`](Self::plain).
    pub fn optional<K: Kind<T>, T>(mut self, place: &mut Option<T>) -> Result<(), A::Error> {
        *place = self.value::<K, T>()?;
        Ok(())
    }

    /// Reads a member of a oneof.
    ///
    /// # Errors
    ///
    /// See [`plain`](Self::plain); and when another member was there before.
    pub fn oneof<K: Kind<T>, T, C>(
        mut self,
        place: &mut Option<C>,
        choose: impl FnOnce(T) -> C,
    ) -> Result<(), A::Error> {
        let Some(value) = self.value::<K, T>()? else {
            return Ok(());
        };
        if place.is_some() {
            return Err(A::Error::custom(format_args!(
                "`{}` comes after another member of the same oneof: only one may be there",
                self.name
            )));
        }
        *place = Some(choose(value));
        Ok(())
    }
}
