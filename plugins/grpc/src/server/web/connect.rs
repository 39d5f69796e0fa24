//! What is Connect's own: its errors, its timeout, and bare messages.

use std::time::Duration;

use ::base64::Engine;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response as HttpResponse, StatusCode};
use micro_core::{Body, Error, Result};
use serde::Serialize;

use crate::status::{self, BASE64};

#[derive(Serialize)]
struct Failure<'a> {
    code: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<Detail<'a>>,
}

/// Go Micro's error, from which a caller learns id and code.
#[derive(Serialize)]
struct Detail<'a> {
    r#type: &'static str,
    value: String,
    debug: Debug<'a>,
}

#[derive(Serialize)]
struct Debug<'a> {
    id: &'a str,
    code: i32,
    detail: &'a str,
    status: &'a str,
}

#[derive(Serialize)]
struct EndOfStream<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure<'a>>,
}

impl<'a> Failure<'a> {
    fn new(error: &'a Error) -> Self {
        let (code, _) = code(error);
        let is_text = error.id().is_empty() && error.code() == 0;
        let detail = (!is_text).then(|| Detail {
            r#type: "errors.Error",
            value: BASE64.encode(status::go_micros(error)),
            debug: Debug {
                id: error.id(),
                code: error.code(),
                detail: error.detail(),
                status: error.status(),
            },
        });
        Self {
            code,
            message: error.detail(),
            details: detail.into_iter().collect(),
        }
    }
}

/// The name of an error's status, and the status of HTTP that Connect has for it.
fn code(error: &Error) -> (&'static str, StatusCode) {
    let (name, status) = match status::status_of(error) {
        1 => ("canceled", 499),
        3 => ("invalid_argument", 400),
        4 => ("deadline_exceeded", 504),
        5 => ("not_found", 404),
        6 => ("already_exists", 409),
        7 => ("permission_denied", 403),
        8 => ("resource_exhausted", 429),
        9 => ("failed_precondition", 400),
        10 => ("aborted", 409),
        11 => ("out_of_range", 400),
        12 => ("unimplemented", 501),
        13 => ("internal", 500),
        14 => ("unavailable", 503),
        15 => ("data_loss", 500),
        16 => ("unauthenticated", 401),
        _ => ("unknown", 500),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (name, status)
}

/// The answer to a unary call that failed.
pub(super) fn failure(error: &Error) -> HttpResponse<Body> {
    let mut answer = HttpResponse::new(json(&Failure::new(error)).into());
    *answer.status_mut() = code(error).1;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// The message that ends a stream.
pub(super) fn end_of_stream(error: Option<&Error>) -> Vec<u8> {
    json(&EndOfStream {
        error: error.map(Failure::new),
    })
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Texts and numbers can always be written.
    serde_json::to_vec(value).unwrap_or_default()
}

/// The one message of an answer.
pub(super) async fn only(body: Body) -> Result<Bytes> {
    let mut body = match body.try_into_single() {
        Ok(message) => return Ok(message),
        Err(body) => body,
    };
    let first = body
        .message()
        .await
        .ok_or_else(|| Error::server(500, "the stream ended where one message was due"))??;
    match body.message().await {
        None => Ok(first),
        Some(Err(error)) => Err(error),
        Some(Ok(_)) => Err(Error::server(
            501,
            "the endpoint answers with many messages; call it with application/connect+json or +proto",
        )),
    }
}

/// What is left of a call, from milliseconds in up to ten digits. `None` where it is something else.
pub(super) fn timeout(value: &[u8]) -> Option<Duration> {
    if !(1..=10).contains(&value.len()) || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let milliseconds = std::str::from_utf8(value).ok()?.parse().ok()?;
    Some(Duration::from_millis(milliseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_codes_and_statuses_of_connects_table() {
        for (number, name, status) in [
            (499, "canceled", 499),
            (400, "invalid_argument", 400),
            (408, "deadline_exceeded", 504),
            (404, "not_found", 404),
            (409, "already_exists", 409),
            (403, "permission_denied", 403),
            (429, "resource_exhausted", 429),
            (412, "failed_precondition", 400),
            (501, "unimplemented", 501),
            (500, "internal", 500),
            (503, "unavailable", 503),
            (401, "unauthenticated", 401),
            (418, "unknown", 500),
        ] {
            let (found, http) = code(&Error::new("x", number, ""));
            assert_eq!((found, http.as_u16()), (name, status));
        }
    }

    #[test]
    fn the_end_of_a_stream_is_json() {
        assert_eq!(end_of_stream(None), b"{}");
        let error = Error::new("", 0, "bare");
        assert_eq!(
            end_of_stream(Some(&error)),
            br#"{"error":{"code":"unknown","message":"bare"}}"#
        );
    }

    #[test]
    fn a_timeout_has_up_to_ten_digits() {
        assert_eq!(timeout(b"1500"), Some(Duration::from_millis(1500)));
        assert!(timeout(b"9999999999").is_some());
        for none in ["", "-1", "1s", "12345678901", "1.5", " 1"] {
            assert_eq!(timeout(none.as_bytes()), None, "{none}");
        }
    }
}
