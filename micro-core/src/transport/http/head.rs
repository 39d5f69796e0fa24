//! Heads of HTTP/1.1 messages: parsed in one pass to positions, written straight into a buffer.

use std::mem::MaybeUninit;
use std::time::Duration;

use httparse::{Header, ParserConfig, Status};
use smallvec::SmallVec;
use tokio::time::Instant;

use super::HttpLimits;
use crate::metadata::Span;
use crate::wire::{self, Field};
use crate::{Error, Metadata, Request, Text};

/// How many headers a head may have. A constant, because they are parsed onto the stack.
pub(super) const MAX_HEADERS: usize = 100;

/// Start and end of a part of a head, in bytes. Empty where the part is absent.
pub(super) type Part = (u32, u32);

/// A head of which the first line was read, and its headers.
pub(super) type Begun<'h, 'b> = (Box<Head>, &'h [Header<'b>]);

/// Room for the headers of a head.
pub(super) type Room<'a> = [MaybeUninit<Header<'a>>; MAX_HEADERS];

/// A parsed head. Its texts are positions in the bytes that it was parsed from. Moves as a box, for it is large and
/// moves often.
#[derive(Debug, Default, Clone)]
pub(super) struct Head {
    /// How many bytes the head takes, including the empty line.
    pub(super) length: usize,
    pub(super) start: Start,
    pub(super) service: Part,
    pub(super) endpoint: Part,
    pub(super) content_type: Part,
    pub(super) error: Part,
    pub(super) stream: Option<Part>,
    /// What is left for the call.
    pub(super) timeout: Option<Duration>,
    /// Whether there is a header that only a framework writes.
    pub(super) is_framework: bool,
    /// Whether the peer wrote the doubles that only Go Micro's own server writes.
    pub(super) legacy: bool,
    pub(super) others: SmallVec<[Span; 4]>,
    pub(super) framing: Framing,
    /// Whether the connection stays open after this exchange.
    pub(super) keep_alive: bool,
    /// Whether the peer speaks HTTP/1.1, not 1.0, which knows no chunks.
    pub(super) http11: bool,
    pub(super) expects_continue: bool,
    /// How many bytes of it are kept as the text of its [beginning](super::familiar::Familiar).
    pub(super) familiar: usize,
    fallbacks: Fallbacks,
}

/// The first line.
#[derive(Debug, Default, Clone, Copy)]
pub(super) enum Start {
    #[default]
    Unknown,
    Request {
        target: Part,
    },
    Response {
        status: u16,
    },
}

/// Where the body ends.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// No header says so: requests have no body then, responses one until the connection closes.
    #[default]
    None,
    Length(usize),
    Chunked,
}

/// A head that is not acceptable: the status that it is answered with, and why.
#[derive(Debug)]
pub(super) struct BadHead {
    pub(super) code: i32,
    pub(super) detail: String,
}

impl BadHead {
    pub(super) fn new(code: i32, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }
}

impl From<httparse::Error> for BadHead {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::TooManyHeaders => Self::new(
                431,
                format!("the head has more than {MAX_HEADERS} headers, the limit"),
            ),
            error => Self::new(400, format!("not an HTTP/1.1 head: {error}")),
        }
    }
}

impl From<BadHead> for Error {
    fn from(bad: BadHead) -> Self {
        Self::server(bad.code, bad.detail)
    }
}

impl Head {
    /// Begins to parse the head of a request. `None`: it is not complete yet.
    pub(super) fn request<'h, 'b>(
        bytes: &'b [u8],
        room: &'h mut Room<'b>,
    ) -> Result<Option<Begun<'h, 'b>>, BadHead> {
        let mut request = httparse::Request::new(&mut []);
        let parsed = ParserConfig::default().parse_request_with_uninit_headers(&mut request, bytes, room)?;
        let Status::Complete(length) = parsed else {
            return Ok(None);
        };
        let part = |text: Option<&str>| text.map_or((0, 0), |text| part_of(bytes, text.as_bytes()));
        let http11 = request.version == Some(1);
        // Methods are not told apart here, but to these two an answer with a body has another end than it says.
        let ends_oddly = matches!(request.method, Some("HEAD" | "CONNECT"));
        let head = Box::new(Self {
            length,
            start: Start::Request {
                target: part(request.path),
            },
            keep_alive: http11 && !ends_oddly,
            http11,
            ..Self::default()
        });
        Ok(Some((head, request.headers)))
    }

    /// The same for the head of a response.
    pub(super) fn response<'h, 'b>(
        bytes: &'b [u8],
        room: &'h mut Room<'b>,
    ) -> Result<Option<Begun<'h, 'b>>, BadHead> {
        let mut response = httparse::Response::new(&mut []);
        let parsed =
            ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, room)?;
        let Status::Complete(length) = parsed else {
            return Ok(None);
        };
        let http11 = response.version == Some(1);
        let head = Box::new(Self {
            length,
            start: Start::Response {
                status: response.code.unwrap_or_default(),
            },
            keep_alive: http11,
            http11,
            ..Self::default()
        });
        Ok(Some((head, response.headers)))
    }

    /// Reads one more header.
    pub(super) fn take(&mut self, bytes: &[u8], header: &Header<'_>, field: Field) -> Result<(), BadHead> {
        let value = part_of(bytes, header.value);
        let set = |part: &mut Part| {
            // One value a name: the first counts.
            if part.1 == 0 {
                *part = value;
            }
        };
        self.legacy |= matches!(
            field,
            Field::Legacy | Field::LegacyService | Field::LegacyEndpoint | Field::LegacyMethod
        );
        self.is_framework |= matches!(field, Field::Id | Field::Timeout | Field::Topic);
        match field {
            Field::Service => set(&mut self.service),
            Field::Endpoint => set(&mut self.endpoint),
            Field::ContentType => set(&mut self.content_type),
            Field::Timeout => self.timeout = self.timeout.or_else(|| wire::time_left(header.value)),
            Field::Error => set(&mut self.error),
            Field::Stream => self.stream = self.stream.or(Some(value)),
            Field::Method => set(&mut self.fallbacks.method),
            Field::LegacyService => set(&mut self.fallbacks.service),
            Field::LegacyEndpoint => set(&mut self.fallbacks.endpoint),
            Field::LegacyMethod => set(&mut self.fallbacks.legacy_method),
            Field::LegacyStream => self.fallbacks.stream = self.fallbacks.stream.or(Some(value)),
            Field::ContentLength => self.length_delimited(header.value)?,
            Field::TransferEncoding => self.chunked(header.value)?,
            Field::Connection => self.connection(header.value),
            Field::Expect => self.expects_continue = header.value.eq_ignore_ascii_case(b"100-continue"),
            Field::Id | Field::Legacy | Field::Accept | Field::Hop => {}
            Field::Topic | Field::Protocol | Field::Other => self.keep(bytes, header, value),
        }
        Ok(())
    }

    /// One value a name: the first counts.
    fn keep(&mut self, bytes: &[u8], header: &Header<'_>, value: Part) {
        let name = header.name.as_bytes();
        let known = |span: &Span| {
            let known = bytes.get(span.name.0 as usize..span.name.1 as usize);
            known.is_some_and(|known| known.eq_ignore_ascii_case(name))
        };
        if !self.others.iter().any(known) {
            self.others.push(Span {
                name: part_of(bytes, name),
                value,
            });
        }
    }

    /// Two statements about the length are how requests are smuggled past a proxy: none is believed.
    fn length_delimited(&mut self, value: &[u8]) -> Result<(), BadHead> {
        if self.framing != Framing::None {
            return Err(BadHead::new(400, "the head states the length of the body twice"));
        }
        let length = wire::number(value).and_then(|length| usize::try_from(length).ok());
        let length = length.ok_or_else(|| BadHead::new(400, "Content-Length is no number"))?;
        self.framing = Framing::Length(length);
        Ok(())
    }

    fn chunked(&mut self, value: &[u8]) -> Result<(), BadHead> {
        if self.framing != Framing::None {
            return Err(BadHead::new(400, "the head states the length of the body twice"));
        }
        if !self.http11 {
            return Err(BadHead::new(400, "Transfer-Encoding does not exist in HTTP/1.0"));
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(BadHead::new(
                501,
                "the only Transfer-Encoding known here is chunked",
            ));
        }
        self.framing = Framing::Chunked;
        Ok(())
    }

    /// `keep-alive` says nothing new in HTTP/1.1, and connections of HTTP/1.0 are not kept.
    fn connection(&mut self, value: &[u8]) {
        for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if option.eq_ignore_ascii_case(b"close") {
                self.keep_alive = false;
            }
        }
    }

    /// Draws the conclusions once all headers were read.
    pub(super) fn finish(&mut self, limits: &HttpLimits) -> Result<(), BadHead> {
        if self.length > limits.head_size {
            return Err(head_too_large(limits));
        }
        self.fall_back();
        if let Framing::Length(length) = self.framing
            && length > limits.message_size
        {
            return Err(message_too_large(limits));
        }
        // Has no body, whatever its headers say.
        if let Start::Response { status: 204 | 304 } = self.start {
            self.framing = Framing::Length(0);
        }
        Ok(())
    }

    fn fall_back(&mut self) {
        let absent = |part: &Part| part.0 == part.1;
        let Fallbacks {
            method,
            service,
            endpoint,
            legacy_method,
            stream,
        } = self.fallbacks;
        // Messages of streams have some of the doubles, other answers others.
        self.legacy |= service.1 != 0 || endpoint.1 != 0 || legacy_method.1 != 0;
        if absent(&self.service) {
            self.service = service;
        }
        for candidate in [method, endpoint, legacy_method] {
            if absent(&self.endpoint) {
                self.endpoint = candidate;
            }
        }
        self.stream = self.stream.or(stream);
    }

    /// Up to where the head is needed as text. Nobody asks what it is that an answer answers, and a content type that
    /// is known is known as a constant.
    pub(super) fn needed(&self, content_type_is_known: bool) -> usize {
        let named = match self.start {
            Start::Response { .. } => 0,
            _ => self
                .service
                .1
                .max(self.endpoint.1)
                .max(self.stream.map_or(0, |part| part.1)),
        };
        let content_type = if content_type_is_known {
            0
        } else {
            self.content_type.1
        };
        let others = self.others.iter().map(|span| span.name.1.max(span.value.1)).max();
        let needed = named.max(content_type).max(self.error.1).max(others.unwrap_or(0));
        needed as usize
    }

    /// The headers without a meaning here, as metadata that shares the head's bytes.
    pub(super) fn metadata(&mut self, head: &Text) -> Metadata {
        if self.others.is_empty() {
            return Metadata::new();
        }
        Metadata::from_head(head.clone(), std::mem::take(&mut self.others))
    }
}

/// Names that count where the usual ones are absent.
#[derive(Debug, Default, Clone, Copy)]
struct Fallbacks {
    method: Part,
    service: Part,
    endpoint: Part,
    legacy_method: Part,
    stream: Option<Part>,
}

/// A part of a head as a text of its own, sharing the head's bytes.
pub(super) fn text(head: &Text, (start, end): Part) -> Text {
    if start == end {
        return Text::new();
    }
    head.slice(start as usize, end as usize).unwrap_or_default()
}

/// A part of a head.
pub(super) fn str_of(head: &Text, (start, end): Part) -> &str {
    head.get(start as usize..end as usize).unwrap_or_default()
}

/// The outcome of a head that is not complete yet.
pub(super) fn incomplete(bytes: &[u8], limits: &HttpLimits) -> Result<Option<Box<Head>>, BadHead> {
    if bytes.len() > limits.head_size {
        Err(head_too_large(limits))
    } else {
        Ok(None)
    }
}

pub(super) fn head_too_large(limits: &HttpLimits) -> BadHead {
    BadHead::new(
        431,
        format!("the head exceeds {} bytes, the limit head_size", limits.head_size),
    )
}

pub(super) fn message_too_large(limits: &HttpLimits) -> BadHead {
    BadHead::new(
        413,
        format!(
            "the body exceeds {} bytes, the limit message_size",
            limits.message_size
        ),
    )
}

/// Where a part of the parsed bytes lies in them. Heads are far smaller than 4 GiB.
pub(super) fn part_of(whole: &[u8], part: &[u8]) -> Part {
    let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    match u32::try_from(start) {
        Ok(start) if start as usize + part.len() <= whole.len() => (start, start + part.len() as u32),
        // An empty part may lie anywhere.
        _ => (0, 0),
    }
}

/// Writes a header. Line breaks in a value become spaces, as Go writes them.
///
/// # Errors
///
/// When the name cannot be a header's.
pub(super) fn write_header(out: &mut Vec<u8>, name: &str, value: &str) -> Result<(), Error> {
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(Error::bad_request(
            "go.micro.transport",
            format!(
                "metadata {name:?} cannot travel over HTTP: a name is of letters, digits and -_.!#$%&'*+^`|~"
            ),
        ));
    }
    write_known_header(out, name, value);
    Ok(())
}

/// The same for a name that is known to be one.
pub(super) fn write_known_header(out: &mut Vec<u8>, name: &str, value: &str) {
    let start = out.len() + name.len();
    write_clean_header(out, name, value);
    // Looked at as a whole first, which the compiler turns into a few wide instructions.
    let is_unclean = value.bytes().fold(false, |found, byte| found | breaks_line(byte));
    if is_unclean {
        let end = out.len() - 2;
        let value = out.get_mut(start..end).unwrap_or_default();
        for byte in value.iter_mut().filter(|byte| breaks_line(**byte)) {
            *byte = b' ';
        }
    }
}

/// The same where the value is known not to break the line, such as a number.
fn write_clean_header(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn breaks_line(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let character = byte as u8;
        table[byte] = character.is_ascii_alphanumeric()
            || matches!(
                character,
                b'-' | b'_'
                    | b'.'
                    | b'!'
                    | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'^'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        byte += 1;
    }
    table
};

pub(super) fn is_token(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// Writes how long the body is.
pub(super) fn write_length(out: &mut Vec<u8>, length: usize) {
    write_clean_header(out, "Content-Length", itoa::Buffer::new().format(length));
}

/// Writes the head of a plain post, up to and with the empty line.
pub(super) fn write_post(
    out: &mut Vec<u8>,
    target: &str,
    host: &str,
    content_type: &str,
    length: usize,
) -> Result<(), Error> {
    out.extend_from_slice(b"POST ");
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    write_header(out, "Host", host)?;
    write_header(out, "Content-Type", content_type)?;
    write_length(out, length);
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// What a request is a message of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind<'a> {
    Unary,
    /// A stream; with the text that ends it, where this is its last message.
    Stream {
        end: Option<&'a str>,
    },
}

/// Writes the head of a request, up to and with the empty line. `lead` is its first line and `Host`.
pub(super) fn write_request(
    out: &mut Vec<u8>,
    lead: &[u8],
    request: &Request,
    id: u64,
    now: Instant,
    kind: Kind<'_>,
    length: usize,
) -> Result<(), Error> {
    write_names(out, lead, request);
    write_rest(out, request, id, now, kind, length)
}

fn write_names(out: &mut Vec<u8>, lead: &[u8], request: &Request) {
    out.extend_from_slice(lead);
    wire::write_names(request, &mut |name, value| write_known_header(out, name, value));
}

fn write_rest(
    out: &mut Vec<u8>,
    request: &Request,
    id: u64,
    now: Instant,
    kind: Kind<'_>,
    length: usize,
) -> Result<(), Error> {
    let mut number = itoa::Buffer::new();
    let id = number.format(id);
    // Before what is another for every message, so that readers find the beginnings of a stream's messages alike.
    if let Kind::Stream { .. } = kind {
        write_clean_header(out, "Micro-Stream", id);
    }
    write_length(out, length);
    // Numbers all.
    wire::write_moment(request, id, now, &mut |name, value| {
        write_clean_header(out, name, value);
    });
    for (name, value) in wire::travelling(&request.metadata) {
        write_header(out, name, value)?;
    }
    if let Kind::Stream { end: Some(end) } = kind {
        write_known_header(out, "Micro-Error", end);
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// The beginning of the last request's head, kept with a connection: the next is nearly always for the same endpoint.
#[derive(Debug, Default)]
pub(super) struct Beginning {
    service: Text,
    endpoint: Text,
    content_type: Text,
    bytes: Vec<u8>,
}

impl Beginning {
    /// Writes the head of a unary request, up to and with the empty line.
    pub(super) fn write_unary(
        &mut self,
        out: &mut Vec<u8>,
        lead: &[u8],
        request: &Request,
        id: u64,
        now: Instant,
        length: usize,
    ) -> Result<(), Error> {
        if !self.is_of(request) {
            self.service = request.service.clone();
            self.endpoint = request.endpoint.clone();
            self.content_type = request.content_type.clone();
            self.bytes.clear();
            write_names(&mut self.bytes, lead, request);
        }
        out.extend_from_slice(&self.bytes);
        write_rest(out, request, id, now, Kind::Unary, length)
    }

    fn is_of(&self, request: &Request) -> bool {
        !self.bytes.is_empty()
            && self.endpoint == request.endpoint
            && self.service == request.service
            && self.content_type == request.content_type
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::http::connection::Side;
    use crate::transport::http::familiar::Familiar;

    fn request(text: &str) -> Result<Option<Box<Head>>, BadHead> {
        Familiar::default().head(Side::Requests, text.as_bytes(), &HttpLimits::default())
    }

    fn refused(text: &str) -> i32 {
        request(text).err().map_or(0, |bad| bad.code)
    }

    #[test]
    fn the_fields_of_a_request_are_found() {
        let text = "POST / HTTP/1.1\r\nHost: a\r\nMicro-Endpoint: Greeter.Hello\r\nmicro-service: greeter\r\n\
                    Content-Type: application/json\r\nContent-Length: 3\r\nFoo: bar\r\n\r\nabc";
        let mut head = request(text).unwrap().unwrap();
        let bytes = Text::from(&text[..head.length]);
        assert_eq!(&text[head.length..], "abc");
        assert_eq!(str_of(&bytes, head.endpoint), "Greeter.Hello");
        assert_eq!(str_of(&bytes, head.service), "greeter");
        assert_eq!(head.framing, Framing::Length(3));
        assert!(head.keep_alive);
        assert_eq!(head.metadata(&bytes).iter().collect::<Vec<_>>(), [("Foo", "bar")]);
    }

    #[test]
    fn old_names_count_where_the_new_are_absent() {
        let text =
            "POST / HTTP/1.1\r\nX-Micro-Service: a\r\nX-Micro-Method: B.C\r\nX-Micro-Stream: 1\r\n\r\n";
        let head = request(text).unwrap().unwrap();
        let bytes = Text::from(text);
        assert_eq!(
            (str_of(&bytes, head.service), str_of(&bytes, head.endpoint)),
            ("a", "B.C")
        );
        assert!(head.stream.is_some());
        let text = "POST / HTTP/1.1\r\nMicro-Method: B.C\r\nX-Micro-Endpoint: D.E\r\n\r\n";
        let head = request(text).unwrap().unwrap();
        assert_eq!(str_of(&Text::from(text), head.endpoint), "B.C");
    }

    #[test]
    fn two_statements_about_the_length_are_refused() {
        let head = |headers: &str| format!("POST / HTTP/1.1\r\n{headers}\r\n\r\n");
        assert_eq!(refused(&head("Content-Length: 1\r\nContent-Length: 1")), 400);
        assert_eq!(refused(&head("Content-Length: 1\r\nContent-Length: 2")), 400);
        assert_eq!(refused(&head("Content-Length: 1, 1")), 400);
        assert_eq!(refused(&head("Content-Length: +1")), 400);
        assert_eq!(refused(&head("Content-Length: ")), 400);
        assert_eq!(refused(&head("Content-Length: 99999999999999999999999")), 400);
        assert_eq!(
            refused(&head("Transfer-Encoding: chunked\r\nContent-Length: 1")),
            400
        );
        assert_eq!(
            refused(&head("Content-Length: 1\r\nTransfer-Encoding: chunked")),
            400
        );
        assert_eq!(
            refused(&head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")),
            400
        );
        assert_eq!(refused(&head("Transfer-Encoding: gzip, chunked")), 501);
        assert_eq!(refused(&head("Transfer-Encoding: xchunked")), 501);
        assert_eq!(refused(&head("Transfer-Encoding : chunked")), 400);
        assert_eq!(refused(&head("Foo: a\r\n folded: b")), 400);
        assert_eq!(
            refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
            400
        );
    }

    #[test]
    fn limits_are_named() {
        let many = "A: 1\r\n".repeat(MAX_HEADERS + 1);
        assert_eq!(refused(&format!("POST / HTTP/1.1\r\n{many}\r\n")), 431);
        let long = "x".repeat(HttpLimits::default().head_size);
        let bad = request(&format!("POST / HTTP/1.1\r\nA: {long}")).unwrap_err();
        assert!(bad.code == 431 && bad.detail.contains("head_size"), "{bad:?}");
        let bad = request(&format!(
            "POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n",
            usize::MAX
        ))
        .unwrap_err();
        assert!(bad.code == 413 && bad.detail.contains("message_size"), "{bad:?}");
    }

    #[test]
    fn a_head_cut_anywhere_is_incomplete_and_not_wrong() {
        let text = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
        for end in 0..text.len() {
            assert!(request(&text[..end]).unwrap().is_none(), "cut at {end}");
        }
    }

    #[test]
    fn connection_lists_are_read() {
        let keeps = |version: &str, value: &str| {
            request(&format!("GET / HTTP/{version}\r\nConnection: {value}\r\n\r\n"))
                .unwrap()
                .unwrap()
                .keep_alive
        };
        assert!(keeps("1.1", "keep-alive") && keeps("1.1", "foo, closed"));
        assert!(!keeps("1.1", "foo, Close") && !keeps("1.1", "close, keep-alive"));
        assert!(!keeps("1.0", "foo") && !keeps("1.0", "Keep-Alive"));
    }

    #[test]
    fn a_value_never_breaks_the_line() {
        let mut out = Vec::new();
        write_header(&mut out, "A", "b\r\nEvil: c\0").unwrap();
        assert_eq!(out, b"A: b  Evil: c \r\n");
        assert!(write_header(&mut out, "bad name", "").is_err());
        assert!(write_header(&mut out, "", "").is_err());
    }
}
