//! What generated code refers to. Not for use by hand: it changes together with `micro-codegen`.

pub mod json;

pub use bytes;
pub use erased_serde;
pub use prost;
pub use prost_types;
pub use serde;

use crate::codec::{EnumSchema, Message, MessageSchema};

/// An enumeration of a `.proto`.
pub trait ProtobufEnum {
    /// Its name, and the names and numbers of its values.
    const SCHEMA: EnumSchema;
}

impl ProtobufEnum for prost_types::NullValue {
    const SCHEMA: EnumSchema = EnumSchema {
        name: "NullValue",
        values: &[("NULL_VALUE", 0)],
    };
}

/// The shape of a message, as fields that hold it refer to it.
pub fn schema_of<M: Message>() -> &'static MessageSchema {
    static UNKNOWN: MessageSchema = MessageSchema {
        name: "",
        fields: &[],
    };
    M::schema().unwrap_or(&UNKNOWN)
}
