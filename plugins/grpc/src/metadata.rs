//! Metadata as headers, and headers as metadata.

use base64::Engine;
use http::{HeaderMap, HeaderName, HeaderValue};
use micro_core::wire::{Field, field};
use micro_core::{Error, Metadata, Result, Text};

use crate::status::BASE64;

/// The name of a header that repeats the format of a message where the content type of gRPC cannot say it.
pub(crate) const X_CONTENT_TYPE: HeaderName = HeaderName::from_static("x-content-type");
pub(crate) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
pub(crate) const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
pub(crate) const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
/// Go Micro's own timeout, in nanoseconds.
pub(crate) const TIMEOUT: HeaderName = HeaderName::from_static("timeout");
/// Says whether a call is of one message. On gRPC's wire such calls and streams look alike, and a call may begin before
/// it is seen which one it is. Only callers of this transport say it; for others it is seen, or guessed.
const KIND: HeaderName = HeaderName::from_static("micro-kind");
const UNARY: HeaderValue = HeaderValue::from_static("unary");

/// What stands before the names of an answer's metadata that travel after its messages.
const TRAILER: &str = "grpc-trailer-";

/// Says of a call that it has one message.
pub(crate) fn write_unary(headers: &mut HeaderMap) {
    headers.insert(KIND, UNARY);
}

/// Whether the caller said that there is one message.
pub(crate) fn is_unary(headers: &HeaderMap) -> bool {
    headers.get(KIND).is_some_and(|kind| *kind == UNARY)
}

/// Whether a header is gRPC's or HTTP/2's own and no metadata. The names that mean something to the framework are not
/// looked at here.
fn is_protocols(name: &str) -> bool {
    match name.len() {
        2 => name.eq_ignore_ascii_case("te"),
        7 => name.eq_ignore_ascii_case("upgrade"),
        10 => name.eq_ignore_ascii_case(KIND.as_str()),
        14 | 16
            if name.eq_ignore_ascii_case("x-content-type")
                || name.eq_ignore_ascii_case("proxy-connection") =>
        {
            true
        }
        _ => name
            .get(..5)
            .is_some_and(|start| start.eq_ignore_ascii_case("grpc-")),
    }
}

/// Whether a pair of metadata travels.
fn travels(name: &str) -> bool {
    field(name.as_bytes()) == Field::Other && !is_protocols(name)
}

/// Whether a header that came is metadata.
fn arrives(name: &str) -> bool {
    matches!(
        field(name.as_bytes()),
        Field::Other | Field::Topic | Field::Protocol
    ) && !is_protocols(name)
}

fn is_binary(name: &str) -> bool {
    name.len() > 4
        && name
            .get(name.len() - 4..)
            .is_some_and(|end| end.eq_ignore_ascii_case("-bin"))
}

/// Adds metadata to headers. A value under a name that ends in `-bin` is base64, as on the wire.
pub(crate) fn write(metadata: &Metadata, headers: &mut HeaderMap) -> Result<()> {
    write_all(metadata.iter().filter(|(name, _)| travels(name)), headers)
}

/// Those metadata of an answer that travel after its messages. Boxed, because there are hardly ever any.
pub(crate) fn trailers(metadata: &Metadata) -> Result<Option<Box<HeaderMap>>> {
    if !metadata.iter().any(|(name, _)| trailer(name).is_some()) {
        return Ok(None);
    }
    let mut headers = Box::new(HeaderMap::new());
    let named = metadata
        .iter()
        .filter_map(|(name, value)| Some((trailer(name)?, value)));
    write_all(named.filter(|(name, _)| travels(name)), &mut headers)?;
    Ok(Some(headers))
}

/// The name on the wire of what travels after the messages.
fn trailer(name: &str) -> Option<&str> {
    let (start, rest) = name.split_at_checked(TRAILER.len())?;
    start.eq_ignore_ascii_case(TRAILER).then_some(rest)
}

fn write_all<'a>(metadata: impl Iterator<Item = (&'a str, &'a str)>, headers: &mut HeaderMap) -> Result<()> {
    for (name, value) in metadata {
        let wrong = |what: &str| {
            Error::bad_request(
                "go.micro.client",
                format!("metadata {name:?} cannot travel over gRPC: {what}"),
            )
        };
        let header =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("the name is none of a header"))?;
        if is_binary(name) && !value.split(',').all(|part| BASE64.decode(part.trim()).is_ok()) {
            return Err(wrong(
                "a value under a name that ends in -bin is base64, and this is none",
            ));
        }
        let value = HeaderValue::from_bytes(value.as_bytes())
            .map_err(|_| wrong("the value holds a control character"))?;
        headers
            .try_insert(header, value)
            .map_err(|_| wrong("there is too much of it"))?;
    }
    Ok(())
}

/// Adds what came after the messages of an answer to its metadata.
pub(crate) fn read_trailers(trailers: &HeaderMap, metadata: &mut Metadata) {
    let read = read(trailers);
    metadata.extend(
        read.iter()
            .map(|(name, value)| (format!("{TRAILER}{name}"), value.to_owned())),
    );
}

/// The metadata among headers. Several values of a name are joined by commas. What is no UTF-8 is left out.
pub(crate) fn read(headers: &HeaderMap) -> Metadata {
    if !headers.keys().any(|name| arrives(name.as_str())) {
        return Metadata::new();
    }
    let pairs = headers
        .keys()
        .filter(|name| arrives(name.as_str()))
        .filter_map(|name| {
            let mut values = headers.get_all(name).iter();
            let first = std::str::from_utf8(values.next()?.as_bytes()).ok()?;
            let mut rest = values.peekable();
            if rest.peek().is_none() {
                return Some((Text::from(name.as_str()), Text::from(first)));
            }
            let separator = if is_binary(name.as_str()) { "," } else { ", " };
            let mut joined = first.to_owned();
            for value in rest {
                joined.push_str(separator);
                joined.push_str(std::str::from_utf8(value.as_bytes()).ok()?);
            }
            Some((Text::from(name.as_str()), joined.into()))
        });
    Metadata::from_distinct(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_travel_and_the_protocols_own_headers_are_none() {
        let metadata = Metadata::from([
            ("Tenant", "Köln, 東京"),
            ("trace-bin", "AAEC"),
            ("Content-Type", "forged"),
            ("Micro-Service", "forged"),
            ("grpc-status", "0"),
            ("Connection", "close"),
            ("TE", "gzip"),
            ("Upgrade", "x"),
            ("Proxy-Connection", "x"),
        ]);
        let mut headers = HeaderMap::new();
        write(&metadata, &mut headers).unwrap();
        assert_eq!(headers.len(), 2, "{headers:?}");
        headers.insert(GRPC_TIMEOUT, HeaderValue::from_static("1S"));
        headers.insert(TIMEOUT, HeaderValue::from_static("5"));
        headers.insert("te", HeaderValue::from_static("trailers"));
        let back = read(&headers);
        assert_eq!(back.get("tenant"), Some("Köln, 東京"));
        assert_eq!(back.get("Trace-Bin"), Some("AAEC"));
        assert_eq!(back.len(), 2, "{back:?}");
    }

    #[test]
    fn metadata_of_the_end_travel_apart_and_are_named_alike_at_both_sides() {
        let metadata = Metadata::from([
            ("tenant", "first"),
            ("Grpc-Trailer-Checksum", "00ff"),
            ("grpc-trailer-sum-bin", "AAEC"),
            ("grpc-trailer-grpc-status", "forged"),
            ("grpc-trailer-", "nameless"),
        ]);
        let mut headers = HeaderMap::new();
        write(&metadata, &mut headers).unwrap();
        assert_eq!(headers.len(), 1, "{headers:?}");
        assert!(super::trailers(&metadata).is_err());
        let mut metadata = metadata;
        metadata.remove("grpc-trailer-");
        let trailers = super::trailers(&metadata).unwrap().unwrap();
        assert_eq!(trailers.len(), 2, "{trailers:?}");
        let mut back = read(&headers);
        read_trailers(&trailers, &mut back);
        assert_eq!(back.get("grpc-trailer-checksum"), Some("00ff"));
        assert_eq!(back.get("grpc-trailer-sum-bin"), Some("AAEC"));
        assert_eq!(back.len(), 3, "{back:?}");
    }

    #[test]
    fn several_values_of_a_name_are_joined() {
        let mut headers = HeaderMap::new();
        for value in ["a", "b"] {
            headers.append("x-tag", HeaderValue::from_static(value));
            headers.append("x-tag-bin", HeaderValue::from_static(value));
        }
        let metadata = read(&headers);
        assert_eq!(metadata.get("x-tag"), Some("a, b"));
        assert_eq!(metadata.get("x-tag-bin"), Some("a,b"));
    }

    #[test]
    fn what_no_header_carries_is_refused_by_name() {
        for (name, value) in [
            ("a b", "x"),
            ("", "x"),
            ("ü", "x"),
            ("a", "x\ny"),
            ("key-bin", "ä!"),
        ] {
            let error = write(&Metadata::from([(name, value)]), &mut HeaderMap::new()).unwrap_err();
            assert!(error.detail().contains(&format!("{name:?}")), "{error}");
        }
    }
}
