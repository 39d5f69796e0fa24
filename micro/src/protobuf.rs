//! Protobuf's well-known types, such as [`Timestamp`], with their canonical JSON form.
//!
//! Fields of generated messages, and generated methods with one message in and one out, have them as they are.
//! In streams they are carried in [`WellKnown`].

use bytes::{Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use pbjson_types::{
    Any, BoolValue, BytesValue, DoubleValue, Duration, Empty, FieldMask, FloatValue, Int32Value, Int64Value,
    ListValue, NullValue, StringValue, Struct, Timestamp, UInt32Value, UInt64Value, Value,
};

use crate::codec::{
    FieldKind, FieldSchema, Message, MessageSchema, Payload, ProtobufSlot, ProtobufView, Slot,
};

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
pub trait WellKnownType:
    prost::Message + Serialize + DeserializeOwned + Default + Send + Sync + sealed::Sealed + 'static
{
    /// Its shape.
    #[doc(hidden)]
    const SCHEMA: &'static MessageSchema;
}

impl<T: WellKnownType> Payload for WellKnown<T> {
    fn type_name(&self) -> &'static str {
        T::SCHEMA.name
    }

    fn protobuf(&self) -> Option<&dyn ProtobufView> {
        Some(self)
    }

    fn serde(&self) -> Option<&dyn erased_serde::Serialize> {
        Some(&self.0)
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
        Some(erased_serde::deserialize(deserializer).map(|value| self.0 = value))
    }
}

impl<T: WellKnownType> ProtobufSlot for WellKnown<T> {
    fn merge(&mut self, bytes: Bytes) -> Result<(), String> {
        prost::Message::merge(&mut self.0, bytes).map_err(|problem| problem.to_string())
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
    ($($type:ident { $($name:literal: $kind:expr),* })*) => {
        $(
            impl sealed::Sealed for $type {}

            impl WellKnownType for $type {
                const SCHEMA: &'static MessageSchema = &MessageSchema {
                    name: stringify!($type),
                    fields: &[$(FieldSchema { name: $name, json_name: $name, kind: $kind, repeated: false }),*],
                };
            }
        )*
    };
}

// Those whose JSON is an object of any content have no fields here, lest their content be taken for theirs.
well_known! {
    Any {}
    BoolValue { "value": FieldKind::Scalar("bool") }
    BytesValue { "value": FieldKind::Scalar("[]uint8") }
    DoubleValue { "value": FieldKind::Scalar("float64") }
    Duration { "seconds": FieldKind::Long("int64"), "nanos": FieldKind::Scalar("int32") }
    Empty {}
    FieldMask { "paths": FieldKind::Scalar("[]string") }
    FloatValue { "value": FieldKind::Scalar("float32") }
    Int32Value { "value": FieldKind::Scalar("int32") }
    Int64Value { "value": FieldKind::Long("int64") }
    ListValue {}
    StringValue { "value": FieldKind::Scalar("string") }
    Struct {}
    Timestamp { "seconds": FieldKind::Long("int64"), "nanos": FieldKind::Scalar("int32") }
    UInt32Value { "value": FieldKind::Scalar("uint32") }
    UInt64Value { "value": FieldKind::Long("uint64") }
    Value {}
}
