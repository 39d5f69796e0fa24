//! The dialects, and how they name the formats of messages.

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use micro_core::codec::{JSON, PROTOBUF};
use micro_core::{Error, Result, Text};

use super::{CONNECT_ACCEPT_ENCODING, CONNECT_ENCODING, GRPC_ACCEPT_ENCODING, GRPC_ENCODING};

/// How a call looks on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Frames, the last of which holds the status; as text, all of it is base64.
    GrpcWeb { is_text: bool },
    /// One message, bare; plain JSON is this.
    ConnectUnary,
    /// Frames, the last of which is JSON and holds the error.
    ConnectStream,
}

/// A dialect, and the format of the messages as the framework names it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spoken {
    pub(super) dialect: Dialect,
    pub(super) content_type: Text,
}

/// What headers say. `None`: nothing that is spoken here.
pub(super) fn read(headers: &HeaderMap) -> Option<Spoken> {
    let header = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let name = header.split(';').next()?.trim().to_ascii_lowercase();
    let name = name.strip_prefix("application/")?;
    let (dialect, format) = if let Some(format) = name.strip_prefix("connect+") {
        (Dialect::ConnectStream, format)
    } else if let Some(format) = name.strip_prefix("grpc-web-text") {
        (Dialect::GrpcWeb { is_text: true }, of_grpc_web(format)?)
    } else if let Some(format) = name.strip_prefix("grpc-web") {
        (Dialect::GrpcWeb { is_text: false }, of_grpc_web(format)?)
    } else if ["json", "proto", "protobuf", "x-protobuf"].contains(&name) {
        (Dialect::ConnectUnary, name)
    } else {
        return None;
    };
    let content_type = match format {
        "" => return None,
        "proto" | "protobuf" | "x-protobuf" => PROTOBUF,
        "json" => JSON,
        other => Text::from(format!("application/{other}")),
    };
    Some(Spoken {
        dialect,
        content_type,
    })
}

fn of_grpc_web(name: &str) -> Option<&str> {
    match name {
        "" => Some("proto"),
        name => name.strip_prefix('+'),
    }
}

impl Dialect {
    /// How a format is named in this dialect.
    ///
    /// # Errors
    ///
    /// When it cannot be.
    pub(super) fn header(self, content_type: &Text) -> Result<HeaderValue> {
        let format = match content_type {
            proto if *proto == PROTOBUF => "proto",
            other => other.strip_prefix("application/").unwrap_or_default(),
        };
        let start = match self {
            Self::GrpcWeb { is_text: false } => "grpc-web+",
            Self::GrpcWeb { is_text: true } => "grpc-web-text+",
            Self::ConnectStream => "connect+",
            Self::ConnectUnary => "",
        };
        let value = HeaderValue::try_from(format!("application/{start}{format}"));
        value.ok().filter(|_| !format.is_empty()).ok_or_else(|| {
            Error::server(
                500,
                format!("the content type {content_type:?} cannot travel over gRPC-Web or Connect"),
            )
        })
    }

    /// The header that says how messages are compressed.
    pub(super) fn encoding(self) -> HeaderName {
        match self {
            Self::GrpcWeb { .. } => GRPC_ENCODING,
            Self::ConnectUnary => CONTENT_ENCODING,
            Self::ConnectStream => CONNECT_ENCODING,
        }
    }

    /// The header that says which compression the caller reads.
    pub(super) fn accepted_encoding(self) -> HeaderName {
        match self {
            Self::GrpcWeb { .. } => GRPC_ACCEPT_ENCODING,
            Self::ConnectUnary => ACCEPT_ENCODING,
            Self::ConnectStream => CONNECT_ACCEPT_ENCODING,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_as(content_type: &'static str) -> Option<(Dialect, String)> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        read(&headers).map(|spoken| (spoken.dialect, spoken.content_type.to_string()))
    }

    #[test]
    fn dialects_and_formats_are_read_from_the_content_type() {
        let (binary, textual) = (
            Dialect::GrpcWeb { is_text: false },
            Dialect::GrpcWeb { is_text: true },
        );
        for (content_type, dialect, format) in [
            ("application/grpc-web", binary, "application/protobuf"),
            ("application/grpc-web+proto", binary, "application/protobuf"),
            ("application/grpc-web+json", binary, "application/json"),
            ("application/grpc-web-text", textual, "application/protobuf"),
            ("application/grpc-web-text+proto", textual, "application/protobuf"),
            (
                "application/connect+json",
                Dialect::ConnectStream,
                "application/json",
            ),
            (
                "application/connect+proto",
                Dialect::ConnectStream,
                "application/protobuf",
            ),
            ("application/json", Dialect::ConnectUnary, "application/json"),
            (
                "Application/JSON; charset=utf-8",
                Dialect::ConnectUnary,
                "application/json",
            ),
            ("application/proto", Dialect::ConnectUnary, "application/protobuf"),
            (
                "application/protobuf",
                Dialect::ConnectUnary,
                "application/protobuf",
            ),
        ] {
            assert_eq!(
                read_as(content_type),
                Some((dialect, format.to_owned())),
                "{content_type}"
            );
        }
        for none in [
            "",
            "text/plain",
            "application/grpc",
            "application/connect+",
            "application/grpc-webx",
        ] {
            assert_eq!(read_as(none), None, "{none}");
        }
    }

    #[test]
    fn formats_are_named_as_they_were_read() {
        for name in [
            "application/grpc-web+proto",
            "application/grpc-web-text+json",
            "application/connect+proto",
            "application/connect+x-own",
            "application/json",
            "application/proto",
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(name));
            let spoken = read(&headers).unwrap();
            assert_eq!(spoken.dialect.header(&spoken.content_type).unwrap(), name);
        }
        assert!(Dialect::ConnectUnary.header(&"text/plain".into()).is_err());
    }
}
