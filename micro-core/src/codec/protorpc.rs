//! `application/proto-rpc`: a header and a body, each behind its length.

use ::bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{Codec, Envelope, Opening, PROTO_RPC, Payload, Role, Slot, malformed, no_view};
use crate::{Error, Result, Text};

/// Go Micro's older protobuf protocol: a length-prefixed header (method, sequence number, error) and a
/// length-prefixed message. Events are bare messages.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProtoRpcCodec;

const METHOD: u8 = 0x0a; // field 1, length-delimited
const SEQUENCE: u8 = 0x11; // field 2, fixed 64
const ERROR: u8 = 0x1a; // field 3, length-delimited

impl Codec for ProtoRpcCodec {
    fn content_type(&self) -> Text {
        PROTO_RPC
    }

    fn encode(&self, payload: &dyn Payload, envelope: &Envelope<'_>) -> Result<Bytes> {
        let view = payload
            .protobuf()
            .ok_or_else(|| no_view(&PROTO_RPC, payload.type_name(), "protobuf"))?;
        let length = view.encoded_len();
        let mut buffer = BytesMut::with_capacity(length + envelope.endpoint.len() + 32);
        if envelope.role != Role::Event {
            write_header(envelope, &mut buffer);
            buffer.put_u32(u32::try_from(length).map_err(|_| {
                Error::too_large(crate::error::SERVER, "a proto-rpc message may not exceed 4 GiB")
            })?);
        }
        view.encode(&mut buffer);
        Ok(buffer.freeze())
    }

    fn decode(&self, body: Bytes, slot: &mut dyn Slot, role: Role) -> Result<()> {
        let type_name = slot.type_name();
        let slot = slot
            .protobuf()
            .ok_or_else(|| no_view(&PROTO_RPC, type_name, "protobuf"))?;
        let mut message = match role {
            Role::Event => body,
            Role::Request | Role::Response if body.is_empty() => body,
            Role::Request | Role::Response => {
                let mut rest = body;
                let header = Header::read(block(&mut rest)?)?;
                if let Some(error) = header.error {
                    return Err(Error::from_wire(&error));
                }
                block(&mut rest)?
            }
        };
        let length = message.len();
        slot.merge((&mut message).take(length))
            .map_err(|problem| malformed(&PROTO_RPC, type_name, problem))
    }

    fn open(&self, body: &Bytes) -> Result<Option<Opening>> {
        if body.is_empty() {
            return Ok(None);
        }
        let header = Header::read(block(&mut body.clone())?)?;
        let id = if header.sequence == 0 {
            Text::new()
        } else {
            header.sequence.to_string().into()
        };
        Ok(Some(Opening {
            endpoint: header.method.into(),
            id,
        }))
    }
}

fn write_header(envelope: &Envelope<'_>, buffer: &mut BytesMut) {
    let mut header = Vec::new();
    // A response names its method only in streams, which nothing reads.
    if envelope.role == Role::Request {
        header.push(METHOD);
        write_varint(envelope.endpoint.len(), &mut header);
        header.extend_from_slice(envelope.endpoint.as_bytes());
    }
    let sequence: u64 = envelope.id.parse().unwrap_or(0);
    if sequence != 0 {
        header.push(SEQUENCE);
        header.extend_from_slice(&sequence.to_le_bytes());
    }
    buffer.put_u32(u32::try_from(header.len()).unwrap_or(u32::MAX));
    buffer.extend_from_slice(&header);
}

/// A response that carries an error: a header with nothing else, and no message.
pub(super) fn error_body(text: &str) -> Bytes {
    let mut header = vec![ERROR];
    write_varint(text.len(), &mut header);
    header.extend_from_slice(text.as_bytes());
    let mut body = BytesMut::with_capacity(header.len() + 8);
    body.put_u32(u32::try_from(header.len()).unwrap_or(u32::MAX));
    body.extend_from_slice(&header);
    body.put_u32(0);
    body.freeze()
}

/// Takes one length-prefixed block.
fn block(rest: &mut Bytes) -> Result<Bytes> {
    let cut = || malformed(&PROTO_RPC, "message", "it ends inside a length-prefixed block");
    let length = rest.try_get_u32().map_err(|_| cut())? as usize;
    if length > rest.len() {
        return Err(cut());
    }
    Ok(rest.split_to(length))
}

#[derive(Default)]
struct Header {
    method: String,
    sequence: u64,
    error: Option<String>,
}

impl Header {
    fn read(mut bytes: Bytes) -> Result<Self> {
        let wrong = |problem: &str| malformed(&PROTO_RPC, "header", problem);
        let mut header = Self::default();
        while let Ok(tag) = bytes.try_get_u8() {
            match tag {
                METHOD | ERROR => {
                    let length = read_varint(&mut bytes).ok_or_else(|| wrong("a length is cut off"))?;
                    if length > bytes.len() {
                        return Err(wrong("a text is cut off"));
                    }
                    let text = String::from_utf8(bytes.split_to(length).into())
                        .map_err(|_| wrong("a text is not UTF-8"))?;
                    if tag == METHOD {
                        header.method = text;
                    } else {
                        header.error = Some(text).filter(|text| !text.is_empty());
                    }
                }
                SEQUENCE => {
                    header.sequence = bytes
                        .try_get_u64_le()
                        .map_err(|_| wrong("the number is cut off"))?
                }
                _ => return Err(wrong("it has an unknown field")),
            }
        }
        Ok(header)
    }
}

fn write_varint(mut number: usize, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn read_varint(bytes: &mut Bytes) -> Option<usize> {
    let mut number = 0usize;
    for shift in (0..35).step_by(7) {
        let byte = bytes.try_get_u8().ok()?;
        number |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}
