//! `application/grpc+proto` and its like, and the formats of the framework.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use micro_core::Text;
use micro_core::codec::{JSON, OCTET_STREAM, PROTOBUF};

use crate::metadata::X_CONTENT_TYPE;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const GRPC_PROTO: HeaderValue = HeaderValue::from_static("application/grpc+proto");
const GRPC_JSON: HeaderValue = HeaderValue::from_static("application/grpc+json");
const GRPC_BYTES: HeaderValue = HeaderValue::from_static("application/grpc+bytes");

/// The format of messages, as the framework and as the wire name it.
#[derive(Debug, Clone)]
pub(crate) struct Format {
    /// As the framework names it; empty where the caller did not say.
    pub(crate) content_type: Text,
    /// As the answer repeats it.
    header: HeaderValue,
    /// Whether the header alone does not say it.
    is_own: bool,
}

impl Format {
    /// The format by its name in the framework.
    pub(crate) fn of(content_type: &Text) -> Self {
        let known = [
            (&PROTOBUF, GRPC_PROTO),
            (&JSON, GRPC_JSON),
            (&OCTET_STREAM, GRPC_BYTES),
        ];
        let found = known.into_iter().find(|(known, _)| *known == content_type);
        Self {
            is_own: found.is_none() && !content_type.is_empty(),
            header: found.map_or(GRPC, |(_, header)| header),
            content_type: content_type.clone(),
        }
    }

    /// Adds it to headers. False: its name cannot be written in one.
    pub(crate) fn write(&self, headers: &mut HeaderMap) -> bool {
        headers.insert(CONTENT_TYPE, self.header.clone());
        if self.is_own {
            let Ok(value) = HeaderValue::from_bytes(self.content_type.as_bytes()) else {
                return false;
            };
            headers.insert(X_CONTENT_TYPE, value);
        }
        true
    }
}

/// The format that headers name. `None`: they are none of gRPC.
pub(crate) fn read(headers: &HeaderMap) -> Option<Format> {
    let header = headers.get(CONTENT_TYPE)?;
    let name = header.as_bytes().strip_prefix(b"application/grpc")?;
    let name = match name.iter().position(|byte| *byte == b';') {
        Some(end) => &name[..end],
        None => name,
    };
    let content_type = match name {
        b"+proto" => PROTOBUF,
        b"+json" => JSON,
        b"+bytes" => OCTET_STREAM,
        b"" => return Some(unnamed(headers, header)),
        [b'+', subtype @ ..] => Text::from(format!("application/{}", std::str::from_utf8(subtype).ok()?)),
        _ => return None,
    };
    Some(Format {
        content_type,
        header: header.clone(),
        is_own: false,
    })
}

/// Of `application/grpc` the other header may say more.
fn unnamed(headers: &HeaderMap, header: &HeaderValue) -> Format {
    let own = headers
        .get(X_CONTENT_TYPE)
        .and_then(|own| std::str::from_utf8(own.as_bytes()).ok());
    let own = own.filter(|own| !own.is_empty() && !own.starts_with("application/grpc"));
    Format {
        content_type: own.map_or(PROTOBUF, Text::from),
        header: header.clone(),
        is_own: own.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_as(content_type: &'static str, own: Option<&'static str>) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(own) = own {
            headers.insert(X_CONTENT_TYPE, HeaderValue::from_static(own));
        }
        read(&headers).map(|format| format.content_type.to_string())
    }

    #[test]
    fn formats_are_read_as_they_are_written() {
        for content_type in [PROTOBUF, JSON, OCTET_STREAM, "application/x-own+thing".into()] {
            let mut headers = HeaderMap::new();
            assert!(Format::of(&content_type).write(&mut headers));
            assert_eq!(read(&headers).unwrap().content_type, content_type);
        }
    }

    #[test]
    fn what_go_and_others_send_is_understood() {
        let is = |text: &str| Some(text.to_owned());
        assert_eq!(read_as("application/grpc", None), is("application/protobuf"));
        assert_eq!(
            read_as("application/grpc+proto", Some("application/grpc+proto")),
            is("application/protobuf")
        );
        assert_eq!(
            read_as("application/grpc;charset=utf-8", Some("application/grpc")),
            is("application/protobuf")
        );
        assert_eq!(read_as("application/grpc+json", None), is("application/json"));
        assert_eq!(
            read_as("application/grpc+msgpack", None),
            is("application/msgpack")
        );
        for none in [
            "application/grpc-web",
            "application/grpcx",
            "application/json",
            "text/html",
            "",
        ] {
            assert_eq!(read_as(none, None), None, "{none}");
        }
    }
}
