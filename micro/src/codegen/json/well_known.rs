//! Google's types that have a JSON form of their own.

use std::str::FromStr;

use prost_types::value::Kind as Content;
use serde::de::{Error as _, IgnoredAny};
use serde::ser::{Error as _, SerializeMap};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::scalar::{Binary, Float};
use super::{Kind, List, Map, written};

/// `2020-09-13T12:26:40.500Z`.
#[derive(Debug)]
pub struct Timestamp;

/// `3.001s`.
#[derive(Debug)]
pub struct Duration;

/// `user.displayName,photo`.
#[derive(Debug)]
pub struct FieldMask;

/// `{}`.
#[derive(Debug)]
pub struct Empty;

/// `{"@type": …, "value": …}` with the message's bytes, because nobody knows all messages.
#[derive(Debug)]
pub struct Any;

/// Any object.
#[derive(Debug)]
pub struct Struct;

/// Anything.
#[derive(Debug)]
pub struct Value;

/// Any list.
#[derive(Debug)]
pub struct ListValue;

/// `null`, as an enumeration with one value.
#[derive(Debug)]
pub struct Null;

/// The seconds from the year 1 to the end of the year 9999.
const TIMES: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
/// The seconds of ten thousand years.
const LONGEST: i64 = 315_576_000_000;

impl Kind<prost_types::Timestamp> for Timestamp {
    fn write<S: Serializer>(value: &prost_types::Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        if !TIMES.contains(&value.seconds) || !(0..1_000_000_000).contains(&value.nanos) {
            return Err(S::Error::custom(format_args!(
                "{value:?} has no JSON form: out of range"
            )));
        }
        serializer.collect_str(value)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<prost_types::Timestamp, D::Error> {
        let value: prost_types::Timestamp = parsed(deserializer, "a time such as 2020-09-13T12:26:40Z")?;
        match TIMES.contains(&value.seconds) {
            true => Ok(value),
            false => Err(D::Error::custom("a time must lie in the years 1 to 9999")),
        }
    }
}

impl Kind<prost_types::Duration> for Duration {
    fn write<S: Serializer>(value: &prost_types::Duration, serializer: S) -> Result<S::Ok, S::Error> {
        match value.seconds.checked_abs() {
            Some(seconds) if seconds <= LONGEST => serializer.collect_str(value),
            _ => Err(S::Error::custom(format_args!(
                "{value:?} has no JSON form: out of range"
            ))),
        }
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<prost_types::Duration, D::Error> {
        let value: prost_types::Duration = parsed(deserializer, "a duration such as 3.5s")?;
        match value.seconds.checked_abs() {
            Some(seconds) if seconds <= LONGEST => Ok(value),
            _ => Err(D::Error::custom("a duration may not exceed ten thousand years")),
        }
    }
}

fn parsed<'de, T: FromStr, D: Deserializer<'de>>(deserializer: D, expected: &str) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(64).collect();
        D::Error::custom(format_args!("{shown:?} is not {expected}"))
    })
}

impl Kind<prost_types::FieldMask> for FieldMask {
    fn write<S: Serializer>(value: &prost_types::FieldMask, serializer: S) -> Result<S::Ok, S::Error> {
        let paths: Vec<String> = value.paths.iter().map(|path| camel(path)).collect();
        match value
            .paths
            .iter()
            .zip(&paths)
            .find(|(path, camel)| snake(camel) != **path)
        {
            Some((path, _)) => Err(S::Error::custom(format_args!(
                "the path {path:?} of a field mask has no JSON form: write it in snake_case"
            ))),
            None => serializer.serialize_str(&paths.join(",")),
        }
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<prost_types::FieldMask, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.contains('_') {
            return Err(D::Error::custom(
                "the paths of a field mask are in camelCase in JSON",
            ));
        }
        Ok(prost_types::FieldMask {
            paths: text
                .split(',')
                .filter(|path| !path.is_empty())
                .map(snake)
                .collect(),
        })
    }
}

fn camel(path: &str) -> String {
    let mut camel = String::with_capacity(path.len());
    let mut after_underscore = false;
    for character in path.chars() {
        match (character, after_underscore) {
            ('_', _) => after_underscore = true,
            (_, true) => {
                camel.push(character.to_ascii_uppercase());
                after_underscore = false;
            }
            (_, false) => camel.push(character),
        }
    }
    camel
}

fn snake(path: &str) -> String {
    let mut snake = String::with_capacity(path.len() + 4);
    for character in path.chars() {
        if character.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}

impl Kind<()> for Empty {
    fn write<S: Serializer>((): &(), serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_map(Some(0))?.end()
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
        let fields = std::collections::BTreeMap::<String, IgnoredAny>::deserialize(deserializer)?;
        match fields.keys().next() {
            Some(name) => Err(D::Error::custom(format_args!(
                "unknown field `{name}`, there are no fields"
            ))),
            None => Ok(()),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnyJson {
    #[serde(rename = "@type", default)]
    type_url: String,
    #[serde(default)]
    value: String,
}

impl Kind<prost_types::Any> for Any {
    fn write<S: Serializer>(value: &prost_types::Any, serializer: S) -> Result<S::Ok, S::Error> {
        if value.type_url.is_empty() && value.value.is_empty() {
            return Empty::write(&(), serializer);
        }
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("@type", &value.type_url)?;
        map.serialize_entry("value", &written::<_, Binary>(&value.value))?;
        map.end()
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<prost_types::Any, D::Error> {
        let json = AnyJson::deserialize(deserializer)?;
        let value = serde::de::value::StrDeserializer::<D::Error>::new(&json.value);
        Ok(prost_types::Any {
            type_url: json.type_url,
            value: Binary::read(value)?,
        })
    }
}

impl Kind<prost_types::Struct> for Struct {
    fn write<S: Serializer>(value: &prost_types::Struct, serializer: S) -> Result<S::Ok, S::Error> {
        Map::<Value>::write(&value.fields, serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<prost_types::Struct, D::Error> {
        Map::<Value>::read(deserializer).map(|fields| prost_types::Struct { fields })
    }
}

impl Kind<prost_types::ListValue> for ListValue {
    fn write<S: Serializer>(value: &prost_types::ListValue, serializer: S) -> Result<S::Ok, S::Error> {
        List::<Value>::write(&value.values, serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<prost_types::ListValue, D::Error> {
        List::<Value>::read(deserializer).map(|values| prost_types::ListValue { values })
    }
}

impl Kind<prost_types::Value> for Value {
    fn write<S: Serializer>(value: &prost_types::Value, serializer: S) -> Result<S::Ok, S::Error> {
        match &value.kind {
            None => Err(S::Error::custom(
                "a google.protobuf.Value that holds nothing has no JSON form",
            )),
            Some(Content::NullValue(_)) => serializer.serialize_unit(),
            Some(Content::NumberValue(number)) if !number.is_finite() => Err(S::Error::custom(format_args!(
                "a google.protobuf.Value that holds {number} has no JSON form"
            ))),
            Some(Content::NumberValue(number)) => Float::write(number, serializer),
            Some(Content::StringValue(text)) => serializer.serialize_str(text),
            Some(Content::BoolValue(flag)) => serializer.serialize_bool(*flag),
            Some(Content::StructValue(fields)) => Struct::write(fields, serializer),
            Some(Content::ListValue(list)) => ListValue::write(list, serializer),
        }
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<prost_types::Value, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }

    fn null() -> Option<prost_types::Value> {
        Some(holding(Content::NullValue(0)))
    }
}

fn holding(content: Content) -> prost_types::Value {
    prost_types::Value { kind: Some(content) }
}

struct ValueVisitor;

impl<'de> serde::de::Visitor<'de> for ValueVisitor {
    type Value = prost_types::Value;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(holding(Content::NullValue(0)))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(holding(Content::BoolValue(value)))
    }

    #[expect(clippy::cast_precision_loss, reason = "the type holds numbers so")]
    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(holding(Content::NumberValue(value as f64)))
    }

    #[expect(clippy::cast_precision_loss, reason = "the type holds numbers so")]
    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(holding(Content::NumberValue(value as f64)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(holding(Content::NumberValue(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(holding(Content::StringValue(value.to_owned())))
    }

    fn visit_string<E>(self, value: String) -> Result<Self::Value, E> {
        Ok(holding(Content::StringValue(value)))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        let list = ListValue::read(serde::de::value::SeqAccessDeserializer::new(list))?;
        Ok(holding(Content::ListValue(list)))
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let fields = Struct::read(serde::de::value::MapAccessDeserializer::new(map))?;
        Ok(holding(Content::StructValue(fields)))
    }
}

impl Kind<i32> for Null {
    fn write<S: Serializer>(_: &i32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
        super::Enumeration::<prost_types::NullValue>::read(deserializer)
    }

    fn null() -> Option<i32> {
        Some(0)
    }
}
