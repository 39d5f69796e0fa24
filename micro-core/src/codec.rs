//! Typed values to bytes and back, chosen by content type.

mod bytes;
mod json;
mod jsonrpc;
mod payload;
mod protobuf;
mod protorpc;
mod schema;

use std::fmt;
use std::sync::Arc;

use ::bytes::{Bytes, BytesMut};

use crate::error::SERVER;
use crate::{Error, Result, Text};

pub use self::bytes::BytesCodec;
pub use self::json::JsonCodec;
pub use self::jsonrpc::JsonRpcCodec;
pub use self::payload::{Encoding, Message, Payload, Plain, ProtobufSlot, ProtobufView, Raw, Slot};
pub use self::protobuf::ProtobufCodec;
pub use self::protorpc::ProtoRpcCodec;
pub use self::schema::{EnumSchema, FieldKind, FieldSchema, MessageSchema};

/// `application/protobuf`, the default between generated clients and servers.
pub const PROTOBUF: Text = Text::from_static("application/protobuf");
/// `application/json`.
pub const JSON: Text = Text::from_static("application/json");
/// `application/json-rpc`, Go Micro's older JSON protocol.
pub const JSON_RPC: Text = Text::from_static("application/json-rpc");
/// `application/proto-rpc`, Go Micro's older protobuf protocol.
pub const PROTO_RPC: Text = Text::from_static("application/proto-rpc");
/// `application/octet-stream`: bytes as they are.
pub const OCTET_STREAM: Text = Text::from_static("application/octet-stream");

/// Writes values as bytes of one content type, and reads them.
///
/// A codec asks a [`Payload`] for the view that it can write, and a [`Slot`] for the view that it can fill. So one
/// handler answers every content type, and a new format touches no message type.
pub trait Codec: Send + Sync + 'static {
    /// The content type, in lower case and without parameters, such as `application/json`.
    fn content_type(&self) -> Text;

    /// Writes a value.
    ///
    /// # Errors
    ///
    /// When the value has no view that this codec can write, or its serializer fails.
    fn encode(&self, payload: &dyn Payload, envelope: &Envelope<'_>) -> Result<Bytes>;

    /// Writes a value of at most `limit` bytes behind what is in a buffer, and says whether it did. By default it does
    /// not; a format without an envelope that knows beforehand how long a value will be spares streams of small messages
    /// a buffer for each.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode); what it wrote before is cut off.
    fn append(&self, payload: &dyn Payload, limit: usize, buffer: &mut BytesMut) -> Result<bool> {
        let _ = (payload, limit, buffer);
        Ok(false)
    }

    /// Reads a value. An empty body of a format that has an empty value leaves the slot as it is.
    ///
    /// # Errors
    ///
    /// 400 when the bytes are not of this format or not of this type; 415 when the slot has no view for it.
    fn decode(&self, body: Bytes, slot: &mut dyn Slot, role: Role) -> Result<()>;

    /// Reads a value from so many bytes at the front of a buffer, or from all where there are fewer, and takes them off it,
    /// also when they cannot be read. A format that need not own the bytes spares streams of small messages a handle for
    /// each.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    fn decode_front(&self, buffer: &mut Bytes, length: usize, slot: &mut dyn Slot, role: Role) -> Result<()> {
        self.decode(buffer.split_to(length.min(buffer.len())), slot, role)
    }

    /// What the body itself says about the call. Only formats with an envelope, such as JSON-RPC, say something.
    ///
    /// # Errors
    ///
    /// 400 when the envelope cannot be read.
    fn open(&self, body: &Bytes) -> Result<Option<Opening>> {
        let _ = body;
        Ok(None)
    }
}

impl Codec for Arc<dyn Codec> {
    fn content_type(&self) -> Text {
        (**self).content_type()
    }

    fn encode(&self, payload: &dyn Payload, envelope: &Envelope<'_>) -> Result<Bytes> {
        (**self).encode(payload, envelope)
    }

    fn append(&self, payload: &dyn Payload, limit: usize, buffer: &mut BytesMut) -> Result<bool> {
        (**self).append(payload, limit, buffer)
    }

    fn decode(&self, body: Bytes, slot: &mut dyn Slot, role: Role) -> Result<()> {
        (**self).decode(body, slot, role)
    }

    fn decode_front(&self, buffer: &mut Bytes, length: usize, slot: &mut dyn Slot, role: Role) -> Result<()> {
        (**self).decode_front(buffer, length, slot, role)
    }

    fn open(&self, body: &Bytes) -> Result<Option<Opening>> {
        (**self).open(body)
    }
}

/// Which way a body goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// From the caller.
    Request,
    /// To the caller.
    Response,
    /// Published.
    Event,
}

/// What a format with an envelope writes around the value.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// Which way the body goes.
    pub role: Role,
    /// `Handler.Method`.
    pub endpoint: &'a str,
    /// The request's id, to be repeated in its response.
    pub id: &'a str,
}

/// What an envelope said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opening {
    /// `Handler.Method`; may be empty.
    pub endpoint: Text,
    /// The request's id; may be empty.
    pub id: Text,
}

/// The codecs that a client or server knows. Cheap to clone.
#[derive(Clone)]
pub struct Codecs(Arc<[(Text, Arc<dyn Codec>)]>);

impl Codecs {
    /// Protobuf, JSON, JSON-RPC, proto-RPC and bytes.
    pub fn standard() -> Self {
        let standard: [Arc<dyn Codec>; 5] = [
            Arc::new(ProtobufCodec),
            Arc::new(JsonCodec),
            Arc::new(ProtoRpcCodec),
            Arc::new(JsonRpcCodec),
            Arc::new(BytesCodec),
        ];
        Self(
            standard
                .into_iter()
                .map(|codec| (codec.content_type(), codec))
                .collect(),
        )
    }

    /// These and one more, which takes the place of one for the same content type.
    #[must_use]
    pub fn with(&self, codec: impl Codec) -> Self {
        let content_type = codec.content_type();
        let kept = self.0.iter().filter(|(known, _)| *known != content_type).cloned();
        Self(
            kept.chain([(content_type.clone(), Arc::new(codec) as Arc<dyn Codec>)])
                .collect(),
        )
    }

    /// The codec for a content type. Parameters such as `; charset=utf-8` and case are ignored.
    ///
    /// # Errors
    ///
    /// 415, listing the content types that are known.
    pub fn find(&self, content_type: &str) -> Result<&dyn Codec> {
        self.find_shared(content_type).map(|codec| &**codec)
    }

    /// As [`find`](Self::find), to be kept.
    pub(crate) fn find_shared(&self, content_type: &str) -> Result<&Arc<dyn Codec>> {
        self.exact(content_type)
            .or_else(|| self.exact(&content_type.split(';').next()?.trim().to_ascii_lowercase()))
            .ok_or_else(|| self.unknown(content_type))
    }

    fn exact(&self, content_type: &str) -> Option<&Arc<dyn Codec>> {
        self.0
            .iter()
            .find(|(known, _)| *known == content_type)
            .map(|(_, codec)| codec)
    }

    /// The content types, in the order in which they are tried.
    pub fn content_types(&self) -> impl Iterator<Item = &Text> {
        self.0.iter().map(|(content_type, _)| content_type)
    }

    /// Writes a value with the codec of its content type; raw bytes go as they are, whatever the content type.
    pub(crate) fn encode(
        &self,
        content_type: &str,
        payload: &dyn Payload,
        envelope: &Envelope<'_>,
    ) -> Result<Bytes> {
        match payload.raw() {
            Some(raw) => Ok(raw.clone()),
            None => self.find(content_type)?.encode(payload, envelope),
        }
    }

    /// Reads a value with the codec of its content type; a slot for raw bytes takes them as they are.
    pub(crate) fn decode(
        &self,
        content_type: &str,
        body: Bytes,
        slot: &mut dyn Slot,
        role: Role,
    ) -> Result<()> {
        if let Some(raw) = slot.raw() {
            *raw = body;
            return Ok(());
        }
        self.find(content_type)?.decode(body, slot, role)
    }

    fn unknown(&self, content_type: &str) -> Error {
        let known: Vec<&str> = self.content_types().map(Text::as_str).collect();
        Error::new(
            SERVER,
            415,
            format!(
                "unsupported Content-Type: {content_type:?}; known here: {}",
                known.join(", ")
            ),
        )
    }
}

impl Default for Codecs {
    fn default() -> Self {
        Self::standard()
    }
}

impl fmt::Debug for Codecs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.content_types()).finish()
    }
}

/// What a format with an envelope writes instead of a value when there is an error. Empty for others.
pub(crate) fn error_body(content_type: &str, error_text: &str) -> Bytes {
    if JSON_RPC == *content_type {
        jsonrpc::error_body(error_text)
    } else if PROTO_RPC == *content_type {
        protorpc::error_body(error_text)
    } else {
        Bytes::new()
    }
}

/// The error of a codec that finds no view it can use.
pub(crate) fn no_view(content_type: &Text, type_name: &str, wanted: &str) -> Error {
    Error::new(
        SERVER,
        415,
        format!("{type_name} cannot be carried as {content_type}: it has no {wanted} form"),
    )
}

/// The error of a body that is not what it says.
pub(crate) fn malformed(content_type: &Text, type_name: &str, problem: impl fmt::Display) -> Error {
    Error::bad_request(
        SERVER,
        format!("body is not a {type_name} in {content_type}: {problem}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_case_of_a_content_type_do_not_matter() {
        let codecs = Codecs::standard();
        assert_eq!(
            codecs
                .find("Application/JSON; charset=utf-8")
                .unwrap()
                .content_type(),
            JSON
        );
    }

    #[test]
    fn an_unknown_content_type_is_answered_with_those_that_are_known() {
        let error = Codecs::standard().find("text/html").err().unwrap();
        assert_eq!(error.code(), 415);
        assert!(error.detail().contains("\"text/html\"") && error.detail().contains("application/protobuf"));
    }
}
