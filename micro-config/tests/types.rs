//! Values as types, and what is said where they are not.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use micro_config::{Config, ErrorKind, Memory, Secret, View};
use serde::Deserialize;
use serde_json::{Value, json};

async fn view(values: Value) -> Arc<View> {
    let config = Config::builder()
        .source(Memory::from(values))
        .build()
        .await
        .unwrap();
    config.view()
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Plain,
    Sized(u8),
    Named { name: String },
    Pair(u8, u8),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pool {
    #[allow(dead_code, reason = "it is only read")]
    size: u8,
}

#[tokio::test]
async fn all_kinds_of_types_are_read() {
    let view = view(json!({
        "modes": ["plain", {"sized": 3}, {"named": {"name": "x"}}, {"pair": [1, "2"]}],
        "map": {"1": "a", "2": "b"},
        "none": null,
        "tuple": [1, "x", true],
        "char": "ü",
        "big": u64::MAX,
        "small": i64::MIN,
    }))
    .await;
    let modes = [
        Mode::Plain,
        Mode::Sized(3),
        Mode::Named { name: "x".into() },
        Mode::Pair(1, 2),
    ];
    assert_eq!(view.get::<Vec<Mode>>("modes").unwrap(), modes);
    assert_eq!(
        view.get::<BTreeMap<u8, char>>("map").unwrap(),
        [(1, 'a'), (2, 'b')].into()
    );
    assert_eq!(
        view.get::<(u8, String, bool)>("tuple").unwrap(),
        (1, "x".into(), true)
    );
    assert_eq!(view.get::<Option<u8>>("none").unwrap(), None);
    assert_eq!(view.get::<Option<u8>>("absent").unwrap(), None);
    assert_eq!(view.get::<char>("char").unwrap(), 'ü');
    assert_eq!(view.get::<u128>("big").unwrap(), u128::from(u64::MAX));
    assert_eq!(view.get::<i64>("small").unwrap(), i64::MIN);
    assert_eq!(view.get::<u8>("modes.3.pair.0").unwrap(), 1);
    assert_eq!(view.get_or("none", 7).unwrap(), 7);
    assert_eq!(view.get_or("absent", 7).unwrap(), 7);
    assert_eq!(view.get::<Value>("map").unwrap(), json!({"1": "a", "2": "b"}));
    assert!(view.scan_at::<BTreeMap<String, u8>>("absent").unwrap().is_empty());
}

#[tokio::test]
async fn errors_say_where_and_what_was_expected_and_never_the_value() {
    let view = view(json!({
        "port": "hunter2",
        "size": 70_000,
        "pools": [{"size": 1}, {"size": "hunter2"}],
        "pool": {"size": 1, "sise": 2},
        "empty": {},
        "mode": "hunter2",
        "secret": {"hunter2": 1},
        "address": "hunter2",
        "none": null,
    }))
    .await;
    let error = |path: &str, error: Option<micro_config::Error>| {
        let error = error.unwrap_or_else(|| panic!("{path} was read"));
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let error = error.to_string();
        let without_path = error.replace(path, "");
        assert!(!without_path.contains("hunter2"), "{error}");
        error
    };
    assert_eq!(
        error("port", view.get::<u16>("port").err()),
        "port: invalid type: string, expected u16 (memory)"
    );
    assert_eq!(
        error("size", view.get_or("size", 1_u16).err()),
        "size: invalid value: integer, expected u16 (memory)"
    );
    assert_eq!(
        error("pools", view.get::<Vec<Pool>>("pools").err()),
        "pools.1.size: invalid type: string, expected u8 (memory)"
    );
    assert_eq!(
        error("pool", view.get::<Pool>("pool").err()),
        "pool.sise: unknown field `sise`, expected `size` (memory)"
    );
    assert_eq!(
        error("empty", view.get::<Pool>("empty").err()),
        "empty: missing field `size` (memory)"
    );
    assert_eq!(
        error("mode", view.get::<Mode>("mode").err()),
        "mode: unknown variant, expected one of `plain`, `sized`, `named`, `pair` (memory)"
    );
    assert_eq!(
        error("none", view.get::<u8>("none").err()),
        "none: invalid type: null, expected u8 (memory)"
    );
    error("secret", view.get::<Secret<Vec<u8>>>("secret").err());
    error("address", view.get::<std::net::SocketAddr>("address").err());
    let missing = view.get::<u8>("nowhere.at.all").unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Missing);
    assert_eq!(
        missing.to_string(),
        "nowhere.at.all: no source of the configuration says it"
    );
}

#[tokio::test]
async fn nothing_shows_values() {
    let memory = Memory::from(json!({"password": "hunter2"}));
    let config = Config::builder().source(memory.clone()).build().await.unwrap();
    let secret = config.get::<Secret>("password").unwrap();
    let live = config.live::<String>("password").unwrap();
    let watch = config.watch::<String>("password");
    let document = micro_config::Document::value("x", json!("hunter2"));
    let shown = format!(
        "{secret:?} {config:?} {:?} {memory:?} {live:?} {watch:?} {document:?} {:?}",
        config.view(),
        config.sources()
    );
    assert!(!shown.contains("hunter2"), "{shown}");
    assert_eq!(secret.expose(), "hunter2");
    assert_eq!(secret.into_inner(), "hunter2");
}

/// Checks after reading, and repeats what it refuses.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Address;

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (_, after) = text.split_at(3);
        Err(format!("bad address {text:?}, at {after}"))
    }
}

/// Repeats a number.
#[derive(Debug, Deserialize)]
#[serde(try_from = "u32")]
struct Pin;

impl TryFrom<u32> for Pin {
    type Error = String;

    fn try_from(pin: u32) -> Result<Self, String> {
        Err(format!("{pin} is too easy"))
    }
}

/// Says what is wrong and not the value.
#[derive(Debug, Deserialize)]
#[serde(try_from = "u32")]
struct Even;

impl TryFrom<u32> for Even {
    type Error = String;

    fn try_from(_: u32) -> Result<Self, String> {
        Err("it must be even".into())
    }
}

#[derive(Debug, Deserialize)]
struct Database {
    #[allow(dead_code, reason = "it is only read")]
    url: Address,
}

#[derive(Debug, Deserialize)]
enum Store {
    Database(#[allow(dead_code, reason = "it is only read")] Address),
}

/// Checks a table, and repeats what is in it.
#[derive(Debug, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
struct Table;

impl TryFrom<BTreeMap<String, String>> for Table {
    type Error = String;

    fn try_from(table: BTreeMap<String, String>) -> Result<Self, String> {
        Err(format!("not {table:?}"))
    }
}

#[tokio::test]
async fn types_that_check_after_reading_do_not_show_what_they_refuse() {
    let view = view(json!({
        "db": {"url": "us\"er:hunter2@host"},
        "list": ["us\"er:hunter2@host"],
        "store": {"Database": "us\"er:hunter2@host"},
        "text": "us\"er:hunter2@host",
        "pin": 123_456,
        "odd": 3,
    }))
    .await;
    let hidden = "it is not what its type asks for; the reason repeats the value and is not shown (memory)";
    for (place, error) in [
        ("db.url", view.get::<Address>("db.url").unwrap_err()),
        ("db.url", view.get::<Database>("db").unwrap_err()),
        ("db.url", view.get::<BTreeMap<String, Address>>("db").unwrap_err()),
        ("list.0", view.get::<Vec<Address>>("list").unwrap_err()),
        ("text.0", view.get::<Vec<Address>>("text").unwrap_err()),
        ("db.url", view.get::<Option<Address>>("db.url").unwrap_err()),
        ("store.Database", view.get::<Store>("store").unwrap_err()),
        ("db", view.get::<Table>("db").unwrap_err()),
        ("pin", view.get::<Pin>("pin").unwrap_err()),
    ] {
        assert_eq!(error.to_string(), format!("{place}: {hidden}"));
    }
    let error = view.get::<Even>("odd").unwrap_err();
    assert_eq!(error.to_string(), "odd: it must be even (memory)");
}
