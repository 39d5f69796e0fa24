//! The protobuf form, and the shape.

use bytes::{Buf, Bytes, BytesMut};
use micro::codec::{FieldKind, Message, Payload, Slot};
use micro::protobuf::{Timestamp, WellKnown};
use micro_codegen_generated::hello::{PingRequest, PingResponse};
use micro_codegen_generated::nasty::types::v1::Everything;
use micro_codegen_generated::nasty::{Conflict, conflict::Kind, conflict::KindOneOf};
use micro_codegen_generated::old::{Order, order::Payment, order::State};
use micro_codegen_generated::{Alone, hello};

fn encoded(message: &impl Payload) -> BytesMut {
    let view = message.protobuf().unwrap();
    let mut buffer = BytesMut::new();
    view.encode(&mut buffer);
    assert_eq!(buffer.len(), view.encoded_len());
    buffer
}

#[test]
fn a_message_is_encoded_as_protobuf_says() {
    let message = PingRequest { name: "Ann".into() };
    assert_eq!(encoded(&message), &b"\x0a\x03Ann"[..]);
    let mut read = PingRequest::default();
    let merged = Slot::protobuf(&mut read)
        .unwrap()
        .merge((&mut Bytes::from_static(b"\x0a\x03Ann")).take(5));
    assert_eq!((merged, read), (Ok(()), message));
}

#[test]
fn a_well_known_type_is_carried_like_its_value() {
    let time = Timestamp { seconds: 5, nanos: 0 };
    assert_eq!(encoded(&WellKnown(time)), &b"\x08\x05"[..]);
    assert_eq!(WellKnown::<Timestamp>::schema().unwrap().name, "Timestamp");
}

#[test]
fn malformed_bytes_are_described() {
    let mut message = PingRequest::default();
    let problem = Slot::protobuf(&mut message)
        .unwrap()
        .merge((&mut Bytes::from_static(b"\x0a\x7fA")).take(3))
        .unwrap_err();
    assert!(problem.contains("PingRequest"), "{problem}");
}

#[test]
fn the_registry_learns_the_shape_of_a_message() {
    let value = PingResponse::schema().unwrap().to_value();
    let fields: Vec<(&str, &str)> = value
        .values
        .iter()
        .map(|field| (field.name.as_str(), field.kind.as_str()))
        .collect();
    assert_eq!(
        (value.name.as_str(), fields),
        (
            "PingResponse",
            vec![("greeting", "string"), ("served_by", "string")]
        )
    );
}

#[test]
fn every_kind_of_field_has_gos_type_name() {
    let value = Everything::schema().unwrap().to_value();
    let kind = |name: &str| {
        let field = value.values.iter().find(|field| field.name == name);
        field.unwrap().kind.as_str()
    };
    let expected = [
        ("text", "string"),
        ("flag", "bool"),
        ("i32", "int32"),
        ("s32", "int32"),
        ("sf32", "int32"),
        ("u32", "uint32"),
        ("f32", "uint32"),
        ("i64", "int64"),
        ("sf64", "int64"),
        ("u64", "uint64"),
        ("f64", "uint64"),
        ("single", "float32"),
        ("twice", "float64"),
        ("raw_bytes", "[]uint8"),
        ("suit", "Suit"),
        ("inner", "Inner"),
        ("longs", "[]int64"),
        ("suits", "[]Suit"),
        ("inners", "[]Inner"),
        ("long_by_name", ""),
        ("chosen_suit", "Suit"),
        ("maybe_long", "int64"),
        ("created_at", "Timestamp"),
        ("times", "[]Timestamp"),
        ("blobs", "[][]uint8"),
    ];
    for (name, go) in expected {
        assert_eq!(kind(name), go, "{name}");
    }
    assert_eq!(value.values.first().unwrap().name, "text");
    assert_eq!(value.values.last().unwrap().name, "old");
}

#[test]
fn the_json_name_may_be_set_in_the_proto() {
    let schema = Everything::schema().unwrap();
    let field = schema
        .fields
        .iter()
        .find(|field| field.name == "renamed")
        .unwrap();
    assert_eq!(field.json_name, "otherName");
    let map = schema
        .fields
        .iter()
        .find(|field| field.name == "suit_by_name")
        .unwrap();
    assert!(matches!(map.kind, FieldKind::Map(FieldKind::Enum(suit)) if suit.values.len() == 3));
}

#[test]
fn packages_and_files_without_one_refer_to_each_other() {
    let alone = Alone {
        note: Some(hello::Note { text: "t".into() }),
    };
    assert_eq!(serde_json::to_string(&alone).unwrap(), r#"{"note":{"text":"t"}}"#);
}

#[test]
fn messages_of_the_older_syntax_keep_their_defaults() {
    let order = Order::default();
    assert_eq!((order.note(), order.state()), ("none", State::Done));
    let json = r#"{"number":"0"}"#;
    assert_eq!(serde_json::to_string(&order).unwrap(), json);
    assert_eq!(serde_json::from_str::<Order>(json).unwrap(), order);
    let order = Order {
        number: 7,
        note: Some(String::new()),
        state: Some(State::Open.into()),
        counts: vec![1, 2],
        payment: Some(Payment::Cash(0)),
    };
    let json = r#"{"number":"7","note":"","state":"OPEN","counts":[1,2],"cash":0}"#;
    assert_eq!(serde_json::to_string(&order).unwrap(), json);
    assert_eq!(serde_json::from_str::<Order>(json).unwrap(), order);
}

#[test]
fn a_oneof_gives_way_to_a_message_of_its_name() {
    let message = Conflict {
        kind: Some(KindOneOf::Of(Kind { is: true })),
    };
    let json = r#"{"of":{"is":true}}"#;
    assert_eq!(serde_json::to_string(&message).unwrap(), json);
    assert_eq!(serde_json::from_str::<Conflict>(json).unwrap(), message);
}
