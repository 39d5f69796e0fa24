//! Messages as RabbitMQ carries them: the body bare, headers as a table of long strings.

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use micro_core::broker::Message;
use micro_core::{Error, Metadata, Result, Text};
use micro_rabbitmq_connection::{Role, text_of};

use crate::config::LONGEST_NAME;

const TOPIC: &str = "Micro-Topic";
const CONTENT_TYPE: &str = "Content-Type";
/// Quorum queues count here how often they gave out a message in vain.
const DELIVERY_COUNT: &str = "x-delivery-count";
/// How AMQP says that a message is written to disk.
const PERSISTENT: u8 = 2;

/// The properties of a message that is published. Without headers there are none, as in Go Micro.
pub(crate) fn properties(header: &Metadata, is_persistent: bool) -> Result<BasicProperties> {
    let mut properties = BasicProperties::default();
    if is_persistent {
        properties = properties.with_delivery_mode(PERSISTENT);
    }
    if header.is_empty() {
        return Ok(properties);
    }
    let mut table = FieldTable::default();
    for (name, value) in header.iter() {
        let value = AMQPValue::LongString(value.as_bytes().to_vec().into());
        table.insert(short("the name of a header", name)?, value);
    }
    Ok(properties.with_headers(table))
}

/// A name of AMQP.
pub(crate) fn short(what: &str, text: &str) -> Result<ShortString> {
    ShortString::try_new(text).map_err(|_| {
        let begin: String = text.chars().take(40).collect();
        Error::bad_request(
            Role::Broker.id(),
            format!(
                "{what} has {} bytes, and AMQP takes {LONGEST_NAME}: {begin}…",
                text.len()
            ),
        )
    })
}

/// A message that arrived, and how often it was given out at least.
pub(crate) fn received(delivery: &mut Delivery) -> (Message, u32) {
    let headers = delivery.properties.headers().as_ref().map(FieldTable::inner);
    let count = headers
        .and_then(|headers| headers.get(DELIVERY_COUNT))
        .and_then(counted);
    let deliveries = match (delivery.redelivered, count) {
        (_, Some(in_vain)) => in_vain.saturating_add(1),
        // Classic queues tell that it was given out before, and not how often.
        (is_again, None) => 1 + u32::from(is_again),
    };
    let mut pairs: Vec<(Text, Text)> = Vec::with_capacity(headers.map_or(0, |headers| headers.len()) + 1);
    for (name, value) in headers.into_iter().flatten() {
        pairs.push((name.as_str().into(), text_of(value).into()));
    }
    let lacks = |pairs: &[(Text, Text)], wanted: &str| {
        !pairs.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted))
    };
    if lacks(&pairs, TOPIC) {
        pairs.push((TOPIC.into(), delivery.routing_key.as_str().into()));
    }
    // Where publishers that know nothing of Go Micro say it.
    if let Some(format) = delivery.properties.content_type()
        && lacks(&pairs, CONTENT_TYPE)
    {
        pairs.push((CONTENT_TYPE.into(), format.as_str().into()));
    }
    let message = Message {
        header: Metadata::from_distinct(pairs),
        body: Bytes::from(std::mem::take(&mut delivery.data)),
    };
    (message, deliveries)
}

fn counted(value: &AMQPValue) -> Option<u32> {
    text_of(value).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(redelivered: bool, headers: &[(&str, AMQPValue)]) -> Delivery {
        let mut delivery = Delivery::mock(
            1,
            "micro".into(),
            "orders.new".into(),
            redelivered,
            b"body".to_vec(),
        );
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert((*name).into(), value.clone());
        }
        delivery.properties = BasicProperties::default().with_headers(table);
        delivery
    }

    #[test]
    fn headers_are_long_strings_and_nothing_else_is_said() {
        let message = Message::new("x")
            .with_header("Content-Type", "application/json")
            .with_header("Micro-ID", "7");
        let properties = properties(&message.header, false).unwrap();
        let mut expected = FieldTable::default();
        expected.insert(
            "Content-Type".into(),
            AMQPValue::LongString("application/json".into()),
        );
        expected.insert("Micro-ID".into(), AMQPValue::LongString("7".into()));
        assert_eq!(properties, BasicProperties::default().with_headers(expected));
    }

    #[test]
    fn a_message_without_headers_has_no_properties_unless_it_is_persistent() {
        let none = Metadata::new();
        assert_eq!(properties(&none, false).unwrap(), BasicProperties::default());
        assert_eq!(properties(&none, true).unwrap().delivery_mode(), &Some(2));
    }

    #[test]
    fn a_name_that_amqp_does_not_take_is_refused() {
        let message = Message::new("x").with_header("n".repeat(256), "v");
        let error = properties(&message.header, false).unwrap_err();
        assert!(error.detail().contains("256 bytes"), "{error}");
    }

    #[test]
    fn a_topic_that_is_not_said_is_the_routing_key() {
        let (message, _) = received(&mut delivery(false, &[("Number", AMQPValue::LongInt(7))]));
        assert_eq!(message.header.get("Number"), Some("7"));
        assert_eq!(message.header.get("micro-topic"), Some("orders.new"));
        assert_eq!(message.body, "body");
        let said = [("Micro-Topic", AMQPValue::LongString("other".into()))];
        let (message, _) = received(&mut delivery(false, &said));
        assert_eq!(message.header.get("Micro-Topic"), Some("other"));
    }

    #[test]
    fn the_content_type_of_other_publishers_is_read() {
        let mut delivery = delivery(false, &[]);
        delivery.properties = delivery.properties.with_content_type("text/plain".into());
        assert_eq!(
            received(&mut delivery).0.header.get("Content-Type"),
            Some("text/plain")
        );
    }

    #[test]
    fn deliveries_are_counted_where_rabbitmq_counts_them() {
        let of = |redelivered, headers: &[(&str, AMQPValue)]| received(&mut delivery(redelivered, headers)).1;
        assert_eq!(of(false, &[]), 1);
        assert_eq!(of(true, &[]), 2, "at least");
        assert_eq!(of(true, &[(DELIVERY_COUNT, AMQPValue::LongLongInt(2))]), 3);
        assert_eq!(
            of(true, &[(DELIVERY_COUNT, AMQPValue::LongString("many".into()))]),
            2
        );
    }
}
