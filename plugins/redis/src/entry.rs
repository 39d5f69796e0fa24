//! Entries of streams, and what they hold.

use std::fmt;

use bytes::Bytes;
use micro_core::broker::{Message, envelope};
use micro_core::{Error, Result, Text};
use redis::{Cmd, Value};

use crate::config::Layout;

const MESSAGE: &str = "message";
const BODY: &str = "body";
const HEADER: &str = "header:";

/// The id that Redis gives to an entry: when, and the how manieth of that moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EntryId(pub(crate) u64, pub(crate) u64);

impl EntryId {
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (time, number) = text.split_once('-').unwrap_or((text, "0"));
        Some(Self(time.parse().ok()?, number.parse().ok()?))
    }

    pub(crate) fn of(value: &Value) -> Option<Self> {
        Self::parse(text(value)?)
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.0, self.1)
    }
}

/// An entry that was read.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: EntryId,
    /// What is wrong with it, if it holds no message.
    pub(crate) message: Result<Message>,
}

/// Adds the fields of a message to a command.
pub(crate) fn write(command: &mut Cmd, layout: Layout, message: &Message) {
    match layout {
        Layout::Envelope => {
            command.arg(MESSAGE).arg(&envelope::encode(message)[..]);
        }
        Layout::Fields => {
            for (name, value) in message.header.iter() {
                command.arg(format!("{HEADER}{name}")).arg(value);
            }
            command.arg(BODY).arg(&message.body[..]);
        }
    }
}

/// The entries of an answer to `XREAD` or `XREADGROUP` of one stream. Nothing at all is no entry.
pub(crate) fn read_streams(answer: Value) -> Option<Vec<Entry>> {
    let mut streams = match answer {
        Value::Nil => return Some(Vec::new()),
        Value::Array(streams) => streams,
        _ => return None,
    };
    let Some(Value::Array(mut stream)) = streams.pop() else {
        return Some(Vec::new());
    };
    read_entries(stream.pop()?)
}

/// The entries of a list of them. Those that were deleted are left out.
pub(crate) fn read_entries(list: Value) -> Option<Vec<Entry>> {
    let Value::Array(list) = list else { return None };
    let mut entries = Vec::with_capacity(list.len());
    for entry in list {
        let Value::Array(mut parts) = entry else {
            continue;
        };
        let (fields, id) = (parts.pop()?, parts.pop()?);
        let id = EntryId::of(&id)?;
        match fields {
            Value::Array(fields) => entries.push(Entry {
                id,
                message: read_fields(fields),
            }),
            Value::Nil => {}
            _ => return None,
        }
    }
    Some(entries)
}

fn read_fields(fields: Vec<Value>) -> Result<Message> {
    let mut message = Message::default();
    let mut has_body = false;
    let mut fields = fields.into_iter();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        let (Some(name), Some(value)) = (text(&name).map(<[u8]>::to_vec), into_bytes(value)) else {
            return Err(wrong("a field is no text"));
        };
        if name == MESSAGE.as_bytes() {
            return envelope::decode(&value);
        }
        if name == BODY.as_bytes() {
            message.body = value;
            has_body = true;
        } else if let Some(name) = name.strip_prefix(HEADER.as_bytes()) {
            let name = String::from_utf8(name.to_vec()).map_err(|_| wrong("a header's name is no UTF-8"))?;
            let value = Text::from_utf8(value).map_err(|_| wrong("a header is no UTF-8"))?;
            message.header.insert(name, value);
        }
    }
    match has_body {
        true => Ok(message),
        false => Err(wrong("it has neither a field `message` nor a field `body`")),
    }
}

fn wrong(why: &str) -> Error {
    Error::bad_request("go.micro.broker", format!("redis: no message: {why}"))
}

pub(crate) fn text(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(text) => Some(text),
        Value::SimpleString(text) => Some(text.as_bytes()),
        _ => None,
    }
}

fn into_bytes(value: Value) -> Option<Bytes> {
    match value {
        Value::BulkString(bytes) => Some(bytes.into()),
        Value::SimpleString(text) => Some(text.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(layout: Layout, message: &Message) -> String {
        let mut command = redis::cmd("XADD");
        write(&mut command, layout, message);
        String::from_utf8(command.get_packed_command()).unwrap()
    }

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn answer(id: &str, fields: &[&str]) -> Value {
        let fields = fields.iter().map(|field| bulk(field)).collect();
        let entry = Value::Array(vec![bulk(id), Value::Array(fields)]);
        Value::Array(vec![Value::Array(vec![
            bulk("micro:t.one"),
            Value::Array(vec![entry]),
        ])])
    }

    #[test]
    fn both_layouts_are_written_to_the_byte_and_read_again() {
        let message = Message::new("hi").with_header("Content-Type", "text/plain");
        let envelope = r#"{"Header":{"Content-Type":"text/plain"},"Body":"aGk="}"#;
        assert_eq!(
            packed(Layout::Envelope, &message),
            format!("*3\r\n$4\r\nXADD\r\n$7\r\nmessage\r\n$54\r\n{envelope}\r\n")
        );
        assert_eq!(
            packed(Layout::Fields, &message),
            "*5\r\n$4\r\nXADD\r\n$19\r\nheader:Content-Type\r\n$10\r\ntext/plain\r\n$4\r\nbody\r\n$2\r\nhi\r\n"
        );
        for fields in [
            vec!["message", envelope],
            vec!["header:Content-Type", "text/plain", "body", "hi", "other", "x"],
        ] {
            let entries = read_streams(answer("17-3", &fields)).unwrap();
            assert_eq!(entries[0].id, EntryId(17, 3));
            let message = entries[0].message.as_ref().unwrap();
            assert_eq!(message.header.get("content-type"), Some("text/plain"));
            assert_eq!(message.body, "hi");
        }
    }

    #[test]
    fn what_is_no_message_is_told_and_what_is_no_entry_is_left_out() {
        for fields in [vec!["other", "x"], vec!["message", "{"], vec![]] {
            let entries = read_streams(answer("1-0", &fields)).unwrap();
            assert_eq!(entries[0].message.as_ref().unwrap_err().code(), 400);
        }
        assert!(read_streams(Value::Nil).unwrap().is_empty());
        let deleted = Value::Array(vec![Value::Nil, Value::Array(vec![bulk("1-1"), Value::Nil])]);
        assert!(read_entries(deleted).unwrap().is_empty());
    }

    #[test]
    fn ids_are_ordered_by_time_and_number() {
        let id = |text: &str| EntryId::parse(text.as_bytes());
        assert!(id("9-2").unwrap() < id("10-0").unwrap());
        assert_eq!(id("7").unwrap().to_string(), "7-0");
        for wrong in ["", "-", "x-1", "1-", "1-2-3", "-1-0", "99999999999999999999-0"] {
            assert!(id(wrong).is_none(), "{wrong}");
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Nil),
            any::<i64>().prop_map(Value::Int),
            proptest::collection::vec(any::<u8>(), 0..20).prop_map(Value::BulkString),
            Just(bulk("1-1")),
            Just(bulk("message")),
            Just(bulk("body")),
        ];
        leaf.prop_recursive(4, 64, 5, |inner| {
            proptest::collection::vec(inner, 0..5).prop_map(Value::Array)
        })
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused(answer in any_value()) {
            let _ = read_streams(answer.clone());
            let _ = read_entries(answer);
        }
    }
}
