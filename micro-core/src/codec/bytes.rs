//! `application/octet-stream`: bytes as they are.

use ::bytes::Bytes;

use super::{Codec, Envelope, OCTET_STREAM, Payload, Role, Slot, no_view};
use crate::{Result, Text};

/// Bytes as they are, for handlers that take and answer [`Raw`](super::Raw).
#[derive(Debug, Clone, Copy, Default)]
pub struct BytesCodec;

impl Codec for BytesCodec {
    fn content_type(&self) -> Text {
        OCTET_STREAM
    }

    fn encode(&self, payload: &dyn Payload, _: &Envelope<'_>) -> Result<Bytes> {
        payload
            .raw()
            .cloned()
            .ok_or_else(|| no_view(&OCTET_STREAM, payload.type_name(), "raw"))
    }

    fn decode(&self, body: Bytes, slot: &mut dyn Slot, _: Role) -> Result<()> {
        let type_name = slot.type_name();
        let raw = slot
            .raw()
            .ok_or_else(|| no_view(&OCTET_STREAM, type_name, "raw"))?;
        *raw = body;
        Ok(())
    }
}
