//! Datagrams: what they hold, and how it is written and read.

use std::time::Duration;

use bytes::Bytes;
use micro_core::handler::RequestParts;
use micro_core::wire::{Field, field};
use micro_core::{Body, Error, Metadata, Request, Response, Text};
use tokio::time::Instant;

/// How every datagram begins: a name, and the version of what follows.
const MAGIC: [u8; 3] = *b"MU\x01";
/// How long the beginning of a datagram is, in bytes.
pub(crate) const HEADER: usize = 28;
/// Where a call states the oldest call of its caller that still waits.
const OLDEST: std::ops::Range<usize> = HEADER..HEADER + 8;
/// How many pairs of metadata there may be.
const PAIRS: usize = 256;

/// What a datagram is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A caller asks for a token.
    Hello = 1,
    /// Here it is.
    Welcome,
    Call,
    Answer,
    Error,
    /// The call is being handled.
    Working,
    /// The call was not looked at, and is not going to be.
    Refused,
    /// The token is none of this listener's for this address: the call was not looked at.
    Stranger,
    /// Nobody waits for the answer any more.
    Cancel,
    /// The listener takes no more calls.
    Goodbye,
    /// The caller waits for nothing before this number, and its next call has the number in the body.
    Seen,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        const ALL: [Kind; 11] = [
            Kind::Hello,
            Kind::Welcome,
            Kind::Call,
            Kind::Answer,
            Kind::Error,
            Kind::Working,
            Kind::Refused,
            Kind::Stranger,
            Kind::Cancel,
            Kind::Goodbye,
            Kind::Seen,
        ];
        ALL.get(usize::from(byte).checked_sub(1)?).copied()
    }
}

/// The beginning of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    /// What shows that the caller can be reached at its address, and which listener it means.
    pub(crate) token: u64,
    /// Who calls, whatever its address is.
    pub(crate) caller: u64,
    /// Which of its calls.
    pub(crate) number: u64,
}

impl Header {
    pub(crate) fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..3].copy_from_slice(&MAGIC);
        bytes[3] = self.kind as u8;
        bytes[4..12].copy_from_slice(&self.token.to_be_bytes());
        bytes[12..20].copy_from_slice(&self.caller.to_be_bytes());
        bytes[20..28].copy_from_slice(&self.number.to_be_bytes());
        bytes
    }

    /// The header and what follows it. `None`: it is no datagram of this protocol.
    pub(crate) fn parse(datagram: &[u8]) -> Option<(Self, &[u8])> {
        let mut reader = Reader(datagram);
        if reader.take(3)? != MAGIC {
            return None;
        }
        let [kind] = reader.array()?;
        let header = Self {
            kind: Kind::from_byte(kind)?,
            token: reader.u64()?,
            caller: reader.u64()?,
            number: reader.u64()?,
        };
        Some((header, reader.0))
    }

    /// The same for another kind of datagram.
    pub(crate) fn with(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }
}

/// Why something cannot be written.
pub(crate) enum Unwritable {
    TooLarge(usize),
    TooManyPairs(usize),
    LongName,
}

impl std::fmt::Display for Unwritable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLarge(size) => write!(formatter, "it takes {size} bytes"),
            Self::TooManyPairs(count) => {
                write!(
                    formatter,
                    "it has {count} pairs of metadata, and {PAIRS} may travel"
                )
            }
            Self::LongName => formatter.write_str("a name in it is longer than 65,535 bytes"),
        }
    }
}

/// A call as a datagram.
pub(crate) fn write_call(
    header: Header,
    request: &Request,
    message: &[u8],
    largest: usize,
) -> Result<Vec<u8>, Unwritable> {
    let mut datagram = header.to_bytes().to_vec();
    datagram.extend_from_slice(&[0; 8]);
    let left = request.remaining().map_or(u64::MAX, |left| {
        u64::try_from(left.as_nanos()).unwrap_or(u64::MAX)
    });
    datagram.extend_from_slice(&left.to_be_bytes());
    for name in [&request.service, &request.endpoint, &request.content_type] {
        put_text(name, &mut datagram)?;
    }
    put_metadata(&request.metadata, &mut datagram)?;
    finish(datagram, message, largest)
}

/// Says in a call which call of the caller is the oldest that still waits.
pub(crate) fn state_oldest(datagram: &mut [u8], oldest: u64) {
    if let Some(place) = datagram.get_mut(OLDEST) {
        place.copy_from_slice(&oldest.to_be_bytes());
    }
}

/// An answer as a datagram.
pub(crate) fn write_answer(
    header: Header,
    response: &Response,
    message: &[u8],
    largest: usize,
) -> Result<Vec<u8>, Unwritable> {
    let mut datagram = header.to_bytes().to_vec();
    put_text(&response.content_type, &mut datagram)?;
    put_metadata(&response.metadata, &mut datagram)?;
    finish(datagram, message, largest)
}

/// An error as a datagram. Its details are cut where they do not fit.
pub(crate) fn write_error(header: Header, error: &Error, largest: usize) -> Vec<u8> {
    let room = largest.saturating_sub(HEADER);
    let mut text = micro_core::wire::error_text(error);
    let detail = error.detail();
    let mut length = detail.len().min(room);
    while text.len() > room && length > 0 {
        length /= 2;
        while !detail.is_char_boundary(length) {
            length -= 1;
        }
        let id = if error.id().len() > room / 4 {
            ""
        } else {
            error.id()
        };
        text = Error::new(id, error.code(), format!("{} …", &detail[..length])).to_json();
    }
    text.truncate(if text.len() > room { 0 } else { room });
    [&header.with(Kind::Error).to_bytes()[..], text.as_bytes()].concat()
}

fn finish(mut datagram: Vec<u8>, message: &[u8], largest: usize) -> Result<Vec<u8>, Unwritable> {
    let size = datagram.len() + message.len();
    if size > largest {
        return Err(Unwritable::TooLarge(size));
    }
    datagram.extend_from_slice(message);
    Ok(datagram)
}

fn put_text(text: &str, datagram: &mut Vec<u8>) -> Result<(), Unwritable> {
    let length = u16::try_from(text.len()).map_err(|_| Unwritable::LongName)?;
    datagram.extend_from_slice(&length.to_be_bytes());
    datagram.extend_from_slice(text.as_bytes());
    Ok(())
}

fn put_metadata(metadata: &Metadata, datagram: &mut Vec<u8>) -> Result<(), Unwritable> {
    let travelling = || {
        metadata
            .iter()
            .filter(|(name, _)| field(name.as_bytes()) == Field::Other)
    };
    let count = travelling().count();
    if count > PAIRS {
        return Err(Unwritable::TooManyPairs(count));
    }
    datagram.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
    for (name, value) in travelling() {
        put_text(name, datagram)?;
        put_text(value, datagram)?;
    }
    Ok(())
}

/// A call as it came.
pub(crate) struct Call {
    /// All calls of the caller before this one are over.
    pub(crate) oldest: u64,
    pub(crate) request: Request,
}

/// Reads the number that begins a body: of a call, the oldest one that waits, which is all that is looked at of a call
/// that was there before.
pub(crate) fn read_number(body: &[u8]) -> Option<u64> {
    Reader(body).u64()
}

pub(crate) fn read_call(body: &[u8]) -> Option<Call> {
    let mut reader = Reader(body);
    let oldest = reader.u64()?;
    let left = reader.u64()?;
    let deadline = match left {
        u64::MAX => None,
        left => Instant::now().checked_add(Duration::from_nanos(left)),
    };
    let [service, endpoint, content_type] = [reader.text()?, reader.text()?, reader.text()?];
    let metadata = reader.metadata()?;
    let request = Request::from_parts(RequestParts {
        service,
        endpoint,
        content_type,
        metadata,
        deadline,
        kind: micro_core::handler::CallKind::Unary,
        idempotent: false,
        id: Text::new(),
        peer: None,
        extensions: http::Extensions::new(),
        body: Body::from(Bytes::copy_from_slice(reader.0)),
    });
    Some(Call { oldest, request })
}

pub(crate) fn read_answer(body: &[u8]) -> Option<Response> {
    let mut reader = Reader(body);
    Some(Response {
        content_type: reader.text()?,
        metadata: reader.metadata()?,
        body: Bytes::copy_from_slice(reader.0).into(),
    })
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const COUNT: usize>(&mut self) -> Option<[u8; COUNT]> {
        self.take(COUNT)?.try_into().ok()
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn u16(&mut self) -> Option<usize> {
        self.array().map(u16::from_be_bytes).map(usize::from)
    }

    fn text(&mut self) -> Option<Text> {
        let length = self.u16()?;
        std::str::from_utf8(self.take(length)?).ok().map(Text::from)
    }

    fn metadata(&mut self) -> Option<Metadata> {
        let count = self.u16().filter(|count| *count <= PAIRS)?;
        let mut pairs = Vec::with_capacity(count);
        for _ in 0..count {
            let pair = (self.text()?, self.text()?);
            if field(pair.0.as_bytes()) == Field::Other {
                pairs.push(pair);
            }
        }
        Some(Metadata::from_distinct(pairs))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const CALL: Header = Header {
        kind: Kind::Call,
        token: 1,
        caller: 2,
        number: 3,
    };

    #[test]
    fn a_call_is_written_as_described() {
        let mut request = Request::new("a", "B.C", "");
        request.content_type = "x/y".into();
        request.metadata.insert("Tenant", "acme");
        let mut datagram = write_call(CALL, &request, b"message", 1200).ok().unwrap();
        state_oldest(&mut datagram, 2);
        let expected = [
            &b"MU\x01\x03"[..],
            b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03",
            b"\0\0\0\0\0\0\0\x02\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\0\x01a\0\x03B.C\0\x03x/y",
            b"\0\x01\0\x06Tenant\0\x04acme",
            b"message",
        ];
        assert_eq!(datagram, expected.concat());
    }

    #[test]
    fn an_error_fits_whatever_it_says() {
        for detail in ["short", &"\0".repeat(5000), &"ü".repeat(5000)] {
            for id in ["kit", &"i".repeat(5000)] {
                let error = Error::conflict(id.to_owned(), detail.to_owned());
                let datagram = write_error(CALL, &error, 512);
                let (header, text) = Header::parse(&datagram).unwrap();
                assert!(datagram.len() <= 512 && header.kind == Kind::Error);
                assert_eq!(Error::from_wire(std::str::from_utf8(text).unwrap()).code(), 409);
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(bytes in vec(any::<u8>(), 0..600)) {
            if let Some((_, body)) = Header::parse(&bytes) {
                prop_assert!(body.len() < bytes.len());
            }
            let _ = (read_call(&bytes), read_answer(&bytes));
        }

        #[test]
        fn a_call_is_read_as_it_was_written(
            names in (".{0,20}", ".{0,20}", ".{0,20}"),
            pairs in vec(("[a-z]{1,9}-x", ".{0,30}"), 0..5),
            message in vec(any::<u8>(), 0..2000),
        ) {
            let mut request = Request::new(names.0, names.1, "");
            request.content_type = names.2.into();
            request.metadata = pairs.into_iter().collect::<Metadata>();
            let datagram = write_call(CALL, &request, &message, 65_507).ok().unwrap();
            let (header, body) = Header::parse(&datagram).unwrap();
            prop_assert_eq!(header, CALL);
            let read = read_call(body).unwrap().request;
            prop_assert_eq!(&read.service, &request.service);
            prop_assert_eq!(&read.endpoint, &request.endpoint);
            prop_assert_eq!(&read.content_type, &request.content_type);
            prop_assert!(read.metadata.iter().eq(request.metadata.iter()));
            prop_assert_eq!(read.body.as_single().unwrap(), &message);
            // Cut short, it is refused, or has less of a message.
            for length in 0..body.len() - message.len() {
                prop_assert!(read_call(&body[..length]).is_none());
            }
        }
    }
}
