//! The service that echoes, and its message.

use bytes::{Bytes, BytesMut};
use micro_core::codec::{Codecs, Encoding, Message, Payload as View, ProtobufSlot, ProtobufView, Slot};
use micro_core::handler::{
    BidirectionalStreaming, Endpoint, IntoEndpoints, StreamSender, Streaming, Unary, bidirectional_streaming,
    unary,
};
use micro_core::{Context, Result};
use prost::Message as _;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Payload {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) data: Bytes,
}

impl View for Payload {
    fn type_name(&self) -> &'static str {
        "Payload"
    }

    fn protobuf(&self) -> Option<&dyn ProtobufView> {
        Some(self)
    }
}

impl ProtobufView for Payload {
    fn encoded_len(&self) -> usize {
        prost::Message::encoded_len(self)
    }

    fn encode(&self, buffer: &mut BytesMut) {
        self.encode_raw(buffer);
    }
}

impl Slot for Payload {
    fn type_name(&self) -> &'static str {
        "Payload"
    }

    fn protobuf(&mut self) -> Option<&mut dyn ProtobufSlot> {
        Some(self)
    }
}

impl ProtobufSlot for Payload {
    fn merge(&mut self, encoding: Encoding<'_>) -> Result<(), String> {
        prost::Message::merge(self, encoding).map_err(|problem| problem.to_string())
    }
}

impl Message for Payload {}

pub(super) struct EchoServer;

struct Call;
struct Exchange;

impl Unary<Payload, Payload> for Call {
    async fn call(&self, _: &mut Context, request: Payload) -> Result<Payload> {
        Ok(request)
    }
}

impl BidirectionalStreaming<Payload, Payload> for Exchange {
    async fn call(
        &self,
        _: &mut Context,
        mut requests: Streaming<Payload>,
        replies: StreamSender<Payload>,
    ) -> Result<()> {
        while let Some(request) = requests.message().await? {
            replies.send(request).await?;
        }
        Ok(())
    }
}

impl IntoEndpoints for EchoServer {
    fn into_endpoints(self, codecs: &Codecs) -> Vec<Endpoint> {
        vec![
            unary("Echo.Call", codecs, Call),
            bidirectional_streaming("Echo.Stream", codecs, Exchange),
        ]
    }
}
