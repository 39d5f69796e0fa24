//! `application/json`: one value and a newline, as Go's encoder writes it.

use ::bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;

use super::{Codec, Envelope, JSON, Payload, Role, Slot, malformed, no_view};
use crate::error::SERVER;
use crate::{Error, Result, Text};

/// JSON. Types made from a `.proto` are written as canonical proto3 JSON, others as serde writes them.
#[derive(Debug, Clone, Copy, Default)]
pub struct JsonCodec;

impl Codec for JsonCodec {
    fn content_type(&self) -> Text {
        JSON
    }

    fn encode(&self, payload: &dyn Payload, _: &Envelope<'_>) -> Result<Bytes> {
        let value = payload
            .serde()
            .ok_or_else(|| no_view(&JSON, payload.type_name(), "serde"))?;
        write_line(&value).map_err(|problem| unwritable(&JSON, payload.type_name(), &problem))
    }

    fn decode(&self, body: Bytes, slot: &mut dyn Slot, _: Role) -> Result<()> {
        // A caller that says nothing means the empty value, of types that have one.
        let body: &[u8] = match body.iter().all(u8::is_ascii_whitespace) {
            true if slot.protobuf().is_some() => return Ok(()),
            true => b"null",
            false => &body,
        };
        read(&JSON, body, slot)
    }
}

/// Writes a value and a newline.
pub(super) fn write_line(value: &(impl Serialize + ?Sized)) -> serde_json::Result<Bytes> {
    let mut buffer = BytesMut::with_capacity(128).writer();
    serde_json::to_writer(&mut buffer, value)?;
    let mut buffer = buffer.into_inner();
    buffer.put_u8(b'\n');
    Ok(buffer.freeze())
}

/// Reads exactly one value into the slot.
pub(super) fn read(content_type: &Text, body: &[u8], slot: &mut dyn Slot) -> Result<()> {
    let type_name = slot.type_name();
    let mut json = serde_json::Deserializer::from_slice(body);
    {
        let mut erased = <dyn erased_serde::Deserializer<'_>>::erase(&mut json);
        slot.serde(&mut erased)
            .ok_or_else(|| no_view(content_type, type_name, "serde"))?
            .map_err(|problem| malformed(content_type, type_name, problem))?;
    }
    json.end()
        .map_err(|problem| malformed(content_type, type_name, problem))
}

pub(super) fn unwritable(content_type: &Text, type_name: &str, problem: &serde_json::Error) -> Error {
    Error::internal(
        SERVER,
        format!("cannot write {type_name} as {content_type}: {problem}"),
    )
}
