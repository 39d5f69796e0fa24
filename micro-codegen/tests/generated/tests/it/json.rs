//! The canonical JSON form, through the codec that handlers use.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use micro::codec::{Codec, Envelope, JsonCodec, Role};
use micro::protobuf;
use micro_codegen_generated::nasty::types::v1::everything::{Choice, Inner, Mood, inner::Deeper};
use micro_codegen_generated::nasty::types::v1::{Everything, Suit};
use serde_json::{Value, json};

fn written(message: &Everything) -> Value {
    let envelope = Envelope {
        role: Role::Response,
        endpoint: "",
        id: "",
    };
    let body = JsonCodec.encode(message, &envelope).unwrap();
    serde_json::from_slice(&body).unwrap()
}

fn read(json: &Value) -> micro::Result<Everything> {
    let mut message = Everything::default();
    let body = Bytes::from(json.to_string());
    JsonCodec.decode(body, &mut message, Role::Request)?;
    Ok(message)
}

/// Checks that a message is written like this, and read again as itself.
fn is_written_as(message: &Everything, json: &Value) {
    assert_eq!(&written(message), json);
    assert_eq!(&read(json).unwrap(), message);
}

#[test]
fn an_empty_message_is_an_empty_object() {
    is_written_as(&Everything::default(), &json!({}));
}

#[test]
fn scalars_have_camel_case_names_and_64_bits_are_strings() {
    let message = Everything {
        text: "text".into(),
        flag: true,
        i32: -1,
        s32: -2,
        sf32: -3,
        u32: u32::MAX,
        f32: 5,
        i64: i64::MIN,
        s64: -6,
        sf64: -7,
        u64: u64::MAX,
        f64: 9,
        single: 1.5,
        twice: -2.5,
        raw_bytes: vec![0xfb, 0xff, 0],
        renamed: "other".into(),
        ..Everything::default()
    };
    is_written_as(
        &message,
        &json!({
            "text": "text", "flag": true, "i32": -1, "s32": -2, "sf32": -3, "u32": 4_294_967_295_u32, "f32": 5,
            "i64": "-9223372036854775808", "s64": "-6", "sf64": "-7", "u64": "18446744073709551615", "f64": "9",
            "single": 1.5, "twice": -2.5, "rawBytes": "+/8A", "otherName": "other",
        }),
    );
}

#[test]
fn names_of_the_proto_numbers_and_strings_are_read_too() {
    let message = read(&json!({
        "raw_bytes": "-_8A", "i64": 5, "u64": "6", "i32": "7", "renamed": "other", "suit": 2,
        "long_by_name": {"a": 1}, "maybe_long": 8,
    }))
    .unwrap();
    let expected = Everything {
        raw_bytes: vec![0xfb, 0xff, 0],
        i64: 5,
        u64: 6,
        i32: 7,
        renamed: "other".into(),
        suit: Suit::Spades.into(),
        long_by_name: HashMap::from([("a".into(), 1)]),
        maybe_long: Some(8),
        ..Everything::default()
    };
    assert_eq!(message, expected);
}

#[test]
fn enums_messages_and_lists_nest() {
    let inner = Inner {
        text_value: "in".into(),
        mood: Mood::Wild.into(),
        deeper: Some(Box::new(Deeper {
            depth: 3,
            back: Some(Box::new(Everything {
                flag: true,
                ..Everything::default()
            })),
        })),
    };
    let message = Everything {
        suit: Suit::Hearts.into(),
        mood: Mood::Wild.into(),
        inner: Some(Box::new(inner)),
        recursive: Some(Box::default()),
        longs: vec![1, -2],
        suits: vec![Suit::Spades.into(), Suit::Unspecified.into()],
        inners: vec![Inner::default()],
        floats: vec![0.5],
        blobs: vec![vec![1], vec![]],
        ..Everything::default()
    };
    is_written_as(
        &message,
        &json!({
            "suit": "SUIT_HEARTS", "mood": "MOOD_WILD",
            "inner": {"textValue": "in", "mood": "MOOD_WILD", "deeper": {"depth": "3", "back": {"flag": true}}},
            "recursive": {}, "longs": ["1", "-2"], "suits": ["SUIT_SPADES", "SUIT_UNSPECIFIED"], "inners": [{}],
            "floats": [0.5], "blobs": ["AQ==", ""],
        }),
    );
}

#[test]
fn maps_have_text_for_keys() {
    let message = Everything {
        long_by_name: HashMap::from([("a".into(), -1)]),
        inner_by_number: HashMap::from([(-5, Inner::default())]),
        suit_by_name: HashMap::from([("s".into(), Suit::Spades.into())]),
        ..Everything::default()
    };
    is_written_as(
        &message,
        &json!({"longByName": {"a": "-1"}, "innerByNumber": {"-5": {}}, "suitByName": {"s": "SUIT_SPADES"}}),
    );
}

#[test]
fn a_map_may_be_keyed_by_a_flag() {
    let message = Everything {
        bytes_by_flag: HashMap::from([(true, vec![1])]),
        ..Everything::default()
    };
    is_written_as(&message, &json!({"bytesByFlag": {"true": "AQ=="}}));
}

#[test]
fn each_member_of_a_oneof_is_a_field() {
    let members = [
        (Choice::Word(String::new()), json!({"word": ""})),
        (Choice::Number(5), json!({"number": "5"})),
        (Choice::Thing(Box::default()), json!({"thing": {}})),
        (
            Choice::ChosenSuit(Suit::Hearts.into()),
            json!({"chosenSuit": "SUIT_HEARTS"}),
        ),
        (Choice::Blob(vec![1]), json!({"blob": "AQ=="})),
        (
            Choice::Moment(protobuf::Timestamp { seconds: 1, nanos: 0 }),
            json!({"moment": "1970-01-01T00:00:01Z"}),
        ),
    ];
    for (choice, json) in members {
        let message = Everything {
            choice: Some(choice),
            ..Everything::default()
        };
        is_written_as(&message, &json);
    }
    let error = read(&json!({"word": "a", "number": 1})).unwrap_err();
    assert!(error.detail().contains("only one"), "{error}");
}

#[test]
fn a_field_with_presence_is_written_when_it_holds_its_default() {
    let message = Everything {
        maybe: Some(String::new()),
        maybe_long: Some(0),
        maybe_suit: Some(0),
        ..Everything::default()
    };
    is_written_as(
        &message,
        &json!({"maybe": "", "maybeLong": "0", "maybeSuit": "SUIT_UNSPECIFIED"}),
    );
}

#[test]
fn null_stands_for_a_fields_default() {
    let names = [
        "text",
        "flag",
        "i32",
        "i64",
        "single",
        "rawBytes",
        "suit",
        "inner",
        "longs",
        "suits",
        "inners",
        "longByName",
        "innerByNumber",
        "maybe",
        "maybeSuit",
        "word",
        "createdAt",
        "blobs",
    ];
    for name in names {
        let message = read(&json!({name: null}));
        assert_eq!(message.unwrap(), Everything::default(), "{name}");
    }
}

#[test]
fn well_known_types_have_their_own_forms() {
    let message = Everything {
        created_at: Some(protobuf::Timestamp {
            seconds: 1_600_000_000,
            nanos: 500_000_000,
        }),
        lasts: Some(protobuf::Duration {
            seconds: -3,
            nanos: -1_000_000,
        }),
        nothing: Some(()),
        any: Some(protobuf::Any {
            type_url: "type.googleapis.com/hello.Note".into(),
            value: vec![1],
        }),
        structure: Some(protobuf::Struct {
            fields: BTreeMap::from([("a".into(), protobuf::Value::from(1.5))]),
        }),
        value: Some(protobuf::Value {
            kind: Some(protobuf::value::Kind::NullValue(0)),
        }),
        long_wrapper: Some(7),
        text_wrapper: Some(String::new()),
        list: Some(protobuf::ListValue {
            values: vec![protobuf::Value::from(true)],
        }),
        times: vec![protobuf::Timestamp::default()],
        durations: HashMap::from([("d".into(), protobuf::Duration::default())]),
        ..Everything::default()
    };
    is_written_as(
        &message,
        &json!({
            "createdAt": "2020-09-13T12:26:40.500Z", "lasts": "-3.001s", "nothing": {},
            "any": {"@type": "type.googleapis.com/hello.Note", "value": "AQ=="}, "structure": {"a": 1.5},
            "value": null, "longWrapper": "7", "textWrapper": "", "list": [true],
            "times": ["1970-01-01T00:00:00Z"], "durations": {"d": "0s"},
        }),
    );
}

#[test]
fn a_value_holds_any_json() {
    let json = json!({"value": {"a": [1.0, "b", null, {"c": true}], "d": {}}});
    assert_eq!(written(&read(&json).unwrap()), json);
}

#[test]
fn times_of_other_zones_are_read() {
    let message = read(&json!({"createdAt": "1970-01-01T01:00:00.25+01:00"})).unwrap();
    let time = protobuf::Timestamp {
        seconds: 0,
        nanos: 250_000_000,
    };
    assert_eq!(message.created_at, Some(time));
}

#[test]
fn values_that_do_not_fit_are_refused() {
    let wrong = [
        json!({"i32": 2_147_483_648_i64}),
        json!({"u32": -1}),
        json!({"i64": "9223372036854775808"}),
        json!({"u64": -1}),
        json!({"i32": 1.5}),
        json!({"i32": ""}),
        json!({"i32": "a"}),
        json!({"flag": "true"}),
        json!({"text": 1}),
        json!({"single": 1e300}),
        json!({"rawBytes": "*"}),
        json!({"suit": "SUIT_CLUBS"}),
        json!({"longs": 1}),
        json!({"longs": [null]}),
        json!({"longByName": {"a": null}}),
        json!({"innerByNumber": {"a": {}}}),
        json!({"createdAt": "yesterday"}),
        json!({"lasts": "3"}),
        json!({"lasts": "400000000000s"}),
        json!({"mask": "a_b"}),
        json!({"nothing": {"a": 1}}),
        json!({"inner": 5}),
        json!([]),
        json!("text"),
    ];
    for json in wrong {
        let error = read(&json).expect_err(&json.to_string());
        assert_eq!(error.code(), 400, "{json}");
    }
}

#[test]
fn a_field_may_come_only_once() {
    let mut message = Everything::default();
    let body = Bytes::from_static(br#"{"rawBytes": "", "raw_bytes": ""}"#);
    let error = JsonCodec.decode(body, &mut message, Role::Request).unwrap_err();
    assert!(error.detail().contains("duplicate field `rawBytes`"), "{error}");
}

#[test]
fn a_field_mask_is_one_text() {
    let message = Everything {
        mask: Some(protobuf::FieldMask {
            paths: vec!["user.display_name".into(), "photo".into()],
        }),
        ..Everything::default()
    };
    is_written_as(&message, &json!({"mask": "user.displayName,photo"}));
}

#[test]
fn numbers_without_a_value_are_written_by_name() {
    for (value, name) in [
        (f64::NAN, "NaN"),
        (f64::INFINITY, "Infinity"),
        (f64::NEG_INFINITY, "-Infinity"),
    ] {
        let message = Everything {
            twice: value,
            ..Everything::default()
        };
        assert_eq!(written(&message), json!({"twice": name}));
        assert_eq!(
            read(&json!({"twice": name})).unwrap().twice.to_string(),
            value.to_string()
        );
    }
}

#[test]
fn an_unknown_enum_number_is_kept() {
    let message = Everything {
        suit: 77,
        ..Everything::default()
    };
    is_written_as(&message, &json!({"suit": 77}));
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    let deep = format!("{}{}", "{\"recursive\":".repeat(5000), "}".repeat(5000));
    let error = JsonCodec
        .decode(Bytes::from(deep), &mut Everything::default(), Role::Request)
        .unwrap_err();
    assert_eq!(error.code(), 400);
}

#[test]
fn an_unknown_field_is_an_error_that_names_it() {
    let error = read(&json!({"colour": "red"})).unwrap_err();
    assert_eq!(error.code(), 400);
    assert!(
        error.detail().contains("colour") && error.detail().contains("Everything"),
        "{error}"
    );
}
