//! How Go Micro writes a message as one block of bytes: JSON with the headers and the body in base64.
//!
//! The payload of every broker whose backend has no headers of its own: HTTP, NATS, Kafka, Redis, NSQ.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::Message;
use crate::error::BROKER;
use crate::{Error, Metadata, Result};

/// Writes a message, headers sorted by name: `{"Header":{…},"Body":"…"}`.
pub fn encode(message: &Message) -> Bytes {
    let mut headers: Vec<(&str, &str)> = message.header.iter().collect();
    headers.sort_unstable();
    let size = headers
        .iter()
        .map(|(name, value)| name.len() + value.len() + 6)
        .sum::<usize>();
    let mut out = String::with_capacity(size + message.body.len().div_ceil(3) * 4 + 24);
    out.push_str("{\"Header\":{");
    for (index, (name, value)) in headers.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_json(&mut out, name);
        out.push(':');
        push_json(&mut out, value);
    }
    out.push_str("},\"Body\":");
    if message.body.is_empty() {
        out.push_str("null");
    } else {
        out.push('"');
        STANDARD.encode_string(&message.body, &mut out);
        out.push('"');
    }
    out.push('}');
    out.into()
}

fn push_json(out: &mut String, text: &str) {
    let is_plain = |byte: u8| (b' '..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
    if text.bytes().all(is_plain) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}

/// Reads a message. Names of the two fields may have any case, and either field may be null or missing.
///
/// # Errors
///
/// 400 when the bytes are no such JSON, or the body is not base64.
pub fn decode(bytes: &[u8]) -> Result<Message> {
    let wrong = |problem: &dyn fmt::Display| {
        Error::bad_request(
            BROKER,
            format!("not a broker message of the form {{\"Header\":{{…}},\"Body\":\"base64\"}}: {problem}"),
        )
    };
    let envelope: Envelope<'_> = serde_json::from_slice(bytes).map_err(|problem| wrong(&problem))?;
    let body = match envelope.body {
        Some(body) => STANDARD
            .decode(body.as_bytes())
            .map_err(|problem| wrong(&format_args!("its body is no base64: {problem}")))?,
        None => Vec::new(),
    };
    Ok(Message {
        header: envelope.header,
        body: body.into(),
    })
}

#[derive(Default)]
struct Envelope<'a> {
    header: Metadata,
    body: Option<Cow<'a, str>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Envelope<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Envelope<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object with Header and Body")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut envelope = Envelope::default();
                // Go, which writes `Header` and `Body`, reads them whatever their case.
                while let Some(name) = map.next_key::<Cow<'de, str>>()? {
                    if name.eq_ignore_ascii_case("header") {
                        let headers: Option<Headers> = map.next_value()?;
                        envelope.header = headers.unwrap_or_default().0;
                    } else if name.eq_ignore_ascii_case("body") {
                        let body: Option<Lent<'de>> = map.next_value()?;
                        envelope.body = body.map(|body| body.0);
                    } else {
                        map.next_value::<serde::de::IgnoredAny>()?;
                    }
                }
                Ok(envelope)
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

/// A string that is borrowed where it has no escapes. (Serde borrows inside an `Option` only when told so.)
#[derive(Deserialize)]
struct Lent<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Default)]
struct Headers(Metadata);

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Headers;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
                let mut headers = std::collections::BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, String>()? {
                    headers.insert(name, value);
                }
                let pairs = headers
                    .into_iter()
                    .map(|(name, value)| (name.into(), value.into()));
                Ok(Headers(Metadata::from_distinct(pairs)))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Go Micro 5.30 publishes it.
    const CAPTURED: &str = r#"{"Header":{"Content-Type":"application/json","Micro-ID":"d7638041-bc0b-4a6b-a2dc-3c3b7ad5ba42","Micro-Topic":"interop.notice"},"Body":"eyJpZCI6Im4wIn0K"}"#;

    #[test]
    fn a_captured_message_is_read_and_written_again_to_the_byte() {
        let message = decode(CAPTURED.as_bytes()).unwrap();
        assert_eq!(message.header.get("micro-topic"), Some("interop.notice"));
        assert_eq!(&message.body[..], b"{\"id\":\"n0\"}\n");
        assert_eq!(encode(&message), CAPTURED);
    }

    #[test]
    fn nothing_is_null_and_null_is_nothing() {
        assert_eq!(encode(&Message::default()), r#"{"Header":{},"Body":null}"#);
        for empty in [
            "{}",
            r#"{"Header":null,"Body":null}"#,
            r#"{"header":{},"body":""}"#,
        ] {
            let message = decode(empty.as_bytes()).unwrap();
            assert!(message.header.is_empty() && message.body.is_empty(), "{empty}");
        }
    }

    #[test]
    fn what_json_must_escape_arrives_as_it_was() {
        let message = Message::new("x").with_header("Na\"me\\", "grüße\n\u{1}");
        let again = decode(&encode(&message)).unwrap();
        assert_eq!(again.header.get("Na\"me\\"), Some("grüße\n\u{1}"));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for wrong in [
            "",
            "[]",
            "{",
            r#"{"Body":"%"}"#,
            r#"{"Body":7}"#,
            r#"{"Header":{"a":1}}"#,
        ] {
            let error = decode(wrong.as_bytes()).unwrap_err();
            assert_eq!(error.code(), 400, "{wrong}: {error}");
        }
    }
}
