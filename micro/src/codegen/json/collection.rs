//! Fields with many values.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserializer, Serializer};

use super::{Kind, ReadAs, written};

/// A list of values of this kind.
#[derive(Debug)]
pub struct List<K>(PhantomData<fn() -> K>);

/// A map with values of this kind. Keys are text in JSON.
#[derive(Debug)]
pub struct Map<K>(PhantomData<fn() -> K>);

impl<T, K: Kind<T>> Kind<Vec<T>> for List<K> {
    fn write<S: Serializer>(values: &Vec<T>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(|value| written::<T, K>(value)))
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_seq(ListVisitor::<T, K>(PhantomData))
    }
}

struct ListVisitor<T, K>(PhantomData<fn(K) -> T>);

impl<'de, T, K: Kind<T>> Visitor<'de> for ListVisitor<T, K> {
    type Value = Vec<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element::<Option<ReadAs<T, K>>>()? {
            let value = value.map(|value| value.0).or_else(K::null);
            values.push(value.ok_or_else(|| A::Error::custom("null may not stand in a list"))?);
        }
        Ok(values)
    }
}

/// A type that keys of maps are of.
pub trait Key: Sized {
    /// The key from its text.
    fn parse(text: String) -> Option<Self>;
}

impl Key for String {
    fn parse(text: String) -> Option<Self> {
        Some(text)
    }
}

macro_rules! parsed_keys {
    ($($type:ty)*) => {
        $(impl Key for $type {
            fn parse(text: String) -> Option<Self> {
                text.parse().ok()
            }
        })*
    };
}

parsed_keys! { bool i32 i64 u32 u64 }

impl<Q, T, K> Kind<HashMap<Q, T>> for Map<K>
where
    Q: Key + fmt::Display + Eq + Hash,
    K: Kind<T>,
{
    fn write<S: Serializer>(values: &HashMap<Q, T>, serializer: S) -> Result<S::Ok, S::Error> {
        write_map::<K, Q, T, S>(values.iter(), serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HashMap<Q, T>, D::Error> {
        let entries = deserializer.deserialize_map(MapVisitor::<Q, T, K>(PhantomData))?;
        Ok(entries.into_iter().collect())
    }
}

impl<Q, T, K> Kind<BTreeMap<Q, T>> for Map<K>
where
    Q: Key + fmt::Display + Ord,
    K: Kind<T>,
{
    fn write<S: Serializer>(values: &BTreeMap<Q, T>, serializer: S) -> Result<S::Ok, S::Error> {
        write_map::<K, Q, T, S>(values.iter(), serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<Q, T>, D::Error> {
        let entries = deserializer.deserialize_map(MapVisitor::<Q, T, K>(PhantomData))?;
        Ok(entries.into_iter().collect())
    }
}

fn write_map<'a, K, Q, T, S>(
    entries: impl ExactSizeIterator<Item = (&'a Q, &'a T)>,
    serializer: S,
) -> Result<S::Ok, S::Error>
where
    K: Kind<T>,
    Q: fmt::Display + 'a,
    T: 'a,
    S: Serializer,
{
    let mut map = serializer.serialize_map(Some(entries.len()))?;
    for (key, value) in entries {
        map.serialize_entry(&key.to_string(), &written::<T, K>(value))?;
    }
    map.end()
}

struct MapVisitor<Q, T, K>(PhantomData<fn(Q, K) -> T>);

impl<'de, Q: Key, T, K: Kind<T>> Visitor<'de> for MapVisitor<Q, T, K> {
    type Value = Vec<(Q, T)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<(Q, T)>, A::Error> {
        let mut entries = Vec::new();
        while let Some(text) = map.next_key::<String>()? {
            let key =
                Q::parse(text).ok_or_else(|| A::Error::custom("a key of the map is not of its type"))?;
            let value = map.next_value::<Option<ReadAs<T, K>>>()?;
            let value = value.map(|value| value.0).or_else(K::null);
            let value = value.ok_or_else(|| A::Error::custom("null may not stand in a map"))?;
            entries.push((key, value));
        }
        Ok(entries)
    }
}
