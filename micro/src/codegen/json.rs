//! Canonical JSON of generated messages.
//!
//! Generated code says of each field what kind it is; how kinds are written and read is said here, once.

mod collection;
mod reader;
mod scalar;
mod well_known;

use std::marker::PhantomData;

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use self::collection::{List, Map};
pub use self::reader::{Field, Object, read_object};
pub use self::scalar::{Binary, Enumeration, Float, Integer, Long, Nested, Plain};
pub use self::well_known::{Any, Duration, Empty, FieldMask, ListValue, Null, Struct, Timestamp, Value};

/// How values of one kind of field are written and read.
pub trait Kind<T> {
    /// Writes a value.
    ///
    /// # Errors
    ///
    /// When the value has no JSON form, or the serializer fails.
    fn write<S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error>;

    /// Reads a value.
    ///
    /// # Errors
    ///
    /// When there is something else.
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error>;

    /// What `null` means: for most kinds, that the field is not there.
    fn null() -> Option<T> {
        None
    }
}

/// A value to be written as its kind says.
struct Written<'a, T, K>(&'a T, PhantomData<fn() -> K>);

impl<T, K: Kind<T>> Serialize for Written<'_, T, K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        K::write(self.0, serializer)
    }
}

fn written<T, K: Kind<T>>(value: &T) -> Written<'_, T, K> {
    Written(value, PhantomData)
}

/// A value that was read as its kind says.
struct ReadAs<T, K>(T, PhantomData<fn() -> K>);

impl<'de, T, K: Kind<T>> Deserialize<'de> for ReadAs<T, K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        K::read(deserializer).map(|value| Self(value, PhantomData))
    }
}

/// Writes the fields of a message.
#[derive(Debug)]
pub struct Writer<M>(M);

/// Begins to write a message.
///
/// # Errors
///
/// When the serializer fails.
pub fn writer<S: Serializer>(serializer: S) -> Result<Writer<S::SerializeMap>, S::Error> {
    serializer.serialize_map(None).map(Writer)
}

impl<M: SerializeMap> Writer<M> {
    /// Writes a field that is left out when it holds its default.
    ///
    /// # Errors
    ///
    /// When the value has no JSON form, or the serializer fails. So say the others.
    pub fn field<K, T>(&mut self, name: &'static str, value: &T) -> Result<(), M::Error>
    where
        K: Kind<T>,
        T: Default + PartialEq,
    {
        if *value == T::default() {
            return Ok(());
        }
        self.always::<K, T>(name, value)
    }

    /// Writes a field that is there or not.
    ///
    /// # Errors
    ///
    /// See [`field`](Self::field).
    pub fn optional<K: Kind<T>, T>(&mut self, name: &'static str, value: &Option<T>) -> Result<(), M::Error> {
        match value {
            Some(value) => self.always::<K, T>(name, value),
            None => Ok(()),
        }
    }

    /// Writes a field whatever it holds.
    ///
    /// # Errors
    ///
    /// See [`field`](Self::field).
    pub fn always<K: Kind<T>, T>(&mut self, name: &'static str, value: &T) -> Result<(), M::Error> {
        self.0.serialize_entry(name, &written::<T, K>(value))
    }

    /// Ends the message.
    ///
    /// # Errors
    ///
    /// When the serializer fails.
    pub fn end(self) -> Result<M::Ok, M::Error> {
        self.0.end()
    }
}
