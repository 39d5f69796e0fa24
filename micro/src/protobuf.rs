//! Protobuf's well-known types, such as [`Timestamp`], with their canonical JSON form.
//!
//! Wrappers are Rust's own types: `google.protobuf.StringValue` is an optional `String`, and `Empty` is `()`.
//! Fields of generated messages, and generated methods with one message in and one out, have them as they are. In
//! streams they are carried in [`WellKnown`].

use bytes::BytesMut;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use prost_types::{Any, Duration, FieldMask, ListValue, NullValue, Struct, Timestamp, Value, value};

use crate::codec::{
    Encoding, FieldKind, FieldSchema, Message, MessageSchema, Payload, ProtobufSlot, ProtobufView, Slot,
};
use crate::codegen::json::{self, Kind};

/// Carries a well-known type as a message of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WellKnown<T>(
    /// The value.
    pub T,
);

impl<T> From<T> for WellKnown<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

/// One of the types that [`WellKnown`] carries. There are no others.
pub trait WellKnownType: prost::Message + Default + Send + Sync + sealed::Sealed + 'static {
    /// Its shape.
    #[doc(hidden)]
    const SCHEMA: &'static MessageSchema;
    /// Its JSON form.
    #[doc(hidden)]
    type Json: Kind<Self>;
}

impl<T: WellKnownType> Serialize for WellKnown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        T::Json::write(&self.0, serializer)
    }
}

impl<'de, T: WellKnownType> Deserialize<'de> for WellKnown<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::Json::read(deserializer).map(Self)
    }
}

impl<T: WellKnownType> Payload for WellKnown<T> {
    fn type_name(&self) -> &'static str {
        T::SCHEMA.name
    }

    fn protobuf(&self) -> Option<&dyn ProtobufView> {
        Some(self)
    }

    fn serde(&self) -> Option<&dyn erased_serde::Serialize> {
        Some(self)
    }

    fn message_schema(&self) -> Option<&'static MessageSchema> {
        Some(T::SCHEMA)
    }
}

impl<T: WellKnownType> ProtobufView for WellKnown<T> {
    fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }

    fn encode(&self, buffer: &mut BytesMut) {
        self.0.encode_raw(buffer);
    }
}

impl<T: WellKnownType> Slot for WellKnown<T> {
    fn type_name(&self) -> &'static str {
        T::SCHEMA.name
    }

    fn protobuf(&mut self) -> Option<&mut dyn ProtobufSlot> {
        Some(self)
    }

    fn serde(
        &mut self,
        deserializer: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Option<Result<(), erased_serde::Error>> {
        Some(erased_serde::deserialize(deserializer).map(|value| *self = value))
    }
}

impl<T: WellKnownType> ProtobufSlot for WellKnown<T> {
    fn merge(&mut self, encoding: Encoding<'_>) -> Result<(), String> {
        prost::Message::merge(&mut self.0, encoding).map_err(|problem| problem.to_string())
    }
}

impl<T: WellKnownType> Message for WellKnown<T> {
    fn schema() -> Option<&'static MessageSchema> {
        Some(T::SCHEMA)
    }
}

mod sealed {
    /// Keeps [`WellKnownType`](super::WellKnownType) to the types of this module.
    pub trait Sealed {}
}

macro_rules! well_known {
    ($($type:ty, $json:ident, $message:literal { $($name:literal: $kind:expr),* })*) => {
        $(
            impl sealed::Sealed for $type {}

            impl WellKnownType for $type {
                const SCHEMA: &'static MessageSchema = &MessageSchema {
                    name: $message,
                    fields: &[$(FieldSchema { name: $name, json_name: $name, kind: $kind, repeated: false }),*],
                };
                type Json = json::$json;
            }
        )*
    };
}

// Those whose JSON is an object of any content have no fields here, lest their content be taken for theirs.
well_known! {
    (), Empty, "Empty" {}
    bool, Plain, "BoolValue" { "value": FieldKind::Scalar("bool") }
    String, Plain, "StringValue" { "value": FieldKind::Scalar("string") }
    Vec<u8>, Binary, "BytesValue" { "value": FieldKind::Scalar("[]uint8") }
    i32, Integer, "Int32Value" { "value": FieldKind::Scalar("int32") }
    u32, Integer, "UInt32Value" { "value": FieldKind::Scalar("uint32") }
    i64, Long, "Int64Value" { "value": FieldKind::Long("int64") }
    u64, Long, "UInt64Value" { "value": FieldKind::Long("uint64") }
    f32, Float, "FloatValue" { "value": FieldKind::Scalar("float32") }
    f64, Float, "DoubleValue" { "value": FieldKind::Scalar("float64") }
    Any, Any, "Any" {}
    Duration, Duration, "Duration" { "seconds": FieldKind::Long("int64"), "nanos": FieldKind::Scalar("int32") }
    FieldMask, FieldMask, "FieldMask" { "paths": FieldKind::Scalar("[]string") }
    ListValue, ListValue, "ListValue" {}
    Struct, Struct, "Struct" {}
    Timestamp, Timestamp, "Timestamp" { "seconds": FieldKind::Long("int64"), "nanos": FieldKind::Scalar("int32") }
    Value, Value, "Value" {}
}
