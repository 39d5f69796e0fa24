//! The messages of `Debug.*`, as Go Micro's `debug.proto` numbers them.

mod json;

use std::collections::BTreeMap;

use ::bytes::BytesMut;
use serde::{Deserialize, Serialize};

use self::json::{long, span_type};
use crate::codec::{
    Encoding, EnumSchema, FieldKind, FieldSchema, Message, MessageSchema, Payload, ProtobufSlot,
    ProtobufView, Slot,
};

/// What `Debug.Health` is asked.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthRequest {
    /// The service that is asked about. Who is asked answers for itself, whatever this says.
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service: String,
}

/// What `Debug.Health` answers.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthResponse {
    /// `ok`; `starting` or `draining` before and after that.
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status: String,
}

/// What `Debug.Stats` is asked.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StatsRequest {
    /// The service that is asked about. Who is asked answers for itself, whatever this says.
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service: String,
}

/// What `Debug.Stats` answers.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StatsResponse {
    /// When this was counted, in seconds since 1970.
    #[prost(uint64, tag = "1")]
    #[serde(with = "long", skip_serializing_if = "is_default")]
    pub timestamp: u64,
    /// When the service was put together, in seconds since 1970.
    #[prost(uint64, tag = "2")]
    #[serde(with = "long", skip_serializing_if = "is_default")]
    pub started: u64,
    /// How long ago that is, in seconds.
    #[prost(uint64, tag = "3")]
    #[serde(with = "long", skip_serializing_if = "is_default")]
    pub uptime: u64,
    /// The memory that the process holds, in bytes; 0 where the system does not tell, as outside Linux.
    #[prost(uint64, tag = "4")]
    #[serde(with = "long", skip_serializing_if = "is_default")]
    pub memory: u64,
    /// Go's goroutines; here the tasks of the runtime that are alive.
    #[prost(uint64, tag = "5")]
    #[serde(with = "long", skip_serializing_if = "is_default")]
    pub threads: u64,
    /// Nanoseconds that garbage collection stopped the process for: always 0 here.
    #[prost(uint64, tag = "6")]
    #[serde(with = "long", skip_serializing_if = "is_default")]
    pub gc: u64,
    /// Requests since the start, but for those to `Debug.*`. Events are none.
    #[prost(uint64, tag = "7")]
    #[serde(with = "long", skip_serializing_if = "is_default")]
    pub requests: u64,
    /// Those of them that were answered with an error, or whose stream ended with one.
    #[prost(uint64, tag = "8")]
    #[serde(with = "long", skip_serializing_if = "is_default")]
    pub errors: u64,
}

/// What `Debug.Log` is asked.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogRequest {
    /// The service that is asked about. Who is asked answers for itself, whatever this says.
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// Whether to go on with new lines as they come.
    #[prost(bool, tag = "2")]
    #[serde(skip_serializing_if = "is_default")]
    pub stream: bool,
    /// How many of the recent lines to begin with, the latest. Not above zero: all that are kept.
    #[prost(int64, tag = "3")]
    #[serde(with = "long", skip_serializing_if = "is_default")]
    pub count: i64,
    /// Only those from this moment on, in seconds since 1970. Not above zero: all that are kept.
    #[prost(int64, tag = "4")]
    #[serde(with = "long", skip_serializing_if = "is_default")]
    pub since: i64,
}

/// A line of the log.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Record {
    /// When it was written, in seconds since 1970.
    #[prost(int64, tag = "1")]
    #[serde(with = "long", skip_serializing_if = "is_default")]
    pub timestamp: i64,
    /// `level`, `target`, and the line's fields.
    #[prost(btree_map = "string, string", tag = "2")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// What it says.
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// What `Debug.Trace` is asked.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TraceRequest {
    /// The id of a trace. Empty: all that are kept.
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
}

/// What `Debug.Trace` answers.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TraceResponse {
    /// The spans, in the order in which they ended.
    #[prost(message, repeated, tag = "1")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub spans: Vec<Span>,
}

/// One part of a trace: a call as this service answered it, or as it made it.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Span {
    /// The trace's id: 32 hexadecimal digits.
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub trace: String,
    /// The span's own id: 16 hexadecimal digits.
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// The id of the span that caused it; empty where the trace begins.
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub parent: String,
    /// `Handler.Method`; of an event its topic.
    #[prost(string, tag = "4")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// When it began, in nanoseconds since 1970.
    #[prost(uint64, tag = "5")]
    #[serde(with = "long", skip_serializing_if = "is_default")]
    pub started: u64,
    /// How long it took, in nanoseconds. 0: not measured, as of a failure that nobody traced.
    #[prost(uint64, tag = "6")]
    #[serde(with = "long", skip_serializing_if = "is_default")]
    pub duration: u64,
    /// `service`, who was called; after a failure `error` and `code`; `cancelled` where the caller left.
    #[prost(btree_map = "string, string", tag = "7")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Whether the call came in or went out.
    #[prost(enumeration = "SpanType", tag = "8")]
    #[serde(rename = "type", with = "span_type", skip_serializing_if = "is_default")]
    pub span_type: i32,
}

/// Whether a call came in or went out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum SpanType {
    /// It came in.
    Inbound = 0,
    /// It went out.
    Outbound = 1,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

static SPAN_TYPE: EnumSchema = EnumSchema {
    name: "SpanType",
    values: &[("INBOUND", 0), ("OUTBOUND", 1)],
};
const TEXT: FieldKind = FieldKind::Scalar("string");
const SIGNED: FieldKind = FieldKind::Long("int64");
const UNSIGNED: FieldKind = FieldKind::Long("uint64");
const TEXTS: FieldKind = FieldKind::Map(&TEXT);

/// Makes a message of a type that prost and serde know.
macro_rules! message {
    ($name:ident { $($field:literal: $kind:expr $(, $repeated:ident)?;)* }) => {
        impl $name {
            const SCHEMA: &'static MessageSchema = &MessageSchema {
                name: stringify!($name),
                fields: &[$(FieldSchema {
                    name: $field,
                    json_name: $field,
                    kind: $kind,
                    repeated: message!(@is_repeated $($repeated)?),
                }),*],
            };
        }

        impl Payload for $name {
            fn type_name(&self) -> &'static str {
                stringify!($name)
            }

            fn protobuf(&self) -> Option<&dyn ProtobufView> {
                Some(self)
            }

            fn serde(&self) -> Option<&dyn erased_serde::Serialize> {
                Some(self)
            }

            fn message_schema(&self) -> Option<&'static MessageSchema> {
                Some(Self::SCHEMA)
            }
        }

        impl Slot for $name {
            fn type_name(&self) -> &'static str {
                stringify!($name)
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

        impl ProtobufView for $name {
            fn encoded_len(&self) -> usize {
                prost::Message::encoded_len(self)
            }

            fn encode(&self, buffer: &mut BytesMut) {
                prost::Message::encode_raw(self, buffer);
            }
        }

        impl ProtobufSlot for $name {
            fn merge(&mut self, encoding: Encoding<'_>) -> Result<(), String> {
                prost::Message::merge(self, encoding).map_err(|problem| problem.to_string())
            }
        }

        impl Message for $name {
            fn schema() -> Option<&'static MessageSchema> {
                Some(Self::SCHEMA)
            }
        }
    };
    (@is_repeated) => { false };
    (@is_repeated repeated) => { true };
}

message!(HealthRequest { "service": TEXT; });
message!(HealthResponse { "status": TEXT; });
message!(StatsRequest { "service": TEXT; });
message!(StatsResponse {
    "timestamp": UNSIGNED;
    "started": UNSIGNED;
    "uptime": UNSIGNED;
    "memory": UNSIGNED;
    "threads": UNSIGNED;
    "gc": UNSIGNED;
    "requests": UNSIGNED;
    "errors": UNSIGNED;
});
message!(LogRequest { "service": TEXT; "stream": FieldKind::Scalar("bool"); "count": SIGNED; "since": SIGNED; });
message!(Record { "timestamp": SIGNED; "metadata": TEXTS; "message": TEXT; });
message!(TraceRequest { "id": TEXT; });
message!(TraceResponse { "spans": FieldKind::Message(|| Span::SCHEMA), repeated; });
message!(Span {
    "trace": TEXT;
    "id": TEXT;
    "parent": TEXT;
    "name": TEXT;
    "started": UNSIGNED;
    "duration": UNSIGNED;
    "metadata": TEXTS;
    "type": FieldKind::Enum(&SPAN_TYPE);
});

#[cfg(test)]
mod tests {
    use ::bytes::Bytes;

    use super::*;
    use crate::codec::{Codecs, Envelope, Role};

    fn written(content_type: &str, message: &dyn Payload) -> Bytes {
        let envelope = Envelope {
            role: Role::Event,
            endpoint: "",
            id: "",
        };
        Codecs::standard()
            .encode(content_type, message, &envelope)
            .unwrap()
    }

    fn read<M: Message>(content_type: &str, body: impl Into<Bytes>) -> crate::Result<M> {
        let mut message = M::default();
        let codecs = Codecs::standard();
        codecs.decode(content_type, body.into(), &mut message, Role::Event)?;
        Ok(message)
    }

    fn span() -> Span {
        Span {
            trace: "t".into(),
            id: "i".into(),
            started: u64::MAX,
            metadata: [("code".into(), "409".into())].into(),
            span_type: SpanType::Outbound.into(),
            ..Span::default()
        }
    }

    #[test]
    fn health_is_gos_bytes() {
        let health = HealthResponse { status: "ok".into() };
        assert_eq!(written("application/protobuf", &health), "\x0a\x02ok");
        assert_eq!(written("application/json", &health), "{\"status\":\"ok\"}\n");
    }

    #[test]
    fn long_numbers_are_written_as_text_and_read_as_either() {
        let stats = StatsResponse {
            uptime: 17,
            memory: u64::MAX,
            ..StatsResponse::default()
        };
        assert_eq!(
            written("application/json", &stats),
            "{\"uptime\":\"17\",\"memory\":\"18446744073709551615\"}\n"
        );
        for text in [
            r#"{"uptime":17,"memory":18446744073709551615}"#,
            r#"{"memory":"18446744073709551615","uptime":"17"}"#,
        ] {
            assert_eq!(read::<StatsResponse>("application/json", text).unwrap(), stats);
        }
        assert!(read::<StatsResponse>("application/json", r#"{"uptime":"long"}"#).is_err());
        assert!(read::<StatsResponse>("application/json", r#"{"uptime":-1}"#).is_err());
    }

    #[test]
    fn json_rpc_has_gos_own_json() {
        let response = TraceResponse { spans: vec![span()] };
        assert_eq!(
            written("application/json-rpc", &response),
            "{\"spans\":[{\"id\":\"i\",\"metadata\":{\"code\":\"409\"},\"started\":18446744073709551615,\
             \"trace\":\"t\",\"type\":1}]}\n"
        );
    }

    #[test]
    fn every_form_of_a_span_is_read_again() {
        let response = TraceResponse { spans: vec![span()] };
        for content_type in ["application/json", "application/protobuf", "application/json-rpc"] {
            let again = read::<TraceResponse>(content_type, written(content_type, &response));
            assert_eq!(again.unwrap(), response, "{content_type}");
        }
        assert!(read::<Span>("application/json", r#"{"type":"SIDEWAYS"}"#).is_err());
    }
}
