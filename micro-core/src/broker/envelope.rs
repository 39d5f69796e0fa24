//! How Go Micro writes a message as one block of bytes: JSON with the headers and the body in base64.
//!
//! The payload of every broker whose backend has no headers of its own: HTTP, NATS, Kafka, Redis, NSQ.

use std::borrow::Cow;
use std::fmt;

use base64::engine::general_purpose::STANDARD;
use base64::{DecodeSliceError, Engine};
use bytes::Bytes;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::Message;
use crate::error::BROKER;
use crate::{Error, Metadata, Result};

/// What a message begins with, and what stands before and after its body, as it is written here and by Go Micro.
const START: &str = "{\"Header\":";
const BODY: &str = ",\"Body\":\"";
const END: &str = "\"}";

/// Writes a message, headers sorted by name: `{"Header":{…},"Body":"…"}`.
pub fn encode(message: &Message) -> Bytes {
    let mut headers: Vec<(&str, &str)> = message.header.iter().collect();
    headers.sort_unstable();
    let size = headers
        .iter()
        .map(|(name, value)| name.len() + value.len() + 6)
        .sum::<usize>();
    let encoded = message.body.len().div_ceil(3) * 4;
    let mut out = String::with_capacity(size + encoded + 24);
    out.push_str(START);
    out.push('{');
    for (index, (name, value)) in headers.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_json(&mut out, name);
        out.push(':');
        push_json(&mut out, value);
    }
    out.push('}');
    if message.body.is_empty() {
        out.push_str(",\"Body\":null}");
    } else {
        out.push_str(BODY);
        STANDARD.encode_string(&message.body, &mut out);
        out.push_str(END);
    }
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
    if let Some(message) = decode_usual(bytes) {
        return Ok(message);
    }
    let wrong = |problem: &dyn fmt::Display| {
        Error::bad_request(
            BROKER,
            format!("not a broker message of the form {{\"Header\":{{…}},\"Body\":\"base64\"}}: {problem}"),
        )
    };
    let envelope: Envelope<'_> = serde_json::from_slice(bytes).map_err(|problem| wrong(&problem))?;
    let body = match envelope.body {
        Some(body) => decode_body(body.as_bytes())
            .map_err(|problem| wrong(&format_args!("its body is no base64: {problem}")))?,
        None => Bytes::new(),
    };
    Ok(Message {
        header: envelope.header,
        body,
    })
}

/// Reads a message that is written as it always is, without looking for what JSON could have in the body. None where it
/// is not, for the reader of JSON to judge.
fn decode_usual(bytes: &[u8]) -> Option<Message> {
    let rest = bytes.strip_prefix(START.as_bytes())?;
    let (header, rest) = match rest.strip_prefix(b"{}") {
        Some(rest) => (Metadata::new(), rest),
        None => {
            let mut headers = serde_json::Deserializer::from_slice(rest).into_iter::<Headers>();
            let header = headers.next()?.ok()?.0;
            (header, rest.get(headers.byte_offset()..)?)
        }
    };
    let body = rest.strip_prefix(BODY.as_bytes())?.strip_suffix(END.as_bytes())?;
    // What has a quotation mark or an escape is no base64.
    Some(Message {
        header,
        body: decode_body(body).ok()?,
    })
}

fn decode_body(text: &[u8]) -> Result<Bytes, DecodeSliceError> {
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    // Of the right length at once, so that it need not be copied to be shared.
    let mut body = vec![0; (text.len() / 4 * 3).saturating_sub(padding)];
    let length = STANDARD.decode_slice(text, &mut body)?;
    body.truncate(length);
    Ok(body.into())
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
    fn a_message_is_the_same_however_its_json_is_written() {
        let usual = decode(CAPTURED.as_bytes()).unwrap();
        let spaced = CAPTURED.replace(',', " , ").replace(':', ": ");
        let turned = r#"{"Body":"eyJpZCI6Im4wIn0K","header":{"Micro-Topic":"interop.notice","Content-Type":"application/json","Micro-ID":"d7638041-bc0b-4a6b-a2dc-3c3b7ad5ba42"}}"#;
        let more = CAPTURED.replace("K\"}", "K\",\"Later\":\"}\"}");
        let escaped = CAPTURED.replace("eyJ", "ey\\u004a");
        assert!(decode_usual(CAPTURED.as_bytes()).is_some());
        for other in [&spaced, turned, &more, &escaped] {
            assert!(decode_usual(other.as_bytes()).is_none(), "{other}");
            let message = decode(other.as_bytes()).unwrap();
            assert_eq!(message.body, usual.body, "{other}");
            assert!(message.header.iter().eq(usual.header.iter()), "{other}");
        }
    }

    #[test]
    fn bodies_of_every_length_arrive_whole() {
        for length in 0..70_u8 {
            let body: Vec<u8> = (0..length).map(|byte| byte.wrapping_mul(37)).collect();
            let message = Message::new(body.clone()).with_header("A", "b");
            assert_eq!(decode(&encode(&message)).unwrap().body, body);
            assert_eq!(decode(&encode(&Message::new(body.clone()))).unwrap().body, body);
        }
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
            r#"{"Header":{},"Body":"a"}"#,
            r#"{"Header":{},"Body":"===="}"#,
            r#"{"Header":{},"Body":"aGk"}"#,
            r#"{"Header":{},"Body":"aGk="}}"#,
            r#"{"Header":{},"Body":"}"#,
        ] {
            let error = decode(wrong.as_bytes()).unwrap_err();
            assert_eq!(error.code(), 400, "{wrong}: {error}");
        }
    }
}
