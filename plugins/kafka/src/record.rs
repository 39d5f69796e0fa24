//! Messages as records of Kafka, and back.

use bytes::Bytes;
use micro_core::broker::{Message, envelope};
use micro_core::{Metadata, Result, Text};
use rdkafka::message::{Header, Headers, OwnedHeaders};

use crate::config::Format;

/// The value and the headers of a message's record.
pub(crate) fn write(format: Format, message: &Message) -> (Bytes, Option<OwnedHeaders>) {
    match format {
        Format::Envelope => (envelope::encode(message), None),
        Format::Headers => {
            let headers = OwnedHeaders::new_with_capacity(message.header.len());
            let headers = message.header.iter().fold(headers, |headers, (key, value)| {
                headers.insert(Header {
                    key,
                    value: Some(value),
                })
            });
            (message.body.clone(), Some(headers))
        }
    }
}

/// The message of a record.
///
/// # Errors
///
/// 400 when the value is no envelope, and should be one.
pub(crate) fn read(format: Format, record: &impl rdkafka::Message) -> Result<Message> {
    let value = record.payload().unwrap_or_default();
    match format {
        Format::Envelope => envelope::decode(value),
        Format::Headers => Ok(Message {
            header: record.headers().map(header).unwrap_or_default(),
            body: Bytes::copy_from_slice(value),
        }),
    }
}

/// Of several values of a name the last counts, as Kafka's own clients have it. What is no text is left out.
fn header(headers: &impl Headers) -> Metadata {
    let mut metadata = Metadata::new();
    for header in headers.iter() {
        let value = header.value.and_then(|value| std::str::from_utf8(value).ok());
        if let Some(value) = value {
            metadata.insert(Text::from(header.key), Text::from(value));
        }
    }
    metadata
}

#[cfg(test)]
mod tests {
    use rdkafka::Timestamp;
    use rdkafka::message::OwnedMessage;

    use super::*;

    /// As Go Micro 5.30 publishes it.
    const CAPTURED: &str = r#"{"Header":{"Content-Type":"application/json","Micro-ID":"d7638041-bc0b-4a6b-a2dc-3c3b7ad5ba42","Micro-Topic":"interop.notice"},"Body":"eyJpZCI6Im4wIn0K"}"#;

    fn record(value: Option<&[u8]>, headers: Option<OwnedHeaders>) -> OwnedMessage {
        let value = value.map(<[u8]>::to_vec);
        OwnedMessage::new(
            value,
            None,
            "orders".into(),
            Timestamp::NotAvailable,
            0,
            0,
            headers,
        )
    }

    #[test]
    fn a_record_of_go_micro_is_read_and_written_again_to_the_byte() {
        let message = read(Format::Envelope, &record(Some(CAPTURED.as_bytes()), None)).unwrap();
        assert_eq!(message.header.get("Micro-Topic"), Some("interop.notice"));
        assert_eq!(message.body, "{\"id\":\"n0\"}\n");
        let (value, headers) = write(Format::Envelope, &message);
        assert_eq!(value, CAPTURED);
        assert!(headers.is_none(), "Go Micro writes no headers");
    }

    #[test]
    fn headers_travel_beside_the_bare_body() {
        let message = Message::new("body").with_header("Content-Type", "text/plain");
        let (value, headers) = write(Format::Headers, &message);
        assert_eq!(value, "body");
        let again = read(Format::Headers, &record(Some(&value), headers)).unwrap();
        assert_eq!(again.header.get("content-type"), Some("text/plain"));
        assert_eq!(again.body, "body");
    }

    #[test]
    fn headers_that_are_no_text_are_left_out_and_the_last_of_a_name_counts() {
        let header = |key, value| Header { key, value };
        let headers = OwnedHeaders::new()
            .insert(header("A", Some(&b"1"[..])))
            .insert(header("A", Some(&b"2"[..])))
            .insert(header("B", Some(&b"\xff"[..])))
            .insert(header("C", None));
        let message = read(Format::Headers, &record(None, Some(headers))).unwrap();
        assert_eq!(message.header.iter().collect::<Vec<_>>(), [("A", "2")]);
        assert!(message.body.is_empty());
    }

    #[test]
    fn a_value_that_is_no_envelope_is_refused() {
        for value in [None, Some(&b"hello"[..]), Some(&b"[]"[..])] {
            assert!(read(Format::Envelope, &record(value, None)).is_err());
        }
    }
}
