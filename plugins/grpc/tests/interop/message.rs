//! The message that both sides know, and what counts drops.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use micro_core::codec::{self, Encoding, ProtobufSlot, ProtobufView, Slot};
use prost::Message;
use tokio::sync::Semaphore;

/// `message Payload { bytes data = 1; }`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Payload {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) data: Bytes,
}

impl Payload {
    pub(crate) fn new(data: impl Into<Bytes>) -> Self {
        Self { data: data.into() }
    }

    pub(crate) fn number(number: usize) -> Self {
        Self::new(number.to_string())
    }

    pub(crate) fn to_number(&self) -> usize {
        std::str::from_utf8(&self.data).unwrap().parse().unwrap()
    }

    pub(crate) fn bytes(&self) -> Bytes {
        self.encode_to_vec().into()
    }

    pub(crate) fn read(bytes: &[u8]) -> Self {
        Self::decode(bytes).unwrap()
    }
}

// What the generator writes for a message, but for its JSON.

impl codec::Payload for Payload {
    fn type_name(&self) -> &'static str {
        "Payload"
    }

    fn protobuf(&self) -> Option<&dyn ProtobufView> {
        Some(self)
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

impl ProtobufView for Payload {
    fn encoded_len(&self) -> usize {
        Message::encoded_len(self)
    }

    fn encode(&self, buffer: &mut BytesMut) {
        self.encode_raw(buffer);
    }
}

impl ProtobufSlot for Payload {
    fn merge(&mut self, encoding: Encoding<'_>) -> Result<(), String> {
        Message::merge(self, encoding).map_err(|problem| problem.to_string())
    }
}

impl codec::Message for Payload {}

/// Counts the drops of its guards.
#[derive(Clone)]
pub(crate) struct Dropped(Arc<Semaphore>);

impl Dropped {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    pub(crate) fn guard(&self) -> Guard {
        Guard(self.0.clone())
    }

    pub(crate) async fn wait(&self) {
        soon(self.0.acquire()).await.unwrap().forget();
    }
}

pub(crate) struct Guard(Arc<Semaphore>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

/// Waits for what should happen at once.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, future)
        .await
        .expect("not within 20 s")
}
