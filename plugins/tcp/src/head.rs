//! The heads of calls and of answers.

use std::time::Duration;

use micro_core::codec::PROTOBUF;
use micro_core::handler::{CallKind, RequestParts};
use micro_core::wire::{Field, field};
use micro_core::{Body, Metadata, Request, Text};
use tokio::time::Instant;

use crate::cursor::{Cursor, Violation, violation};
use crate::frame::flag;

/// How many endpoints a connection has numbers for.
const NUMBERED: usize = 256;
/// How long names may be that get a number, in bytes, together.
const LONGEST_NUMBERED: usize = 256;
/// How many pairs of metadata a head may have.
const PAIRS: usize = 256;
/// The longest name of a service, an endpoint or a content type, in bytes.
const LONGEST_NAME: usize = 4096;
/// What a head takes beside its names and its metadata at most, in bytes.
const FIXED: usize = 32;

/// What a call is called by.
type Names = (Text, Text, Text);

/// The endpoints that were called on a connection, which go by a number from the second call on. Both sides count
/// alike.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    known: Vec<Names>,
    /// Where the last one was found.
    last: usize,
}

impl Numbers {
    fn find(&mut self, request: &Request) -> Option<u16> {
        let is_it = |(service, endpoint, content_type): &Names| {
            *endpoint == request.endpoint
                && *service == request.service
                && *content_type == request.content_type
        };
        if self.known.get(self.last).is_none_or(|known| !is_it(known)) {
            self.last = self.known.iter().position(is_it)?;
        }
        u16::try_from(self.last + 1).ok()
    }

    /// The number that names get, 0 where they get none.
    fn give(&mut self, names: Names) -> u16 {
        let (service, endpoint, content_type) = &names;
        let length = service.len() + endpoint.len() + content_type.len();
        if self.known.len() >= NUMBERED || length > LONGEST_NUMBERED {
            return 0;
        }
        self.known.push(names);
        u16::try_from(self.known.len()).unwrap_or(0)
    }
}

/// Why a head cannot be sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TooLarge {
    Name,
    Pairs(usize),
    Head(usize),
}

impl TooLarge {
    pub(crate) fn describe(&self, limit: u32) -> String {
        match self {
            Self::Name => format!("a name is longer than {LONGEST_NAME} bytes, the most that a head carries"),
            Self::Pairs(count) => {
                format!("there are {count} pairs of metadata, and a head carries {PAIRS} at most")
            }
            Self::Head(size) => format!(
                "names and metadata take {size} bytes, and the other side takes {limit}, its limit head_size"
            ),
        }
    }
}

/// The metadata that travels: not what goes under a name that means something here.
fn travelling(metadata: &Metadata) -> impl Iterator<Item = (&str, &str)> {
    metadata
        .iter()
        .filter(|(name, _)| field(name.as_bytes()) == Field::Other)
}

fn check(names: [&Text; 3], metadata: &Metadata, limit: u32) -> Result<(), TooLarge> {
    if names.iter().any(|name| name.len() > LONGEST_NAME) {
        return Err(TooLarge::Name);
    }
    let count = metadata.len();
    if count > PAIRS {
        return Err(TooLarge::Pairs(count));
    }
    let names: usize = names.iter().map(|name| name.len()).sum();
    let pairs: usize = metadata
        .iter()
        .map(|(name, value)| name.len() + value.len() + 6)
        .sum();
    let size = FIXED + names + pairs;
    // As large as 16 bits at most, though a name may be.
    let is_long = metadata
        .iter()
        .any(|(name, _)| u16::try_from(name.len()).is_err());
    match size > limit as usize || is_long {
        true => Err(TooLarge::Head(size)),
        false => Ok(()),
    }
}

/// Checks that a head is one that the other side takes.
pub(crate) fn check_call(request: &Request, limit: u32) -> Result<(), TooLarge> {
    check(
        [&request.service, &request.endpoint, &request.content_type],
        &request.metadata,
        limit,
    )
}

/// Checks that a head is one that the other side takes.
pub(crate) fn check_answer(content_type: &Text, metadata: &Metadata, limit: u32) -> Result<(), TooLarge> {
    check([content_type, &Text::new(), &Text::new()], metadata, limit)
}

/// The head of a call that was checked. `total` is how long the message is of which only a part follows at once. Gives
/// the flags.
pub(crate) fn write_call(
    request: &Request,
    total: Option<u32>,
    numbers: &mut Numbers,
    buffer: &mut Vec<u8>,
) -> u8 {
    let mut flags = 0;
    if let Some(number) = numbers.find(request) {
        buffer.extend_from_slice(&number.to_be_bytes());
    } else {
        flags |= flag::NAMES;
        let names = [&request.service, &request.endpoint, &request.content_type];
        let [service, endpoint, content_type] = names.map(Text::clone);
        let number = numbers.give((service, endpoint, content_type));
        buffer.extend_from_slice(&number.to_be_bytes());
        for name in names {
            put_length(name.len(), buffer);
        }
        for name in names {
            buffer.extend_from_slice(name.as_bytes());
        }
    }
    if request.kind == CallKind::Stream {
        flags |= flag::STREAM;
    }
    if request.body.is_stream() {
        flags |= flag::MESSAGES;
    }
    if let Some(deadline) = request.deadline {
        flags |= flag::DEADLINE;
        let left = deadline.saturating_duration_since(Instant::now()).as_nanos();
        buffer.extend_from_slice(&u64::try_from(left).unwrap_or(u64::MAX).to_be_bytes());
    }
    flags | write_metadata(&request.metadata, buffer) | write_total(total, buffer)
}

/// The head of an answer that was checked, as [`write_call`].
pub(crate) fn write_answer(
    content_type: &Text,
    metadata: &Metadata,
    is_stream: bool,
    total: Option<u32>,
    buffer: &mut Vec<u8>,
) -> u8 {
    let mut flags = match is_stream {
        true => flag::MESSAGES,
        false => 0,
    };
    if !content_type.is_empty() {
        flags |= flag::NAMES;
        put_length(content_type.len(), buffer);
        buffer.extend_from_slice(content_type.as_bytes());
    }
    flags | write_metadata(metadata, buffer) | write_total(total, buffer)
}

fn put_length(length: usize, buffer: &mut Vec<u8>) {
    // Heads are checked before.
    buffer.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
}

fn write_total(total: Option<u32>, buffer: &mut Vec<u8>) -> u8 {
    let Some(total) = total else { return 0 };
    buffer.extend_from_slice(&total.to_be_bytes());
    flag::MORE
}

fn write_metadata(metadata: &Metadata, buffer: &mut Vec<u8>) -> u8 {
    if metadata.is_empty() {
        return 0;
    }
    put_length(travelling(metadata).count(), buffer);
    for (name, value) in travelling(metadata) {
        put_length(name.len(), buffer);
        buffer.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
        buffer.extend_from_slice(name.as_bytes());
        buffer.extend_from_slice(value.as_bytes());
    }
    flag::METADATA
}

/// The head of a call as it came: a request without a message.
pub(crate) fn read_call(
    flags: u8,
    cursor: &mut Cursor<'_>,
    numbers: &mut Numbers,
    now: Instant,
) -> Result<Request, Violation> {
    let number = usize::from(cursor.u16()?);
    let (service, endpoint, content_type) = if flags & flag::NAMES != 0 {
        let names = read_names(cursor)?;
        if number != 0 && usize::from(numbers.give(names.clone())) != number {
            return Err(violation(format!(
                "an endpoint got the number {number}, which is not the next one"
            )));
        }
        names
    } else {
        let known = number.checked_sub(1).and_then(|at| numbers.known.get(at));
        known
            .cloned()
            .ok_or_else(|| violation(format!("no endpoint has the number {number}")))?
    };
    let deadline = match flags & flag::DEADLINE != 0 {
        true => now.checked_add(Duration::from_nanos(cursor.u64()?)),
        false => None,
    };
    Ok(Request::from_parts(RequestParts {
        service,
        endpoint,
        content_type,
        metadata: read_metadata(flags, cursor)?,
        deadline,
        kind: match flags & flag::STREAM != 0 {
            true => CallKind::Stream,
            false => CallKind::Unary,
        },
        idempotent: false,
        id: Text::new(),
        peer: None,
        extensions: http::Extensions::new(),
        body: Body::empty(),
    }))
}

fn read_names(cursor: &mut Cursor<'_>) -> Result<Names, Violation> {
    let lengths = [cursor.u16()?, cursor.u16()?, cursor.u16()?].map(usize::from);
    if lengths.iter().any(|length| *length > LONGEST_NAME) {
        return Err(violation(format!("a name is longer than {LONGEST_NAME} bytes")));
    }
    let [service, endpoint, content_type] = lengths;
    Ok((
        cursor.text(service)?,
        cursor.text(endpoint)?,
        read_content_type(content_type, cursor)?,
    ))
}

fn read_content_type(length: usize, cursor: &mut Cursor<'_>) -> Result<Text, Violation> {
    let text = cursor.text(length)?;
    // Its clones count no references.
    Ok(match text == PROTOBUF {
        true => PROTOBUF,
        false => text,
    })
}

/// The head of an answer as it came: content type and metadata.
pub(crate) fn read_answer(flags: u8, cursor: &mut Cursor<'_>) -> Result<(Text, Metadata), Violation> {
    let content_type = match flags & flag::NAMES != 0 {
        true => {
            let length = usize::from(cursor.u16()?);
            read_content_type(length, cursor)?
        }
        false => Text::new(),
    };
    Ok((content_type, read_metadata(flags, cursor)?))
}

/// How long the message is of which a part follows, where that is so.
pub(crate) fn read_total(flags: u8, cursor: &mut Cursor<'_>) -> Result<Option<u32>, Violation> {
    match flags & flag::MORE != 0 {
        true => cursor.u32().map(Some),
        false => Ok(None),
    }
}

fn read_metadata(flags: u8, cursor: &mut Cursor<'_>) -> Result<Metadata, Violation> {
    if flags & flag::METADATA == 0 {
        return Ok(Metadata::new());
    }
    let count = usize::from(cursor.u16()?);
    if count > PAIRS {
        return Err(violation(format!(
            "{count} pairs of metadata are more than {PAIRS}"
        )));
    }
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let name = usize::from(cursor.u16()?);
        let value = cursor.u32()? as usize;
        let pair = (cursor.text(name)?, cursor.text(value)?);
        if field(pair.0.as_bytes()) == Field::Other {
            pairs.push(pair);
        }
    }
    Ok(Metadata::from_distinct(pairs))
}
