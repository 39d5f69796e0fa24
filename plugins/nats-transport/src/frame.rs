//! Messages as Go Micro's nats transport writes them: JSON with headers and a body in base64, the same as a broker's.

use bytes::Bytes;
use micro_core::broker::{Message, envelope};
use micro_core::handler::RequestParts;
use micro_core::wire::{self, Field, field};
use micro_core::{Error, Metadata, Request, Result, Text};
use tokio::time::Instant;

/// What a message says, with the names of the framework picked out.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    pub(crate) service: Text,
    pub(crate) endpoint: Text,
    pub(crate) content_type: Text,
    pub(crate) timeout: Text,
    pub(crate) id: Text,
    /// The stream that it belongs to.
    pub(crate) stream: Option<Text>,
    /// Empty: none.
    pub(crate) error: Text,
    /// Whether it has the doubles of old headers, which only Go's servers write.
    pub(crate) is_gos: bool,
    pub(crate) metadata: Metadata,
    pub(crate) body: Bytes,
}

impl Frame {
    pub(crate) fn read(payload: &[u8]) -> Result<Self> {
        let Message { header, body } = envelope::decode(payload)?;
        let mut frame = Self {
            body,
            ..Self::default()
        };
        let (mut others, mut method) = (Vec::new(), Text::new());
        let mut old = [Text::new(), Text::new(), Text::new(), Text::new()];
        for (name, value) in header.iter() {
            let place = match field(name.as_bytes()) {
                Field::Service => &mut frame.service,
                Field::Endpoint => &mut frame.endpoint,
                Field::Method => &mut method,
                Field::ContentType => &mut frame.content_type,
                Field::Timeout => &mut frame.timeout,
                Field::Id => &mut frame.id,
                Field::Error => &mut frame.error,
                Field::Stream => {
                    frame.stream = Some(value.into());
                    continue;
                }
                Field::LegacyService => &mut old[0],
                Field::LegacyEndpoint => &mut old[1],
                Field::LegacyMethod => &mut old[2],
                Field::LegacyStream => &mut old[3],
                Field::Legacy => {
                    frame.is_gos = true;
                    continue;
                }
                Field::Other | Field::Topic | Field::Protocol => {
                    others.push((name.into(), value.into()));
                    continue;
                }
                _ => continue,
            };
            *place = value.into();
        }
        frame.is_gos |= old.iter().any(|value| !value.is_empty());
        let [old_service, old_endpoint, old_method, old_stream] = old;
        first(&mut frame.service, [old_service]);
        first(&mut frame.endpoint, [method, old_endpoint, old_method]);
        if frame.stream.is_none() && !old_stream.is_empty() {
            frame.stream = Some(old_stream);
        }
        frame.metadata = Metadata::from_distinct(others);
        Ok(frame)
    }

    pub(crate) fn is_end(&self) -> bool {
        self.error == wire::END_OF_STREAM
    }

    /// The request that it is. Its body is moved out of it.
    pub(crate) fn request(&mut self) -> Request {
        let mut parts: RequestParts = Request::new(
            std::mem::take(&mut self.service),
            std::mem::take(&mut self.endpoint),
            std::mem::take(&mut self.body),
        )
        .into_parts();
        if !self.content_type.is_empty() {
            parts.content_type = self.content_type.clone();
        }
        parts.metadata = std::mem::take(&mut self.metadata);
        parts.deadline = wire::deadline(&self.timeout, Instant::now());
        Request::from_parts(parts)
    }
}

fn first<const N: usize>(place: &mut Text, others: [Text; N]) {
    if place.is_empty()
        && let Some(other) = others.into_iter().find(|other| !other.is_empty())
    {
        *place = other;
    }
}

/// The headers of a request, under the names that Go looks for.
pub(crate) fn request_header(request: &Request, id: &str, stream: bool) -> Metadata {
    let mut pairs: Vec<(Text, Text)> = Vec::with_capacity(8);
    wire::write_request(request, id, Instant::now(), &mut |name, value| {
        let name = if name == "Micro-Id" { "Micro-ID" } else { name };
        pairs.push((name.into(), value.into()));
    });
    if stream {
        pairs.push(("Micro-Stream".into(), id.into()));
    }
    Metadata::from_distinct(pairs)
}

/// What an answer says beside its message.
pub(crate) struct AnswerHeader<'a> {
    pub(crate) content_type: &'a Text,
    pub(crate) id: &'a Text,
    pub(crate) stream: Option<&'a Text>,
}

impl AnswerHeader<'_> {
    fn pairs(&self) -> Vec<(Text, Text)> {
        let mut pairs: Vec<(Text, Text)> = Vec::with_capacity(4);
        if !self.content_type.is_empty() {
            pairs.push(("Content-Type".into(), self.content_type.clone()));
        }
        if !self.id.is_empty() {
            pairs.push(("Micro-ID".into(), self.id.clone()));
        }
        if let Some(stream) = self.stream {
            pairs.push(("Micro-Stream".into(), stream.clone()));
        }
        pairs
    }

    pub(crate) fn message(&self, metadata: &Metadata, body: Bytes) -> Bytes {
        let mut pairs = self.pairs();
        let travelling = metadata
            .iter()
            .filter(|(name, _)| field(name.as_bytes()) == Field::Other);
        pairs.extend(travelling.map(|(name, value)| (name.into(), value.into())));
        let header = Metadata::from_distinct(pairs);
        envelope::encode(&Message { header, body })
    }

    /// The text of `Micro-Error`: an error's, or the end of a stream.
    pub(crate) fn end(&self, text: &str) -> Bytes {
        let mut pairs = self.pairs();
        pairs.push(("Micro-Error".into(), text.into()));
        let header = Metadata::from_distinct(pairs);
        let body = wire::error_body(self.content_type, text);
        envelope::encode(&Message { header, body })
    }

    pub(crate) fn error(&self, error: &Error, limit: usize) -> Bytes {
        let written = self.end(&wire::error_text(error));
        if written.len() <= limit {
            return written;
        }
        let short: String = error.detail().chars().take(1000).collect();
        let short = Error::new(
            error.id().to_owned(),
            error.code(),
            format!("{short} … (cut short for NATS)"),
        );
        self.end(&wire::error_text(&short))
    }
}

/// A message of a caller: the headers of its request, and a body.
pub(crate) fn asked(header: &Metadata, body: Bytes) -> Bytes {
    envelope::encode(&Message {
        header: header.clone(),
        body,
    })
}

/// The end of what a caller has to say.
pub(crate) fn asked_end(header: &Metadata) -> Bytes {
    let mut header = header.clone();
    header.insert("Micro-Error", wire::END_OF_STREAM);
    asked(&header, Bytes::new())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// As a Go client sends it.
    const ASKED: &str = r#"{"Header":{"Accept":"application/json","Content-Type":"application/json","Micro-Endpoint":"Greeter.Hello","Micro-ID":"0","Micro-Method":"Greeter.Hello","Micro-Service":"interop.greeter","Timeout":"5000000000"},"Body":"eyJuYW1lIjoid29ybGQiLCJ0aW1lcyI6MX0K"}"#;

    #[tokio::test(start_paused = true)]
    async fn a_captured_request_is_read_and_written_again_to_the_byte() {
        let mut frame = Frame::read(ASKED.as_bytes()).unwrap();
        assert!(frame.stream.is_none() && !frame.is_end() && !frame.is_gos);
        assert_eq!(frame.id, "0");
        let mut request = frame.request();
        assert_eq!(
            (request.service.as_str(), request.endpoint.as_str()),
            ("interop.greeter", "Greeter.Hello")
        );
        assert_eq!(request.remaining(), Some(Duration::from_secs(5)));
        assert!(request.metadata.is_empty());
        let body = request.take_body().try_into_single().unwrap();
        assert_eq!(&body[..], b"{\"name\":\"world\",\"times\":1}\n");
        let header = request_header(&request, "0", false);
        assert_eq!(asked(&header, body), ASKED);
    }

    #[test]
    fn a_captured_answer_is_seen_to_be_gos() {
        let answered = r#"{"Header":{"Content-Type":"application/json","Micro-ID":"0","X-Micro-ID":"0"},"Body":"eyJncmVldGluZyI6IiJ9"}"#;
        let frame = Frame::read(answered.as_bytes()).unwrap();
        assert!(frame.is_gos && frame.error.is_empty());
        assert_eq!(&frame.body[..], br#"{"greeting":""}"#);
    }

    #[test]
    fn names_of_the_first_version_count_where_the_usual_are_absent() {
        let old = r#"{"Header":{"X-Micro-Service":"greeter","X-Micro-Method":"Greeter.Hello","X-Micro-Stream":"7"}}"#;
        let frame = Frame::read(old.as_bytes()).unwrap();
        assert_eq!(
            (frame.service.as_str(), frame.endpoint.as_str()),
            ("greeter", "Greeter.Hello")
        );
        assert_eq!(frame.stream.as_deref(), Some("7"));
    }

    #[test]
    fn an_error_too_large_for_nats_is_cut_short() {
        let header = AnswerHeader {
            content_type: &"application/json".into(),
            id: &"3".into(),
            stream: None,
        };
        let error = Error::internal("kit", "long ".repeat(10_000));
        let written = header.error(&error, 8192);
        assert!(written.len() < 8192);
        let frame = Frame::read(&written).unwrap();
        let error = Error::from_wire(&frame.error);
        assert_eq!((error.id(), error.code()), ("kit", 500));
        assert!(error.detail().contains("cut short"), "{error}");
    }
}
