//! The one error of the framework: Go Micro's `{id, code, detail, status}` on the wire, plus kind and source inside.

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::Text;

/// What every fallible operation of the framework returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why something failed, in the words that code decides on.
///
/// A kind follows from the [code](Error::code); people read the [detail](Error::detail).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// 400: the request is wrong and will stay so.
    BadRequest,
    /// 401: who is calling?
    Unauthorized,
    /// 403: not for this caller.
    Forbidden,
    /// 404: no such service, endpoint or thing.
    NotFound,
    /// 405: it exists, but not in this way.
    MethodNotAllowed,
    /// 408: the time was up.
    Timeout,
    /// 409: in conflict with what is there.
    Conflict,
    /// 413, 431: larger than a limit; the detail names the limit.
    TooLarge,
    /// 415: no codec for the content type.
    UnsupportedContentType,
    /// 429: too many at once.
    TooManyRequests,
    /// 499: the caller went away.
    Cancelled,
    /// 502, 503: nobody there to do it now; it may work later or elsewhere.
    Unavailable,
    /// 500 and every other code of 500 and above.
    Internal,
    /// Any other code, and errors of handlers that gave none.
    Other,
}

/// A failure: what failed, where, and what to do about it.
///
/// On the wire this is the JSON object `{"id","code","detail","status"}`. An error made here may keep its
/// [source](std::error::Error::source); the source does not travel.
pub struct Error(Box<Inner>);

struct Inner {
    id: Text,
    code: i32,
    detail: Cow<'static, str>,
    status: Text,
    reached: Reached,
    source: Option<Source>,
}

/// What this side knows of whether the far handler ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    /// It ran, or the question does not arise.
    Answered,
    NeverStarted,
    /// The connection broke before the answer.
    Unanswered,
}

/// Id of errors that the calling side makes.
pub(crate) const CLIENT: Text = Text::from_static("go.micro.client");
/// Id of errors that the serving side makes.
pub(crate) const SERVER: Text = Text::from_static("go.micro.server");
/// The id of errors that a broker made.
pub(crate) const BROKER: Text = Text::from_static("go.micro.broker");

impl Error {
    /// An error with a code of its own. `status` becomes the standard text of the code.
    pub fn new(id: impl Into<Text>, code: i32, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            id: id.into(),
            code,
            detail: detail.into(),
            status: status_text(code),
            reached: Reached::Answered,
            source: None,
        }))
    }

    /// 400: the request is wrong.
    pub fn bad_request(id: impl Into<Text>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(id, 400, detail)
    }

    /// 401: the caller did not say who it is, or not convincingly.
    pub fn unauthorized(id: impl Into<Text>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(id, 401, detail)
    }

    /// 403: the caller may not.
    pub fn forbidden(id: impl Into<Text>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(id, 403, detail)
    }

    /// 404: what was asked for does not exist.
    pub fn not_found(id: impl Into<Text>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(id, 404, detail)
    }

    /// 405: it exists, but cannot be used in this way.
    pub fn method_not_allowed(id: impl Into<Text>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(id, 405, detail)
    }

    /// 408: the time was up.
    pub fn timeout(id: impl Into<Text>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(id, 408, detail)
    }

    /// 409: in conflict with what is there.
    pub fn conflict(id: impl Into<Text>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(id, 409, detail)
    }

    /// 413: larger than a limit. The detail should name the limit.
    pub fn too_large(id: impl Into<Text>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(id, 413, detail)
    }

    /// 429: too many at once.
    pub fn too_many_requests(id: impl Into<Text>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(id, 429, detail)
    }

    /// 500: something broke on this side.
    pub fn internal(id: impl Into<Text>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(id, 500, detail)
    }

    /// 503: nobody there to do it now.
    pub fn unavailable(id: impl Into<Text>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(id, 503, detail)
    }

    /// An error of the calling side, id `go.micro.client`.
    pub fn client(code: i32, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(CLIENT, code, detail)
    }

    /// An error of the serving side, id `go.micro.server`.
    pub fn server(code: i32, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(SERVER, code, detail)
    }

    /// Keeps what caused this error, for logs and [`std::error::Error::source`].
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Puts words before the detail, such as the service, node or address where it happened.
    #[must_use]
    pub fn context(mut self, before: impl fmt::Display) -> Self {
        self.0.detail = Cow::Owned(format!("{before}: {}", self.0.detail));
        self
    }

    /// States that the far handler surely never ran, so that the same request may go to another node.
    #[must_use]
    pub fn never_started(mut self) -> Self {
        self.0.reached = Reached::NeverStarted;
        self
    }

    /// States that the connection broke before the answer, so that nobody here knows whether the handler ran.
    #[must_use]
    pub fn unanswered(mut self) -> Self {
        self.0.reached = Reached::Unanswered;
        self
    }

    /// Whether the far handler surely never ran: refused, not sent, node gone.
    ///
    /// Only such a failure is tried again elsewhere by default. It is a statement of this side: it does not
    /// travel, and an error that a peer answered never has it.
    pub fn is_never_started(&self) -> bool {
        self.0.reached == Reached::NeverStarted
    }

    /// Whether the connection broke before the answer. As with [`is_never_started`](Self::is_never_started), this
    /// does not travel.
    pub fn is_unanswered(&self) -> bool {
        self.0.reached == Reached::Unanswered
    }

    /// Where the error was made: a service, or `go.micro.client`, `go.micro.server` …
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The code, with the meaning of HTTP's status codes. 0 when a peer gave none.
    pub fn code(&self) -> i32 {
        self.0.code
    }

    /// What happened, for people.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The standard text of the code, such as `Not Found`; empty for codes without one.
    pub fn status(&self) -> &str {
        &self.0.status
    }

    /// The code as words to decide on.
    pub fn kind(&self) -> ErrorKind {
        match self.0.code {
            400 => ErrorKind::BadRequest,
            401 => ErrorKind::Unauthorized,
            403 => ErrorKind::Forbidden,
            404 => ErrorKind::NotFound,
            405 => ErrorKind::MethodNotAllowed,
            408 => ErrorKind::Timeout,
            409 => ErrorKind::Conflict,
            413 | 431 => ErrorKind::TooLarge,
            415 => ErrorKind::UnsupportedContentType,
            429 => ErrorKind::TooManyRequests,
            499 => ErrorKind::Cancelled,
            502 | 503 => ErrorKind::Unavailable,
            500.. => ErrorKind::Internal,
            _ => ErrorKind::Other,
        }
    }

    /// The JSON that travels: fields in Go Micro's order, empty and zero ones left out.
    pub fn to_json(&self) -> String {
        let wire = WireError {
            id: Cow::Borrowed(&self.0.id),
            code: self.0.code,
            detail: Cow::Borrowed(&self.0.detail),
            status: Cow::Borrowed(&self.0.status),
        };
        serde_json::to_string(&wire).unwrap_or_else(|_| self.0.detail.to_string())
    }

    /// Reads an error as a peer sent it: the JSON object, or any other text, which becomes the detail.
    pub fn from_wire(text: &str) -> Self {
        // Serde would read an array as the fields in their order.
        let object = text.trim_start().starts_with('{').then_some(text);
        match object.and_then(|object| serde_json::from_str::<WireError<'_>>(object).ok()) {
            Some(wire) => Self(Box::new(Inner {
                status: if wire.status.is_empty() {
                    status_text(wire.code)
                } else {
                    wire.status.into()
                },
                id: wire.id.into(),
                code: wire.code,
                detail: Cow::Owned(wire.detail.into_owned()),
                reached: Reached::Answered,
                source: None,
            })),
            None => Self::new(Text::new(), 0, text.to_owned()),
        }
    }
}

/// The object on the wire. Unknown fields are ignored, as Go ignores them.
#[derive(Serialize, Deserialize)]
struct WireError<'a> {
    #[serde(default, skip_serializing_if = "str::is_empty")]
    id: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "is_zero")]
    code: i32,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    detail: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    status: Cow<'a, str>,
}

fn is_zero(code: &i32) -> bool {
    *code == 0
}

fn status_text(code: i32) -> Text {
    u16::try_from(code)
        .ok()
        .and_then(|code| StatusCode::from_u16(code).ok())
        .and_then(|status| status.canonical_reason())
        .map_or(Text::new(), Text::from_static)
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.detail.is_empty() {
            formatter.write_str(&self.0.status)?;
        } else {
            formatter.write_str(&self.0.detail)?;
        }
        match (self.0.id.is_empty(), self.0.code) {
            (true, 0) => Ok(()),
            (true, code) => write!(formatter, " ({code})"),
            (false, 0) => write!(formatter, " ({})", self.0.id),
            (false, code) => write!(formatter, " ({} {code})", self.0.id),
        }
    }
}

/// Readable, because this is what a program prints whose `main` returns the error; `{:#?}` shows the fields.
impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !formatter.alternate() {
            fmt::Display::fmt(self, formatter)?;
            return match std::error::Error::source(self) {
                Some(source) if !self.0.detail.contains(&source.to_string()) => {
                    write!(formatter, ", caused by: {source}")
                }
                _ => Ok(()),
            };
        }
        formatter
            .debug_struct("Error")
            .field("id", &self.0.id)
            .field("code", &self.0.code)
            .field("detail", &self.0.detail)
            .field("status", &self.0.status)
            .field("reached", &self.0.reached)
            .field("source", &self.0.source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// As in Go Micro, two errors are equal when their codes are.
/// The cause behind all others, which mostly says best what happened: `Connection refused (os error 111)`. An error
/// without a source is its own.
pub fn first_cause<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> &'a (dyn std::error::Error + 'static) {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause
}

/// What an error says, with its first cause where that is not said already: `client error (Connect): refused`.
pub fn with_first_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let text = error.to_string();
    let first = first_cause(error).to_string();
    match text.contains(&first) {
        true => text,
        false => format!("{text}: {first}"),
    }
}

impl PartialEq for Error {
    fn eq(&self, other: &Self) -> bool {
        self.0.code == other.0.code
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_is_what_go_writes() {
        let error = Error::conflict("interop.fail", "asked to fail: world");
        assert_eq!(
            error.to_json(),
            r#"{"id":"interop.fail","code":409,"detail":"asked to fail: world","status":"Conflict"}"#
        );
        assert_eq!(Error::new("", 0, "plain").to_json(), r#"{"detail":"plain"}"#);
        assert_eq!(
            Error::new("x", 299, "odd").to_json(),
            r#"{"id":"x","code":299,"detail":"odd"}"#
        );
    }

    #[test]
    fn what_was_written_is_read_back() {
        let error = Error::from_wire(&Error::not_found("a", "b \"c\"\n").to_json());
        assert_eq!(
            (error.id(), error.code(), error.detail()),
            ("a", 404, "b \"c\"\n")
        );
        assert_eq!(error.status(), "Not Found");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn text_that_is_no_object_becomes_the_detail() {
        for text in [
            "rpc: can't find service X",
            "",
            "[1]",
            "[]",
            "[\"id\",409]",
            "17",
            "{\"code\":\"x\"}",
            "{",
        ] {
            let error = Error::from_wire(text);
            assert_eq!((error.detail(), error.code()), (text, 0));
        }
    }

    #[test]
    fn display_says_detail_id_and_code() {
        assert_eq!(
            Error::client(503, "no node").to_string(),
            "no node (go.micro.client 503)"
        );
        assert_eq!(Error::from_wire("text").to_string(), "text");
        assert_eq!(
            format!("{:?}", Error::client(503, "no node")),
            "no node (go.micro.client 503)"
        );
        let caused = Error::client(503, "no node").with_source("cable cut");
        assert_eq!(
            format!("{caused:?}"),
            "no node (go.micro.client 503), caused by: cable cut"
        );
        let told = Error::client(503, "refused").context("service greeter, node 1");
        assert_eq!(told.detail(), "service greeter, node 1: refused");
    }
}
