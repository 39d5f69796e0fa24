//! The service that Go's bytes were captured from, with messages as generated code would have them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use micro_core::codec::Codecs;
use micro_core::codec::{
    Encoding, FieldKind, FieldSchema, Message, MessageSchema, Payload, ProtobufSlot, ProtobufView, Slot,
};
use micro_core::handler::{
    BidirectionalStreaming, Context, ServerStreaming, StreamSender, Streaming, Unary,
    bidirectional_streaming, endpoint_fn, server_streaming, unary,
};
use micro_core::server::ServerBuilder;
use micro_core::{Error, Handler, Result};
use serde::{Deserialize, Serialize};

pub const SERVED_BY: &str = "go-micro-v5/interop.greeter-node-1";

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HelloRequest {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[prost(int32, tag = "2")]
    #[serde(skip_serializing_if = "is_default")]
    pub times: i32,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HelloResponse {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub greeting: String,
    #[prost(string, tag = "2")]
    #[serde(alias = "served_by", skip_serializing_if = "String::is_empty")]
    pub served_by: String,
    #[prost(btree_map = "string, string", tag = "3")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    #[prost(int64, tag = "4")]
    #[serde(with = "long", skip_serializing_if = "is_default")]
    pub seq: i64,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct FailRequest {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    #[prost(int32, tag = "2")]
    #[serde(skip_serializing_if = "is_default")]
    pub code: i32,
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    #[prost(bool, tag = "4")]
    #[serde(skip_serializing_if = "is_default")]
    pub plain: bool,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CountRequest {
    #[prost(int64, tag = "1")]
    #[serde(with = "long", skip_serializing_if = "is_default")]
    pub count: i64,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// 64-bit integers as canonical JSON has them: written as a string, read as either.
mod long {
    use serde::{Deserialize, Deserializer, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Number(i64),
        Text(String),
    }

    pub fn serialize<S: Serializer>(value: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        match Form::deserialize(deserializer)? {
            Form::Number(number) => Ok(number),
            Form::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

macro_rules! message {
    ($name:ident, $schema:expr) => {
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
                $schema
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
                $schema
            }
        }
    };
}

static HELLO_RESPONSE: MessageSchema = MessageSchema {
    name: "HelloResponse",
    fields: &[
        FieldSchema {
            name: "greeting",
            json_name: "greeting",
            kind: FieldKind::Scalar("string"),
            repeated: false,
        },
        FieldSchema {
            name: "served_by",
            json_name: "servedBy",
            kind: FieldKind::Scalar("string"),
            repeated: false,
        },
        FieldSchema {
            name: "headers",
            json_name: "headers",
            kind: FieldKind::Map(&FieldKind::Scalar("string")),
            repeated: false,
        },
        FieldSchema {
            name: "seq",
            json_name: "seq",
            kind: FieldKind::Long("int64"),
            repeated: false,
        },
    ],
};

message!(HelloRequest, None);
message!(HelloResponse, Some(&HELLO_RESPONSE));
message!(FailRequest, None);
message!(CountRequest, None);

struct Greeter;

impl Unary<HelloRequest, HelloResponse> for Greeter {
    async fn call(&self, context: &mut Context, request: HelloRequest) -> Result<HelloResponse> {
        let times = request.times.clamp(1, 1000);
        let greeting = format!("Hello {} ", request.name).repeat(times.unsigned_abs() as usize);
        let headers = context.metadata().iter();
        Ok(HelloResponse {
            greeting: greeting.trim().to_owned(),
            served_by: SERVED_BY.to_owned(),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            seq: 0,
        })
    }
}

impl Unary<FailRequest, HelloResponse> for Greeter {
    async fn call(&self, _: &mut Context, request: FailRequest) -> Result<HelloResponse> {
        Err(match request.plain {
            true => Error::new("", 0, request.detail),
            false => Error::new(request.id, request.code, request.detail),
        })
    }
}

impl ServerStreaming<CountRequest, HelloResponse> for Greeter {
    async fn call(
        &self,
        _: &mut Context,
        request: CountRequest,
        replies: StreamSender<HelloResponse>,
    ) -> Result<()> {
        for number in 1..=request.count {
            replies
                .send(numbered("count", &number.to_string(), number))
                .await?;
        }
        Ok(())
    }
}

impl BidirectionalStreaming<HelloRequest, HelloResponse> for Greeter {
    async fn call(
        &self,
        _: &mut Context,
        mut requests: Streaming<HelloRequest>,
        replies: StreamSender<HelloResponse>,
    ) -> Result<()> {
        let mut number = 0;
        while let Some(request) = requests.message().await? {
            number += 1;
            replies.send(numbered("echo", &request.name, number)).await?;
        }
        Ok(())
    }
}

fn numbered(verb: &str, what: &str, seq: i64) -> HelloResponse {
    HelloResponse {
        greeting: format!("{verb} {what}"),
        served_by: SERVED_BY.to_owned(),
        headers: BTreeMap::new(),
        seq,
    }
}

/// The service's handler, as servers have it.
pub fn handler() -> Arc<dyn Handler> {
    let codecs = Codecs::standard();
    let server = ServerBuilder::new()
        .handler(vec![
            unary::<HelloRequest, HelloResponse>("Greeter.Hello", &codecs, Greeter),
            unary::<FailRequest, HelloResponse>("Greeter.Fail", &codecs, Greeter),
            server_streaming::<CountRequest, HelloResponse>("Greeter.Count", &codecs, Greeter),
            bidirectional_streaming::<HelloRequest, HelloResponse>("Greeter.Echo", &codecs, Greeter),
        ])
        .handler(endpoint_fn(
            "Greeter.Sleep",
            |_: Context, milliseconds: u64| async move {
                tokio::time::sleep(Duration::from_millis(milliseconds)).await;
                Ok(milliseconds)
            },
        ));
    server.build().unwrap().handler().clone()
}
