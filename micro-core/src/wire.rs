//! Requests and responses as names and values: the `Micro-*` headers that all of Go Micro's carriers share.
//!
//! This is the one place that knows them. Service, endpoint, content type and deadline are fields of a
//! [`Request`]; they become headers while it is written and are picked out while it is read,
//! without a map in between.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::{Error, Metadata, Request, Text};

/// Name of the native protocol, as nodes state it in their metadata.
pub const PROTOCOL: &str = "mucp";

/// The text of `Micro-Error` that ends a stream.
pub const END_OF_STREAM: &str = "EOS";

/// The header that names an event's topic, and makes an event of a message.
pub(crate) const TOPIC: &str = "Micro-Topic";

/// What of these travels with an event: what has no meaning of its own here, the event's topic and its id.
pub(crate) fn of_event(metadata: &Metadata) -> Metadata {
    let travels = |name: &str| matches!(field(name.as_bytes()), Field::Other | Field::Topic | Field::Id);
    let pairs = metadata.iter().filter(|(name, _)| travels(name));
    Metadata::from_distinct(pairs.map(|(name, value)| (name.into(), value.into())))
}

/// A header that the framework or its carriers give a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Field {
    /// `Micro-Service`: the name of the service called.
    Service,
    /// `Micro-Endpoint`: `Handler.Method`.
    Endpoint,
    /// `Micro-Method`: the same text, for old peers.
    Method,
    /// `Micro-Id`: the caller's id of the request.
    Id,
    /// `Micro-Stream`: the id of a stream; its presence marks a message of one.
    Stream,
    /// `Micro-Error`: the text of an error, or `EOS`.
    Error,
    /// `Micro-Topic`: its presence marks an event.
    Topic,
    /// `Micro-Protocol` and `Micro-Target`: switches of old protocols.
    Protocol,
    /// `Content-Type`: names the codec.
    ContentType,
    /// `Accept`: what the caller reads; always equal to the content type.
    Accept,
    /// `Timeout`: what is left for the call, in nanoseconds.
    Timeout,
    /// `X-Micro-Service`, read where the plain name is absent.
    LegacyService,
    /// `X-Micro-Endpoint`, read where the plain name is absent.
    LegacyEndpoint,
    /// `X-Micro-Method`, read where the plain name is absent.
    LegacyMethod,
    /// `X-Micro-Stream`, read where the plain name is absent.
    LegacyStream,
    /// Other doubles that Go Micro writes for its first version; ignored.
    Legacy,
    /// `Content-Length`.
    ContentLength,
    /// `Transfer-Encoding`.
    TransferEncoding,
    /// `Connection`.
    Connection,
    /// `Expect`.
    Expect,
    /// `Host`, `Keep-Alive`, `Date` and others that concern one connection only.
    Hop,
    /// Anything else: metadata.
    Other,
}

/// What a header means. Names are compared without regard to case.
#[inline]
pub fn field(name: &[u8]) -> Field {
    let known: &[(&[u8], Field)] = match name.len() {
        4 => &[(b"Host", Field::Hop), (b"Date", Field::Hop)],
        6 => &[(b"Accept", Field::Accept), (b"Expect", Field::Expect)],
        7 => &[(b"Timeout", Field::Timeout)],
        8 => &[(b"Micro-Id", Field::Id)],
        10 => &[
            (b"Connection", Field::Connection),
            (b"Keep-Alive", Field::Hop),
            (b"X-Micro-Id", Field::Legacy),
        ],
        11 => &[(b"Micro-Error", Field::Error), (b"Micro-Topic", Field::Topic)],
        12 => &[
            (b"Content-Type", Field::ContentType),
            (b"Micro-Method", Field::Method),
            (b"Micro-Stream", Field::Stream),
            (b"Micro-Target", Field::Protocol),
        ],
        13 => &[
            (b"Micro-Service", Field::Service),
            (b"X-Micro-Error", Field::Legacy),
        ],
        14 => &[
            (b"Content-Length", Field::ContentLength),
            (b"Micro-Endpoint", Field::Endpoint),
            (b"Micro-Protocol", Field::Protocol),
            (b"X-Micro-Method", Field::LegacyMethod),
            (b"X-Micro-Stream", Field::LegacyStream),
        ],
        15 => &[(b"X-Micro-Service", Field::LegacyService)],
        16 => &[(b"X-Micro-Endpoint", Field::LegacyEndpoint)],
        17 => &[(b"Transfer-Encoding", Field::TransferEncoding)],
        _ => &[],
    };
    // Nearly everybody writes the same case as we do, which is compared in one go.
    known
        .iter()
        .find(|(known, _)| *known == name)
        .or_else(|| known.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)))
        .map_or(Field::Other, |(_, field)| *field)
}

/// Writes the headers of a request: what Go Micro's client sends, and the request's metadata.
///
/// `id` is the number of the request on its carrier. Metadata under a name that means something here is left out:
/// the field counts.
pub fn write_request(request: &Request, id: &str, now: Instant, header: &mut impl FnMut(&str, &str)) {
    write_names(request, header);
    write_moment(request, id, now, header);
    travelling(&request.metadata).for_each(|(name, value)| header(name, value));
}

/// The part of [`write_request`] that is the same for every call of an endpoint. The names need no check.
pub(crate) fn write_names(request: &Request, header: &mut impl FnMut(&str, &str)) {
    header("Accept", &request.content_type);
    header("Content-Type", &request.content_type);
    header("Micro-Endpoint", &request.endpoint);
    header("Micro-Method", &request.endpoint);
    header("Micro-Service", &request.service);
}

/// The part of [`write_request`] that is another for every call, but for the metadata.
pub(crate) fn write_moment(request: &Request, id: &str, now: Instant, header: &mut impl FnMut(&str, &str)) {
    header("Micro-Id", id);
    if let Some(deadline) = request.deadline {
        let left = deadline.saturating_duration_since(now).as_nanos();
        // Written as 64 bits, which is quicker, and 584 years.
        header(
            "Timeout",
            itoa::Buffer::new().format(u64::try_from(left).unwrap_or(u64::MAX)),
        );
    }
}

/// The metadata that travels: not what goes under a name that means something here.
pub(crate) fn travelling(metadata: &Metadata) -> impl Iterator<Item = (&str, &str)> {
    metadata
        .iter()
        .filter(|(name, _)| field(name.as_bytes()) == Field::Other)
}

/// When a caller that sent this `Timeout` stops waiting. `None` when it is no number.
pub fn deadline(timeout: &str, now: Instant) -> Option<Instant> {
    now.checked_add(time_left(timeout.as_bytes())?)
}

/// What a `Timeout` leaves for the call. `None` when it is no number.
pub(crate) fn time_left(timeout: &[u8]) -> Option<Duration> {
    // Nearly everybody writes digits and nothing else.
    let nanoseconds = number(timeout).or_else(|| std::str::from_utf8(timeout).ok()?.trim().parse().ok())?;
    Some(Duration::from_nanos(nanoseconds))
}

/// A number of nothing but decimal digits.
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    let (first, rest) = digits.split_first()?;
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    rest.iter().try_fold(digit(first)?, |number, byte| {
        number.checked_mul(10)?.checked_add(digit(byte)?)
    })
}

/// A known content type as a constant, which costs nothing to clone.
pub(crate) fn content_type(text: &[u8]) -> Option<Text> {
    use crate::codec::{JSON, JSON_RPC, OCTET_STREAM, PROTO_RPC, PROTOBUF};
    static KNOWN: [Text; 5] = [PROTOBUF, JSON, PROTO_RPC, JSON_RPC, OCTET_STREAM];
    KNOWN.iter().find(|known| known.as_bytes() == text).cloned()
}

/// The text of `Micro-Error` for an error: its JSON, or the bare text of one that has nothing but a detail and
/// arrives as it is.
pub fn error_text(error: &Error) -> String {
    let detail = error.detail();
    if error.id().is_empty() && error.code() == 0 && travels_bare(detail) {
        detail.to_owned()
    } else {
        error.to_json()
    }
}

/// Whether a header carries the text unchanged, and nobody takes it for no error, the end of a stream or JSON.
fn travels_bare(text: &str) -> bool {
    !text.is_empty()
        && text != END_OF_STREAM
        && text.trim() == text
        && !text.starts_with('{')
        && !text.contains(char::is_control)
}

/// The body beside a `Micro-Error`: empty, but for formats with an envelope, whose readers in Go Micro fail
/// without one before they look at the header.
pub fn error_body(content_type: &str, error_text: &str) -> Bytes {
    crate::codec::error_body(content_type, error_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_known_whatever_their_case() {
        assert_eq!(field(b"MICRO-ENDPOINT"), Field::Endpoint);
        assert_eq!(field(b"Micro-ID"), Field::Id);
        assert_eq!(field(b"x-Micro-Service"), Field::LegacyService);
        assert_eq!(field(b"Foo"), Field::Other);
        assert_eq!(field(b""), Field::Other);
    }

    #[test]
    fn a_request_is_written_as_gos_client_does() {
        let now = Instant::now();
        let mut request = Request::new("interop.greeter", "Greeter.Hello", "");
        request.deadline = Some(now + Duration::from_secs(5));
        request.metadata.insert("Foo", "bar");
        request.metadata.insert("Micro-Service", "forged");
        let mut written = Vec::new();
        write_request(&request, "0", now, &mut |name, value| {
            written.push(format!("{name}: {value}"))
        });
        assert_eq!(
            written,
            [
                "Accept: application/protobuf",
                "Content-Type: application/protobuf",
                "Micro-Endpoint: Greeter.Hello",
                "Micro-Method: Greeter.Hello",
                "Micro-Service: interop.greeter",
                "Micro-Id: 0",
                "Timeout: 5000000000",
                "Foo: bar",
            ]
        );
    }

    #[test]
    fn an_error_that_a_header_would_change_travels_as_json() {
        assert_eq!(error_text(&Error::new("", 0, "just text")), "just text");
        for detail in ["", "EOS", " padded", "two\nlines", r#"{"code":409}"#] {
            let error = Error::new("", 0, detail);
            assert!(error_text(&error).starts_with('{'), "{detail:?}");
            assert_eq!(Error::from_wire(&error_text(&error)).detail(), detail);
        }
    }

    #[test]
    fn formats_with_an_envelope_repeat_the_error_in_it() {
        let body = error_body("application/json-rpc", r#"{"code":409}"#);
        assert_eq!(
            body,
            "{\"id\":\"\",\"result\":null,\"error\":\"{\\\"code\\\":409}\"}\n"
        );
        let body = error_body("application/proto-rpc", "just text");
        assert_eq!(body, "\0\0\0\x0b\x1a\x09just text\0\0\0\0");
        assert!(error_body("application/json", "just text").is_empty());
    }

    #[test]
    fn a_timeout_that_is_no_number_is_none() {
        let now = Instant::now();
        assert_eq!(deadline("5000000000", now), Some(now + Duration::from_secs(5)));
        assert_eq!(deadline("5s", now), None);
        assert_eq!(deadline("-1", now), None);
        assert!(deadline("18446744073709551615", now).is_some_and(|deadline| deadline > now));
    }
}
