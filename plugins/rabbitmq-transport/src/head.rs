//! The headers of messages, both ways: the table of AMQP that carries them, and what they mean.

use std::time::Duration;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use micro_core::handler::{CallKind, RequestParts};
use micro_core::wire::{self, Field, error_text, field};
use micro_core::{Body, Error, Metadata, Request, Result, Text};
use micro_rabbitmq_connection::{header_size, text_of};
use tokio::time::Instant;

/// By this property peers that run this crate know each other: they grant each other room for streams.
const OURS: &str = "micro";

/// What a message is, beside being one: the property `type`, which Go Micro does not look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A message of a call.
    Message,
    /// How many messages of a stream were taken so far: the body, in decimal digits.
    Credit,
    /// The caller does not wait any more.
    Cancel,
    /// The listener went away during the call.
    Gone,
    /// The listener did not begin with the call.
    Refused,
}

impl Kind {
    const NAMED: [(Self, &'static str); 4] = [
        (Self::Credit, "micro.credit"),
        (Self::Cancel, "micro.cancel"),
        (Self::Gone, "micro.gone"),
        (Self::Refused, "micro.refused"),
    ];

    fn name(self) -> Option<&'static str> {
        let found = Self::NAMED.iter().find(|(kind, _)| *kind == self);
        found.map(|(_, name)| *name)
    }

    fn of(properties: &BasicProperties) -> Self {
        let name = properties.kind().as_ref().map_or("", ShortString::as_str);
        let found = Self::NAMED.iter().find(|(_, known)| *known == name);
        found.map_or(Self::Message, |(kind, _)| *kind)
    }
}

/// Headers on their way out.
#[derive(Default)]
pub(crate) struct Table {
    fields: FieldTable,
    size: usize,
    problem: Option<Error>,
}

impl Table {
    pub(crate) fn insert(&mut self, name: &str, value: &str) {
        // The name that Go Micro looks for where a carrier keeps the case.
        let name = if name == "Micro-Id" { "Micro-ID" } else { name };
        self.size += header_size(name, value);
        match ShortString::try_new(name) {
            Ok(name) => {
                self.fields
                    .insert(name, AMQPValue::LongString(value.as_bytes().to_vec().into()));
            }
            Err(problem) => {
                let begin: String = name.chars().take(40).collect();
                self.problem = Some(Error::client(
                    400,
                    format!("the name of a header, {begin}…: {problem}"),
                ));
            }
        }
    }

    /// The headers of a request, or of a message of its stream.
    pub(crate) fn of(request: &Request, id: &str, stream: Option<&str>) -> Self {
        let mut table = Self::default();
        wire::write_request(request, id, Instant::now(), &mut |name, value| {
            table.insert(name, value)
        });
        if let Some(stream) = stream {
            table.insert("Micro-Stream", stream);
        }
        table
    }

    /// The header of an error, cut where RabbitMQ would not take it whole.
    pub(crate) fn insert_error(&mut self, error: &Error, most: usize) -> String {
        let mut text = error_text(error);
        let room = most.saturating_sub(self.size + 64);
        if text.len() > room {
            // Escaped, it may be longer.
            let mut end = room / 8;
            while !error.detail().is_char_boundary(end.min(error.detail().len())) {
                end -= 1;
            }
            let begin = error.detail().get(..end).unwrap_or_default();
            text = error_text(&Error::new(error.id(), error.code(), format!("{begin} …")));
        }
        self.insert("Micro-Error", &text);
        text
    }

    /// The properties of a message with these headers, which have so many bytes at most.
    ///
    /// # Errors
    ///
    /// When a header cannot travel.
    pub(crate) fn properties(
        self,
        correlation: &ShortString,
        kind: Kind,
        most: usize,
    ) -> Result<BasicProperties> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        if self.size > most {
            let size = self.size;
            return Err(Error::client(
                431,
                format!("the headers have {size} bytes, and RabbitMQ's frame_max leaves {most} for them"),
            ));
        }
        let mut properties = BasicProperties::default()
            .with_correlation_id(correlation.clone())
            .with_app_id(OURS.into());
        if let Some(name) = kind.name() {
            properties = properties.with_type(name.into());
        }
        Ok(properties.with_headers(self.fields))
    }
}

/// What the headers of a message say.
pub(crate) struct Head {
    pub(crate) kind: Kind,
    /// Whether it is of a peer that runs this crate.
    pub(crate) is_ours: bool,
    pub(crate) service: Text,
    pub(crate) endpoint: Text,
    pub(crate) content_type: Text,
    pub(crate) id: Text,
    pub(crate) stream: Option<Text>,
    pub(crate) error: Option<Text>,
    time_left: Option<Duration>,
    pub(crate) metadata: Metadata,
}

impl Head {
    pub(crate) fn read(properties: &BasicProperties) -> Self {
        let mut head = Self {
            kind: Kind::of(properties),
            is_ours: properties.app_id().as_ref().is_some_and(|id| id.as_str() == OURS),
            service: Text::new(),
            endpoint: Text::new(),
            content_type: Text::new(),
            id: Text::new(),
            stream: None,
            error: None,
            time_left: None,
            metadata: Metadata::new(),
        };
        let mut method = Text::new();
        let mut others = Vec::new();
        for (name, value) in properties.headers().iter().flat_map(FieldTable::inner) {
            let value = Text::from(text_of(value));
            let or = |known: &mut Text, value: Text| {
                if known.is_empty() {
                    *known = value;
                }
            };
            match field(name.as_str().as_bytes()) {
                Field::Service => head.service = value,
                Field::Endpoint => head.endpoint = value,
                Field::Method => method = value,
                Field::LegacyService => or(&mut head.service, value),
                Field::LegacyEndpoint => or(&mut head.endpoint, value),
                Field::LegacyMethod => or(&mut method, value),
                Field::Id => head.id = value,
                Field::Stream => head.stream = Some(value),
                Field::LegacyStream => {
                    head.stream.get_or_insert(value);
                }
                Field::Error if !value.is_empty() => head.error = Some(value),
                Field::ContentType => head.content_type = value,
                Field::Timeout => head.time_left = value.trim().parse().ok().map(Duration::from_nanos),
                Field::Topic | Field::Other => others.push((Text::from(name.as_str()), value)),
                _ => {}
            }
        }
        if head.endpoint.is_empty() {
            head.endpoint = method;
        }
        head.metadata = Metadata::from_distinct(others);
        head
    }

    /// The request that a message makes.
    pub(crate) fn request(self, body: Body, kind: CallKind) -> Request {
        Request::from_parts(RequestParts {
            service: self.service,
            endpoint: self.endpoint,
            content_type: self.content_type,
            metadata: self.metadata,
            deadline: self.time_left.and_then(|left| Instant::now().checked_add(left)),
            kind,
            idempotent: false,
            id: self.id,
            peer: None,
            extensions: http::Extensions::new(),
            body,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_comes_out_as_it_went_in() {
        let mut request = Request::new("greeter", "Greeter.Hello", "x");
        request.metadata.insert("Foo", "bar");
        request.deadline = Some(Instant::now() + Duration::from_secs(5));
        let table = Table::of(&request, "7", Some("7"));
        let correlation = ShortString::from("c");
        let properties = table.properties(&correlation, Kind::Message, 1000).unwrap();
        let names: Vec<_> = properties
            .headers()
            .as_ref()
            .unwrap()
            .inner()
            .keys()
            .map(|name| name.as_str())
            .collect();
        assert_eq!(
            names,
            [
                "Accept",
                "Content-Type",
                "Foo",
                "Micro-Endpoint",
                "Micro-ID",
                "Micro-Method",
                "Micro-Service",
                "Micro-Stream",
                "Timeout"
            ]
        );
        let head = Head::read(&properties);
        assert!(head.is_ours && head.kind == Kind::Message && head.error.is_none());
        assert_eq!((&*head.id, head.stream.as_deref()), ("7", Some("7")));
        let again = head.request(Body::empty(), CallKind::Stream);
        assert_eq!((&*again.service, &*again.endpoint), ("greeter", "Greeter.Hello"));
        assert_eq!(again.metadata.iter().collect::<Vec<_>>(), [("Foo", "bar")]);
        assert!(again.remaining().unwrap() > Duration::from_secs(4));
    }

    #[test]
    fn the_headers_of_old_peers_are_read() {
        let mut table = Table::default();
        table.insert("X-Micro-Service", "greeter");
        table.insert("Micro-Method", "Greeter.Hello");
        table.insert("X-Micro-Stream", "3");
        let head = Head::read(&table.properties(&"c".into(), Kind::Cancel, 1000).unwrap());
        assert_eq!((&*head.service, &*head.endpoint), ("greeter", "Greeter.Hello"));
        assert_eq!((head.stream.as_deref(), head.kind), (Some("3"), Kind::Cancel));
    }

    #[test]
    fn what_no_frame_takes_is_an_error_and_errors_are_cut() {
        let mut table = Table::default();
        table.insert("Long", &"v".repeat(1000));
        assert_eq!(
            table
                .properties(&"c".into(), Kind::Message, 1000)
                .unwrap_err()
                .code(),
            431
        );
        for letter in ["x", "ü", "\n"] {
            let mut table = Table::default();
            let error = Error::new("kit", 500, letter.repeat(5000));
            let text = table.insert_error(&error, 1000);
            let cut = Error::from_wire(&text);
            assert!(cut.code() == 500 && cut.detail().ends_with('…'), "{cut}");
            assert!(table.properties(&"c".into(), Kind::Message, 1000).is_ok());
        }
    }

    #[test]
    fn a_name_that_amqp_does_not_take_is_an_error() {
        let mut table = Table::default();
        table.insert(&"n".repeat(256), "v");
        assert!(table.properties(&"c".into(), Kind::Message, 1000).is_err());
    }
}
