//! Calls by GET, as Connect has them for methods without side effects: caches and browsers may repeat them.

use ::base64::Engine;
use ::base64::alphabet::URL_SAFE;
use ::base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderValue, Method, Response as HttpResponse, StatusCode, request};
use micro_core::{Body, Error};

use super::super::call::SERVER;
use super::{connect, text};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Whether a request looks like such a call.
pub(super) fn is_spoken(head: &request::Parts) -> bool {
    head.method == Method::GET
        && [b"encoding" as &[u8], b"message"]
            .iter()
            .all(|wanted| pairs(head).any(|(name, _)| name == *wanted))
}

/// Makes of the head that of a call by POST, and returns its message.
///
/// # Errors
///
/// The answer to what is no such call.
pub(super) fn into_post(head: &mut request::Parts) -> Result<Bytes, Box<HttpResponse<Body>>> {
    let refused = |detail: &'static str| Box::new(connect::failure(&Error::bad_request(SERVER, detail)));
    let (mut message, mut encoding, mut compression) = (None, None, None);
    let mut is_base64 = false;
    for (name, value) in pairs(head) {
        let value = decoded(value);
        match name {
            b"message" => message = Some(value),
            b"encoding" => encoding = Some(value),
            b"compression" => compression = Some(value),
            b"base64" => is_base64 = value == b"1",
            b"connect" if value != b"v1" => {
                return Err(refused(
                    "the parameter connect is not read here; write v1, or leave it out",
                ));
            }
            _ => {}
        }
    }
    let mut message =
        message.ok_or_else(|| refused("a call by GET has its message in the parameter message"))?;
    let content_type = match encoding.as_deref() {
        Some(b"json") => HeaderValue::from_static("application/json"),
        Some(b"proto") => HeaderValue::from_static("application/proto"),
        _ => {
            return Err(Box::new(text(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the parameter encoding is json or proto\n",
            )));
        }
    };
    if is_base64 {
        message = BASE64
            .decode(&message)
            .map_err(|_| refused("the parameter message is no base64 of the kind that is safe in URLs"))?;
    }
    if let Some(compression) = compression.filter(|compression| !compression.is_empty()) {
        let compression = HeaderValue::from_bytes(&compression)
            .map_err(|_| refused("the parameter compression is the name of none; use gzip or identity"))?;
        head.headers.insert(CONTENT_ENCODING, compression);
    }
    head.headers.insert(CONTENT_TYPE, content_type);
    head.method = Method::POST;
    Ok(message.into())
}

/// The parameters, as they travel.
fn pairs(head: &request::Parts) -> impl Iterator<Item = (&[u8], &[u8])> {
    let query = head.uri.query().unwrap_or_default().as_bytes();
    query.split(|byte| *byte == b'&').map(|pair| {
        let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        (&pair[..end], pair.get(end + 1..).unwrap_or_default())
    })
}

/// What a parameter's text means: `%XX` and, as in forms, `+` for a space. What is not encoded well stays as it is.
fn decoded(value: &[u8]) -> Vec<u8> {
    let digit = |at: usize| char::from(*value.get(at)?).to_digit(16);
    let mut bytes = Vec::with_capacity(value.len());
    let mut at = 0;
    while let Some(byte) = value.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'+', ..) => bytes.push(b' '),
            _ => bytes.push(*byte),
        }
        at += 1;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<(Vec<u8>, request::Parts), u16> {
        let request = http::Request::get(format!("/a.Greeter/Hello?{query}"));
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        match into_post(&mut head) {
            Ok(message) => Ok((message.to_vec(), head)),
            Err(refusal) => Err(refusal.status().as_u16()),
        }
    }

    #[test]
    fn a_message_is_read_from_the_query() {
        for (query, expected, content_type) in [
            (
                "encoding=json&message=%7B%22a%22:+1%7d",
                &b"{\"a\": 1}"[..],
                "application/json",
            ),
            (
                "connect=v1&encoding=proto&message=CgV3b3JsZA&base64=1",
                b"\n\x05world",
                "application/proto",
            ),
            (
                "message=CgV3b3JsZA%3D%3D&base64=1&encoding=proto",
                b"\n\x05world",
                "application/proto",
            ),
            (
                "message=-_8&base64=1&encoding=proto",
                b"\xfb\xff",
                "application/proto",
            ),
            ("encoding=json&message=", b"", "application/json"),
            ("encoding=json&message=100%&other", b"100%", "application/json"),
        ] {
            let (message, head) = read(query).unwrap();
            assert_eq!(message, expected, "{query}");
            assert_eq!(
                (head.headers[CONTENT_TYPE].as_bytes(), head.method),
                (content_type.as_bytes(), Method::POST)
            );
            assert!(!head.headers.contains_key(CONTENT_ENCODING));
        }
        let (_, head) = read("encoding=json&message=x&compression=gzip").unwrap();
        assert_eq!(head.headers[CONTENT_ENCODING], "gzip");
    }

    #[test]
    fn what_is_no_call_is_refused() {
        for (query, status) in [
            ("", 400),
            ("encoding=json", 400),
            ("message=x", 415),
            ("message=x&encoding=connect%2Bjson", 415),
            ("message=x&encoding=json&connect=v2", 400),
            ("message=%25%25&encoding=json&base64=1", 400),
            ("message=x&encoding=json&compression=%0a", 400),
        ] {
            assert_eq!(read(query).unwrap_err(), status, "{query}");
        }
    }
}
