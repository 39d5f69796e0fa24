//! Fields of the messages whose canonical JSON is not what serde writes by itself.

/// 64-bit integers as canonical JSON has them: written as a string, read as either.
pub(super) mod long {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form<T> {
        Number(T),
        Text(String),
    }

    pub(in super::super) fn serialize<S: Serializer>(
        value: &impl Display,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(in super::super) fn deserialize<'de, D, T>(deserializer: D) -> Result<T, D::Error>
    where
        D: Deserializer<'de>,
        T: Deserialize<'de> + FromStr<Err: Display>,
    {
        match Form::deserialize(deserializer)? {
            Form::Number(number) => Ok(number),
            Form::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

/// The enumeration as canonical JSON has it: written by name, read by name or number.
pub(super) mod span_type {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::super::SpanType;

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Form {
        Number(i32),
        Name(String),
    }

    pub(in super::super) fn serialize<S: Serializer>(value: &i32, serializer: S) -> Result<S::Ok, S::Error> {
        match SpanType::try_from(*value) {
            Ok(SpanType::Inbound) => serializer.serialize_str("INBOUND"),
            Ok(SpanType::Outbound) => serializer.serialize_str("OUTBOUND"),
            Err(_) => serializer.serialize_i32(*value),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
        match Form::deserialize(deserializer)? {
            Form::Number(number) => Ok(number),
            Form::Name(name) => match &*name {
                "INBOUND" => Ok(SpanType::Inbound.into()),
                "OUTBOUND" => Ok(SpanType::Outbound.into()),
                other => Err(serde::de::Error::custom(format_args!(
                    "{other:?} is no type of a span; known are INBOUND and OUTBOUND"
                ))),
            },
        }
    }
}
