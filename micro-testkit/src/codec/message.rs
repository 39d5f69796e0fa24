//! Messages that offer some of the views.

use bytes::BytesMut;
use micro_core::codec::{Encoding, Message, Payload, ProtobufSlot, ProtobufView, Slot};
use prost::Message as _;
use serde::{Deserialize, Serialize};

/// A value with fields of many kinds.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
pub(super) struct Sample {
    #[prost(string, tag = "1")]
    pub(super) text: String,
    #[prost(int64, tag = "2")]
    pub(super) number: i64,
    #[prost(uint64, tag = "3")]
    pub(super) count: u64,
    #[prost(double, tag = "4")]
    pub(super) ratio: f64,
    #[prost(bool, tag = "5")]
    pub(super) flag: bool,
    #[prost(string, repeated, tag = "6")]
    pub(super) words: Vec<String>,
    #[prost(bytes = "vec", tag = "7")]
    pub(super) blob: Vec<u8>,
    #[prost(message, optional, boxed, tag = "8")]
    pub(super) inner: Option<Box<Sample>>,
}

/// Values that are easy to get wrong.
pub(super) fn samples() -> Vec<Sample> {
    let extreme = Sample {
        text: "Köln, 東京, 🚀, \"quoted\", \\back\u{0}\u{7f}\r\n".into(),
        number: i64::MIN,
        count: u64::MAX,
        ratio: -1.5e300,
        flag: true,
        words: vec![String::new(), "two".into(), "x".repeat(300)],
        blob: (0..=255).collect(),
        inner: None,
    };
    let nested = (0..10).fold(Sample::default(), |inner, number| Sample {
        number,
        inner: Some(Box::new(inner)),
        ..Sample::default()
    });
    let small = Sample {
        text: "small".into(),
        number: 1,
        ..Sample::default()
    };
    vec![
        small,
        Sample {
            inner: Some(Box::new(extreme.clone())),
            ..extreme
        },
        nested,
    ]
}

/// A sample that offers protobuf only.
#[derive(Clone, Default, PartialEq, Debug)]
pub(super) struct AsProtobuf(pub(super) Sample);

impl Payload for AsProtobuf {
    fn type_name(&self) -> &'static str {
        "AsProtobuf"
    }

    fn protobuf(&self) -> Option<&dyn ProtobufView> {
        Some(self)
    }
}

impl ProtobufView for AsProtobuf {
    fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }

    fn encode(&self, buffer: &mut BytesMut) {
        buffer.extend_from_slice(&self.0.encode_to_vec());
    }
}

impl Slot for AsProtobuf {
    fn type_name(&self) -> &'static str {
        "AsProtobuf"
    }

    fn protobuf(&mut self) -> Option<&mut dyn ProtobufSlot> {
        Some(self)
    }
}

impl ProtobufSlot for AsProtobuf {
    fn merge(&mut self, encoding: Encoding<'_>) -> Result<(), String> {
        self.0.merge(encoding).map_err(|problem| problem.to_string())
    }
}

impl Message for AsProtobuf {}

/// A message that offers no view at all.
#[derive(Clone, Default, PartialEq, Debug)]
pub(super) struct AsNothing;

impl Payload for AsNothing {
    fn type_name(&self) -> &'static str {
        "AsNothing"
    }
}

impl Slot for AsNothing {
    fn type_name(&self) -> &'static str {
        "AsNothing"
    }
}

impl Message for AsNothing {}

/// A value that serde cannot write.
#[derive(Default, Deserialize)]
pub(super) struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("unwritable on purpose"))
    }
}
