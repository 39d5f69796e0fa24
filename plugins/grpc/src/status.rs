//! Errors as `grpc-status`, `grpc-message` and `grpc-status-details-bin`, and back.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, HeaderName, HeaderValue};
use micro_core::Error;
use prost::Message;

pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// Written with or without padding, read either way.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How long `grpc-message` may be, in bytes as it travels: callers accept trailers of 8 KiB at least.
const MESSAGE_LIMIT: usize = 4 * 1024;
/// How long the text may be that is repeated in the details.
const DETAILS_LIMIT: usize = 1024;

/// The type of the details, by which Go Micro knows its own.
const DETAILS_TYPE: &str = "type.googleapis.com/errors.Error";

pub(crate) const OK: u16 = 0;
const CANCELLED: u16 = 1;
const UNKNOWN: u16 = 2;
const INVALID_ARGUMENT: u16 = 3;
const DEADLINE_EXCEEDED: u16 = 4;
const NOT_FOUND: u16 = 5;
const ALREADY_EXISTS: u16 = 6;
const PERMISSION_DENIED: u16 = 7;
const RESOURCE_EXHAUSTED: u16 = 8;
const FAILED_PRECONDITION: u16 = 9;
const ABORTED: u16 = 10;
const OUT_OF_RANGE: u16 = 11;
const UNIMPLEMENTED: u16 = 12;
const INTERNAL: u16 = 13;
const UNAVAILABLE: u16 = 14;
const UNAUTHENTICATED: u16 = 16;

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// Go Micro's `errors.Error`.
#[derive(Clone, PartialEq, Message)]
struct Details {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(int32, tag = "2")]
    code: i32,
    #[prost(string, tag = "3")]
    detail: String,
    #[prost(string, tag = "4")]
    status: String,
}

/// The status of an error: Go Micro's table, and for the codes that it leaves out what comes nearest.
pub(crate) fn status_of(error: &Error) -> u16 {
    match error.code() {
        200 => OK,
        // How Go Micro's router says that there is no such method, for which gRPC has a word of its own.
        404 if error.detail().starts_with("rpc: can't find ") => UNIMPLEMENTED,
        400 if error
            .detail()
            .starts_with("rpc: service/endpoint request ill-formed") =>
        {
            UNIMPLEMENTED
        }
        400 => INVALID_ARGUMENT,
        408 => DEADLINE_EXCEEDED,
        404 => NOT_FOUND,
        409 => ALREADY_EXISTS,
        403 => PERMISSION_DENIED,
        412 => FAILED_PRECONDITION,
        501 => UNIMPLEMENTED,
        500 => INTERNAL,
        502 | 503 => UNAVAILABLE,
        401 => UNAUTHENTICATED,
        413 | 429 | 431 => RESOURCE_EXHAUSTED,
        415 => UNIMPLEMENTED,
        499 => CANCELLED,
        _ => UNKNOWN,
    }
}

/// The code of a status that came without more.
fn code_of(status: u16) -> i32 {
    match status {
        OK => 200,
        CANCELLED => 499,
        INVALID_ARGUMENT | OUT_OF_RANGE => 400,
        DEADLINE_EXCEEDED => 408,
        NOT_FOUND => 404,
        ALREADY_EXISTS | ABORTED => 409,
        PERMISSION_DENIED => 403,
        RESOURCE_EXHAUSTED => 429,
        FAILED_PRECONDITION => 412,
        UNIMPLEMENTED => 501,
        UNAVAILABLE => 503,
        UNAUTHENTICATED => 401,
        _ => 500,
    }
}

/// Writes how a call ended. A structured error travels as JSON in the message, as Go Micro has it, and in the details;
/// one that has nothing but a text as that text.
pub(crate) fn write(error: &Error, headers: &mut HeaderMap) {
    let is_text = error.id().is_empty() && error.code() == 0 && !error.detail().starts_with('{');
    // An error is none that says it went well.
    let status = match status_of(error) {
        OK => UNKNOWN,
        status => status,
    };
    headers.insert(GRPC_STATUS, HeaderValue::from(status));
    if is_text && error.detail().len() <= MESSAGE_LIMIT / 3 {
        headers.insert(GRPC_MESSAGE, percent_encoded(error.detail()));
        return;
    }
    let json = error.to_json();
    if json.len() <= DETAILS_LIMIT
        && let Ok(details) = HeaderValue::from_maybe_shared(BASE64.encode(details(error, status, &json)))
    {
        headers.insert(GRPC_DETAILS, details);
    }
    if json.len() <= MESSAGE_LIMIT / 3 {
        headers.insert(GRPC_MESSAGE, percent_encoded(&json));
        return;
    }
    headers.insert(GRPC_MESSAGE, percent_encoded(&shortened(error, json)));
}

fn details(error: &Error, status: u16, json: &str) -> Vec<u8> {
    let any = Any {
        type_url: DETAILS_TYPE.to_owned(),
        value: go_micros(error),
    };
    Status {
        code: i32::from(status),
        message: json.to_owned(),
        details: vec![any],
    }
    .encode_to_vec()
}

/// The error as Go Micro's message.
pub(crate) fn go_micros(error: &Error) -> Vec<u8> {
    let details = Details {
        id: error.id().to_owned(),
        code: error.code(),
        detail: error.detail().to_owned(),
        status: error.status().to_owned(),
    };
    details.encode_to_vec()
}

/// The JSON of an error whose detail is cut until it fits.
fn shortened(error: &Error, json: String) -> String {
    let mut json = json;
    let mut keep = error.detail().len().min(MESSAGE_LIMIT);
    while percent_encoded(&json).len() > MESSAGE_LIMIT && keep > 0 {
        keep = keep * 3 / 4;
        while !error.detail().is_char_boundary(keep) {
            keep -= 1;
        }
        let detail = format!(
            "{} (cut: the detail has {} bytes)",
            &error.detail()[..keep],
            error.detail().len()
        );
        json = Error::new(error.id(), error.code(), detail).to_json();
    }
    json
}

/// Reads how a call ended. `None` where the headers do not say it.
pub(crate) fn read(headers: &HeaderMap) -> Option<Result<(), Error>> {
    let status = headers.get(GRPC_STATUS)?.as_bytes();
    if status == b"0" {
        return Some(Ok(()));
    }
    Some(
        match std::str::from_utf8(status)
            .ok()
            .and_then(|text| text.parse().ok())
        {
            Some(OK) => Ok(()),
            status => Err(error_of(status.unwrap_or(UNKNOWN), headers)),
        },
    )
}

fn error_of(status: u16, headers: &HeaderMap) -> Error {
    if let Some(error) = headers.get(GRPC_DETAILS).and_then(read_details) {
        return error;
    }
    let message = headers
        .get(GRPC_MESSAGE)
        .map(|text| percent_decoded(text.as_bytes()));
    let message = message.unwrap_or_default();
    let error = Error::from_wire(&message);
    // What was no object of Go Micro's is told as the text that it is.
    if error.code() != 0 || !error.id().is_empty() {
        return error;
    }
    Error::client(code_of(status), error.detail().to_owned())
}

fn read_details(value: &HeaderValue) -> Option<Error> {
    let status = Status::decode(BASE64.decode(value.as_bytes()).ok()?.as_slice()).ok()?;
    let any = status.details.into_iter().next()?;
    if any.type_url != DETAILS_TYPE {
        return None;
    }
    let details = Details::decode(any.value.as_slice()).ok()?;
    Some(Error::new(details.id, details.code, details.detail))
}

/// A text in which everything but printable ASCII is written as `%XX`.
fn percent_encoded(text: &str) -> HeaderValue {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | 0..=0x1f | 0x7f.. => {
                encoded.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            _ => encoded.push(byte),
        }
    }
    HeaderValue::from_maybe_shared(encoded).unwrap_or(HeaderValue::from_static(""))
}

/// What was meant by a percent-encoded text; what is not encoded well stays as it is.
fn percent_decoded(text: &[u8]) -> String {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        if *byte == b'%'
            && let (Some(high), Some(low)) = (digit(text.get(at + 1)), digit(text.get(at + 2)))
        {
            decoded.push((high * 16 + low) as u8);
            at += 3;
        } else {
            decoded.push(*byte);
            at += 1;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(error: &Error) -> HeaderMap {
        let mut headers = HeaderMap::new();
        write(error, &mut headers);
        headers
    }

    #[test]
    fn an_error_is_written_as_go_micro_does() {
        let headers = written(&Error::conflict("interop.fail", "asked to fail: world"));
        assert_eq!(headers["grpc-status"], "6");
        assert_eq!(
            headers["grpc-message"],
            r#"{"id":"interop.fail","code":409,"detail":"asked to fail: world","status":"Conflict"}"#
        );
        assert_eq!(
            headers["grpc-status-details-bin"],
            "CAYSVHsiaWQiOiJpbnRlcm9wLmZhaWwiLCJjb2RlIjo0MDksImRldGFpbCI6ImFza2VkIHRvIGZhaWw6IHdvcmxkIiwic3RhdHVzIjoi\
             Q29uZmxpY3QifRpVCiB0eXBlLmdvb2dsZWFwaXMuY29tL2Vycm9ycy5FcnJvchIxCgxpbnRlcm9wLmZhaWwQmQMaFGFza2VkIHRvIGZh\
             aWw6IHdvcmxkIghDb25mbGljdA"
        );
        let headers = written(&Error::new("", 0, "plain: asked to fail: world"));
        assert_eq!(headers["grpc-status"], "2");
        assert_eq!(headers["grpc-message"], "plain: asked to fail: world");
        assert!(!headers.contains_key("grpc-status-details-bin"));
    }

    #[test]
    fn what_was_written_is_read_back_from_the_details_and_from_the_message() {
        for detail in [
            "",
            "as asked",
            "Köln \"東京\" 🚀 100%",
            "a\r\nb\0",
            "{\"json\":1}",
            " spaces ",
        ] {
            let mut headers = written(&Error::new("kit.fail", 409, detail));
            for _ in 0..2 {
                let error = read(&headers).unwrap().unwrap_err();
                assert_eq!(
                    (error.id(), error.code(), error.detail()),
                    ("kit.fail", 409, detail)
                );
                headers.remove(GRPC_DETAILS);
            }
        }
    }

    #[test]
    fn an_error_of_a_foreign_service_gets_a_code() {
        let mut headers = HeaderMap::new();
        headers.insert(GRPC_STATUS, HeaderValue::from_static("5"));
        headers.insert(GRPC_MESSAGE, HeaderValue::from_static("no%20such %zz thing%"));
        let error = read(&headers).unwrap().unwrap_err();
        assert_eq!(
            (error.id(), error.code(), error.detail()),
            ("go.micro.client", 404, "no such %zz thing%")
        );
        headers.insert(GRPC_STATUS, HeaderValue::from_static("99999999"));
        assert_eq!(read(&headers).unwrap().unwrap_err().code(), 500);
        headers.insert(GRPC_STATUS, HeaderValue::from_static("00"));
        assert!(read(&headers).unwrap().is_ok());
        assert!(read(&HeaderMap::new()).is_none());
    }

    #[test]
    fn codes_map_both_ways_as_in_go_micro() {
        for (code, status) in [
            (400, 3),
            (408, 4),
            (404, 5),
            (409, 6),
            (403, 7),
            (412, 9),
            (501, 12),
            (500, 13),
            (503, 14),
            (401, 16),
        ] {
            assert_eq!(status_of(&Error::new("x", code, "")), status);
            assert_eq!(code_of(status), code);
        }
        assert_eq!(status_of(&Error::new("x", 418, "")), 2);
        assert_eq!(code_of(2), 500);
        assert_eq!(
            status_of(&Error::not_found("go.micro.server", "rpc: can't find service X")),
            12
        );
        assert_eq!(written(&Error::new("x", 200, "odd"))["grpc-status"], "2");
    }

    #[test]
    fn a_very_long_error_fits_into_trailers() {
        for letter in ["x", "東", "\n"] {
            let headers = written(&Error::internal("kit", letter.repeat(100_000)));
            let size: usize = headers.values().map(HeaderValue::len).sum();
            assert!(size <= MESSAGE_LIMIT + 10, "{size}");
            let error = read(&headers).unwrap().unwrap_err();
            assert_eq!((error.id(), error.code()), ("kit", 500));
            assert!(error.detail().contains("cut: the detail has"), "{error}");
        }
        let headers = written(&Error::new("", 0, "text ".repeat(10_000)));
        assert!(headers["grpc-message"].len() <= MESSAGE_LIMIT);
    }
}
