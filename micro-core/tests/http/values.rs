//! Codecs, errors, names and metadata on arbitrary values.

use std::collections::BTreeMap;

use bytes::Bytes;
use micro_core::codec::{Codec, Codecs, Envelope, Plain, Role, Slot};
use micro_core::wire::{self, Field};
use micro_core::{Error, Metadata, Text};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::Value as Json;

use crate::beside_hyper::cases;
use crate::greeter::{HelloRequest, HelloResponse};

const OF_MESSAGES: [&str; 4] = [
    "application/protobuf",
    "application/json",
    "application/proto-rpc",
    "application/json-rpc",
];

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Request), Just(Role::Response), Just(Role::Event)]
}

fn response() -> impl Strategy<Value = HelloResponse> {
    (
        any::<String>(),
        any::<String>(),
        btree_map(any::<String>(), any::<String>(), 0..3),
        any::<i64>(),
    )
        .prop_map(|(greeting, served_by, headers, seq)| HelloResponse {
            greeting,
            served_by,
            headers,
            seq,
        })
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<String>().prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Json::from),
            btree_map(any::<String>(), inner, 0..4).prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

/// Text as errors, headers and attackers have it.
fn odd_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ -~\r\n\t]{0,40}",
        r#"[\[{]("(id|code|detail|status|x)"[:,]("?[a-z0-9]{0,3}"?|null|\{\}),?){0,4}[\]}]"#,
        Just("EOS".to_owned()),
    ]
}

/// What a header makes of a value.
fn through_a_header(text: &str) -> String {
    let spaced: String = text
        .chars()
        .map(|c| if c.is_ascii_control() && c != '\t' { ' ' } else { c })
        .collect();
    spaced.trim_matches([' ', '\t']).to_owned()
}

fn read<T: Slot + Default>(codec: &dyn Codec, body: &Bytes, role: Role) -> micro_core::Result<T> {
    let mut slot = T::default();
    codec.decode(body.clone(), &mut slot, role).map(|()| slot)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(600), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_codec_reads_what_it_wrote(value in response(), role in role(), endpoint in "[A-Za-z]{0,200}", id in any::<u64>()) {
        for content_type in OF_MESSAGES {
            let codecs = Codecs::standard();
            let codec = codecs.find(content_type).unwrap();
            let id = id.to_string();
            let envelope = Envelope { role, endpoint: &endpoint, id: &id };
            let body = codec.encode(&value, &envelope).unwrap();
            prop_assert_eq!(&read::<HelloResponse>(codec, &body, role).unwrap(), &value, "{}", content_type);
            if role == Role::Request && content_type.ends_with("-rpc") {
                let opening = codec.open(&body).unwrap().unwrap();
                prop_assert_eq!(&*opening.endpoint, endpoint.as_str());
                prop_assert!(&*opening.id == id.as_str() || id == "0");
            }
        }
    }

    #[test]
    fn every_json_travels_as_a_plain_value(value in json(), role in role()) {
        for content_type in ["application/json", "application/json-rpc"] {
            let codecs = Codecs::standard();
            let codec = codecs.find(content_type).unwrap();
            let envelope = Envelope { role, endpoint: "A.B", id: "1" };
            let body = codec.encode(&Plain::new(value.clone()), &envelope).unwrap();
            let back = read::<Plain<Json>>(codec, &body, role).unwrap().into_inner().unwrap();
            prop_assert_eq!(&back, &value, "{}", content_type);
        }
    }

    #[test]
    fn codecs_end_on_any_bytes(bytes in vec(any::<u8>(), 0..60), role in role()) {
        let body = Bytes::from(bytes);
        for content_type in Codecs::standard().content_types() {
            let codecs = Codecs::standard();
            let codec = codecs.find(content_type).unwrap();
            let _ = read::<HelloRequest>(codec, &body, role);
            let _ = read::<HelloResponse>(codec, &body, role);
            let _ = read::<Plain<Json>>(codec, &body, role);
            let _ = codec.open(&body);
        }
    }

    #[test]
    fn codecs_end_on_bytes_that_are_nearly_right(value in response(), role in role(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        for content_type in OF_MESSAGES {
            let codecs = Codecs::standard();
            let codec = codecs.find(content_type).unwrap();
            let body = codec.encode(&value, &Envelope { role, endpoint: "A.B", id: "1" }).unwrap();
            let mut body = body.to_vec();
            if !body.is_empty() {
                let at = at.index(body.len());
                body[at] = byte;
            }
            let _ = read::<HelloResponse>(codec, &Bytes::from(body.clone()), role);
            body.truncate(at.index(body.len() + 1));
            let body = Bytes::from(body);
            let _ = read::<HelloResponse>(codec, &body, role);
            let _ = codec.open(&body);
        }
    }

    #[test]
    fn an_error_arrives_as_it_was_sent(id in odd_text(), code in prop_oneof![Just(0), 400..600, any::<i32>()], detail in odd_text()) {
        let sent = Error::new(id, code, detail);
        let text = through_a_header(&wire::error_text(&sent));
        prop_assert!(!text.is_empty() && text != wire::END_OF_STREAM);
        let received = Error::from_wire(&text);
        // Only the control character that JSON leaves as it is suffers in a header.
        let spaced = |text: &str| text.replace('\u{7f}', " ");
        prop_assert_eq!(received.id(), spaced(sent.id()));
        prop_assert_eq!(received.code(), sent.code());
        prop_assert_eq!(received.detail(), spaced(sent.detail()));
    }

    #[test]
    fn any_text_is_some_error(text in odd_text()) {
        let error = Error::from_wire(&text);
        if !text.trim_start().starts_with('{') {
            prop_assert_eq!((error.id(), error.code(), error.detail()), ("", 0, text.as_str()));
        }
        let _ = (error.kind(), error.to_string());
        let again = Error::from_wire(&error.to_json());
        prop_assert_eq!((again.id(), again.code(), again.detail()), (error.id(), error.code(), error.detail()));
    }

    #[test]
    fn the_error_of_an_envelope_is_read_back(code in 400..600, detail in any::<String>()) {
        let sent = Error::new("a.b", code, detail);
        for content_type in ["application/proto-rpc", "application/json-rpc"] {
            let body = wire::error_body(content_type, &wire::error_text(&sent));
            let codecs = Codecs::standard();
            let error = read::<HelloResponse>(codecs.find(content_type).unwrap(), &body, Role::Response).unwrap_err();
            prop_assert_eq!((error.id(), error.code(), error.detail()), (sent.id(), sent.code(), sent.detail()));
        }
    }

    #[test]
    fn headers_mean_the_same_in_any_case(name in "[A-Za-z-]{0,20}", known in any::<prop::sample::Index>(), upper in vec(any::<bool>(), 20)) {
        let names = ["Micro-Service", "Micro-Endpoint", "Timeout", "Content-Length", "X-Micro-Method", "Transfer-Encoding", "Micro-Error"];
        let known = names[known.index(names.len())];
        let cased: String = known.chars().zip(upper).map(|(c, upper)| if upper { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }).collect();
        prop_assert_eq!(wire::field(cased.as_bytes()), wire::field(known.as_bytes()));
        prop_assert_ne!(wire::field(known.as_bytes()), Field::Other);
        prop_assert_eq!(wire::field(name.to_lowercase().as_bytes()), wire::field(name.to_uppercase().as_bytes()));
    }

    #[test]
    fn metadata_is_a_map_whose_names_have_no_case(steps in vec((0..3_u8, "[aAbB]{1,2}", "[a-z]{0,3}"), 0..30)) {
        let (mut metadata, mut model) = (Metadata::new(), BTreeMap::<String, String>::new());
        for (step, name, value) in steps {
            let key = name.to_lowercase();
            match step {
                0 => prop_assert_eq!(metadata.remove(&name).map(String::from), model.remove(&key)),
                1 => prop_assert_eq!(metadata.get(&name), model.get(&key).map(String::as_str)),
                _ => {
                    metadata.insert(name, value.clone());
                    model.insert(key, value);
                }
            }
            prop_assert_eq!((metadata.len(), metadata.is_empty()), (model.len(), model.is_empty()));
        }
        let pairs: BTreeMap<_, _> = metadata.iter().map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        prop_assert_eq!(pairs, model);
    }

    #[test]
    fn a_text_is_a_str(text in any::<String>(), start in 0..40_usize, end in 0..40_usize) {
        let ours = Text::from(text.as_str());
        prop_assert_eq!(&*ours, text.as_str());
        let part = if start <= end { text.get(start..end) } else { None };
        let slice = ours.slice(start, end);
        prop_assert_eq!(slice.as_deref(), part);
        prop_assert_eq!(Text::from_utf8(Bytes::from(text.clone().into_bytes())).unwrap(), ours);
        let cut = &text.as_bytes()[..text.len().min(start)];
        prop_assert_eq!(Text::from_utf8(Bytes::copy_from_slice(cut)).is_ok(), std::str::from_utf8(cut).is_ok());
    }

    #[test]
    fn a_timeout_is_a_deadline_or_nothing(text in prop_oneof!["[0-9+. -]{0,25}", any::<String>()]) {
        let now = tokio::time::Instant::now();
        let deadline = wire::deadline(&text, now);
        if let Ok(nanoseconds) = text.trim().parse::<u64>() {
            prop_assert_eq!(deadline, now.checked_add(std::time::Duration::from_nanos(nanoseconds)));
        } else {
            prop_assert_eq!(deadline, None);
        }
    }
}
