//! What codecs see of a value: the views it offers.

use ::bytes::buf::Take;
use ::bytes::{Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::MessageSchema;

/// A value that can be written. Each view is one way to see it; a codec takes the one that it needs.
pub trait Payload: Send + Sync {
    /// The type's name, for error messages.
    fn type_name(&self) -> &'static str;

    /// As protobuf.
    fn protobuf(&self) -> Option<&dyn ProtobufView> {
        None
    }

    /// As anything that serde can write. Protobuf types give their canonical JSON form here.
    fn serde(&self) -> Option<&dyn erased_serde::Serialize> {
        None
    }

    /// As bytes that no codec touches.
    fn raw(&self) -> Option<&Bytes> {
        None
    }

    /// The shape, for types that were generated from a `.proto`.
    fn message_schema(&self) -> Option<&'static MessageSchema> {
        None
    }
}

/// A place for a value that is to be read.
pub trait Slot: Send {
    /// The type's name, for error messages.
    fn type_name(&self) -> &'static str;

    /// From protobuf.
    fn protobuf(&mut self) -> Option<&mut dyn ProtobufSlot> {
        None
    }

    /// From anything that serde can read. `None` where the type has no serde form.
    fn serde(
        &mut self,
        deserializer: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Option<Result<(), erased_serde::Error>> {
        let _ = deserializer;
        None
    }

    /// From bytes that no codec touches.
    fn raw(&mut self) -> Option<&mut Bytes> {
        None
    }
}

/// A value in protobuf's eyes.
pub trait ProtobufView {
    /// The exact size of what [`encode`](Self::encode) writes, in bytes.
    fn encoded_len(&self) -> usize;

    /// Appends the value's encoding.
    fn encode(&self, buffer: &mut BytesMut);
}

/// A place for a protobuf value.
pub trait ProtobufSlot {
    /// Merges an encoding into the value.
    ///
    /// # Errors
    ///
    /// A description of what is wrong with the bytes.
    fn merge(&mut self, encoding: Encoding<'_>) -> Result<(), String>;
}

/// The bytes of one value, at the front of a buffer that may hold more behind them: what is read is taken off the buffer,
/// and bytes within the value need not be copied.
pub type Encoding<'a> = Take<&'a mut Bytes>;

/// A type that handlers take and answer: it can be written, read, and starts out empty.
///
/// Generated types implement it; [`Plain`] lends it to every serde type, [`Raw`] to bytes.
pub trait Message: Payload + Slot + Default + 'static {
    /// The shape, for the registry's record.
    fn schema() -> Option<&'static MessageSchema> {
        None
    }
}

/// Makes a message of any serde type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plain<T>(Option<T>);

impl<T> Plain<T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        Self(Some(value))
    }

    /// The value, or `None` when nothing was read into this slot.
    pub fn into_inner(self) -> Option<T> {
        self.0
    }
}

impl<T> Default for Plain<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Serialize + Send + Sync> Payload for Plain<T> {
    fn type_name(&self) -> &'static str {
        short_type_name::<T>()
    }

    fn serde(&self) -> Option<&dyn erased_serde::Serialize> {
        self.0.as_ref().map(|value| value as _)
    }
}

impl<T: DeserializeOwned + Send> Slot for Plain<T> {
    fn type_name(&self) -> &'static str {
        short_type_name::<T>()
    }

    fn serde(
        &mut self,
        deserializer: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Option<Result<(), erased_serde::Error>> {
        Some(erased_serde::deserialize(deserializer).map(|value| self.0 = Some(value)))
    }
}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Message for Plain<T> {}

/// Bytes that pass every codec untouched: for gateways, proxies and dynamic calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Raw(pub Bytes);

impl Payload for Raw {
    fn type_name(&self) -> &'static str {
        "Raw"
    }

    fn raw(&self) -> Option<&Bytes> {
        Some(&self.0)
    }
}

impl Slot for Raw {
    fn type_name(&self) -> &'static str {
        "Raw"
    }

    fn raw(&mut self) -> Option<&mut Bytes> {
        Some(&mut self.0)
    }
}

impl Message for Raw {}

/// The last part of a type's path, generics kept: what people call it.
pub(crate) fn short_type_name<T: ?Sized>() -> &'static str {
    let name = std::any::type_name::<T>();
    let generics = name.find('<').unwrap_or(name.len());
    let start = name
        .get(..generics)
        .and_then(|path| path.rfind("::"))
        .map_or(0, |at| at + 2);
    name.get(start..).unwrap_or(name)
}
