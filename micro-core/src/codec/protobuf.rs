//! `application/protobuf`: exactly the message's bytes.

use ::bytes::{Buf, Bytes, BytesMut};

use super::{Codec, Envelope, PROTOBUF, Payload, Role, Slot, malformed, no_view};
use crate::{Result, Text};

/// Protobuf messages as they are, without a prefix. An empty message is an empty body.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProtobufCodec;

impl Codec for ProtobufCodec {
    fn content_type(&self) -> Text {
        PROTOBUF
    }

    fn encode(&self, payload: &dyn Payload, _: &Envelope<'_>) -> Result<Bytes> {
        let view = payload
            .protobuf()
            .ok_or_else(|| no_view(&PROTOBUF, payload.type_name(), "protobuf"))?;
        let mut buffer = BytesMut::with_capacity(view.encoded_len());
        view.encode(&mut buffer);
        Ok(buffer.freeze())
    }

    fn append(&self, payload: &dyn Payload, limit: usize, buffer: &mut BytesMut) -> Result<bool> {
        let Some(view) = payload.protobuf() else {
            return Ok(false);
        };
        let length = view.encoded_len();
        if length > limit {
            return Ok(false);
        }
        buffer.reserve(length);
        view.encode(buffer);
        Ok(true)
    }

    fn decode(&self, mut body: Bytes, slot: &mut dyn Slot, role: Role) -> Result<()> {
        let length = body.len();
        self.decode_front(&mut body, length, slot, role)
    }

    fn decode_front(&self, buffer: &mut Bytes, length: usize, slot: &mut dyn Slot, _: Role) -> Result<()> {
        let rest = buffer.len().saturating_sub(length);
        let type_name = slot.type_name();
        let merged = match slot.protobuf() {
            Some(slot) => slot
                .merge(buffer.take(length))
                .map_err(|problem| malformed(&PROTOBUF, type_name, problem)),
            None => Err(no_view(&PROTOBUF, type_name, "protobuf")),
        };
        // What was not read is not part of what comes next.
        buffer.advance(buffer.len().saturating_sub(rest));
        merged
    }
}
