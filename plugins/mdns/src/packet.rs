//! DNS messages: as much of them as Go Micro's mDNS uses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(crate) const A: u16 = 1;
pub(crate) const PTR: u16 = 12;
pub(crate) const TXT: u16 = 16;
pub(crate) const AAAA: u16 = 28;
pub(crate) const SRV: u16 = 33;
pub(crate) const ANY: u16 = 255;

/// The class of everything here: Internet.
const IN: u16 = 1;
/// The top bit of a class: in a question it wishes for unicast, in a record it flushes caches.
const CLASS_FLAG: u16 = 0x8000;

/// Flags of a query, of an answer, and of a response that nobody asked for.
pub(crate) const QUERY: u16 = 0x0000;
pub(crate) const ANSWER: u16 = 0x8400;
pub(crate) const ANNOUNCEMENT: u16 = 0x8000;

const RESPONSE_FLAG: u16 = 0x8000;
/// Opcode, truncation and response code: all zero in what mDNS may take notice of.
const MUST_BE_ZERO: u16 = 0x7a0f;

/// Longest label and longest whole name, in bytes on the wire.
pub(crate) const MAX_LABEL: usize = 63;
pub(crate) const MAX_NAME: usize = 255;
/// What one packet may hold for this reader; the rest is left unread.
const MAX_QUESTIONS: usize = 8;
const MAX_RECORDS: usize = 256;

/// A received message. Names are dotted, without the dot at the end.
#[derive(Debug, PartialEq)]
pub(crate) struct Message<'a> {
    pub(crate) id: u16,
    pub(crate) flags: u16,
    pub(crate) questions: Vec<Question>,
    pub(crate) records: Vec<Record<'a>>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Question {
    pub(crate) name: String,
    pub(crate) kind: u16,
    pub(crate) class: u16,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Record<'a> {
    pub(crate) name: String,
    /// Seconds; 0 is a goodbye.
    pub(crate) ttl: u32,
    pub(crate) data: Data<'a>,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Data<'a> {
    Pointer(String),
    Service {
        priority: u16,
        weight: u16,
        port: u16,
        target: String,
    },
    Address(IpAddr),
    /// The strings of a TXT record as they are on the wire, each behind its length.
    Text(&'a [u8]),
}

/// The bytes are no DNS message.
#[derive(Debug, PartialEq)]
pub(crate) struct Malformed;

type Parsed<T> = Result<T, Malformed>;

impl Question {
    pub(crate) fn pointer(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind: PTR,
            class: IN,
        }
    }

    pub(crate) fn asks(&self, kind: u16) -> bool {
        self.kind == kind || self.kind == ANY
    }

    /// The whole query, as Go sends it.
    pub(crate) fn query(&self, id: u16) -> Vec<u8> {
        let mut writer = Writer::new(id, QUERY);
        writer.question(self);
        writer.finish()
    }
}

impl<'a> Message<'a> {
    /// Reads a message. Records of other kinds and names that are not UTF-8 are passed over.
    pub(crate) fn parse(bytes: &'a [u8]) -> Parsed<Self> {
        let mut reader = Reader { bytes, at: 0 };
        let id = reader.u16()?;
        let flags = reader.u16()?;
        let questions = usize::from(reader.u16()?);
        let mut records = 0;
        for _ in 0..3 {
            records += usize::from(reader.u16()?);
        }
        let mut message = Message {
            id,
            flags,
            questions: Vec::new(),
            records: Vec::new(),
        };
        if questions > MAX_QUESTIONS {
            return Err(Malformed);
        }
        for _ in 0..questions {
            message.questions.extend(reader.question()?);
        }
        for _ in 0..records.min(MAX_RECORDS) {
            message.records.extend(reader.record()?);
        }
        Ok(message)
    }

    pub(crate) fn is_response(&self) -> bool {
        self.flags & RESPONSE_FLAG != 0
    }

    /// Whether mDNS may take notice of it.
    pub(crate) fn is_plain(&self) -> bool {
        self.flags & MUST_BE_ZERO == 0
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Parsed<&'a [u8]> {
        let end = self.at.checked_add(count).ok_or(Malformed)?;
        let taken = self.bytes.get(self.at..end).ok_or(Malformed)?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    fn u16(&mut self) -> Parsed<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Parsed<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn question(&mut self) -> Parsed<Option<Question>> {
        let name = self.name()?;
        let kind = self.u16()?;
        let class = self.u16()?;
        let question = |name| Question { name, kind, class };
        Ok(name.filter(|_| class & !CLASS_FLAG == IN).map(question))
    }

    fn record(&mut self) -> Parsed<Option<Record<'a>>> {
        let name = self.name()?;
        let kind = self.u16()?;
        let class = self.u16()?;
        let ttl = self.u32()?;
        let length = usize::from(self.u16()?);
        let start = self.at;
        let bytes = self.take(length)?;
        if class & !CLASS_FLAG != IN {
            return Ok(None);
        }
        // Names in the data may point anywhere before, so they are read in the whole message, up to the data's end.
        let mut data = Reader {
            bytes: &self.bytes[..self.at],
            at: start,
        };
        let data = match kind {
            PTR => data.name()?.map(Data::Pointer),
            SRV => {
                let (priority, weight, port) = (data.u16()?, data.u16()?, data.u16()?);
                data.name()?.map(|target| Data::Service {
                    priority,
                    weight,
                    port,
                    target,
                })
            }
            A => Some(Data::Address(Ipv4Addr::from(data.array::<4>()?).into())),
            AAAA => Some(Data::Address(Ipv6Addr::from(data.array::<16>()?).into())),
            TXT => Some(Data::Text(bytes)),
            _ => None,
        };
        let record = name.zip(data).map(|(name, data)| Record { name, ttl, data });
        Ok(record)
    }

    /// A name; `None` when it is well-formed but not UTF-8.
    fn name(&mut self) -> Parsed<Option<String>> {
        let mut name = Vec::new();
        let mut at = self.at;
        let mut end = None;
        // Each pointer must lead before everything read so far: that way there is no loop.
        let mut lowest = at;
        loop {
            let length = *self.bytes.get(at).ok_or(Malformed)?;
            match length {
                0 => break,
                1..=63 => {
                    let label = at + 1..at + 1 + usize::from(length);
                    at = label.end;
                    if !name.is_empty() {
                        name.push(b'.');
                    }
                    name.extend_from_slice(self.bytes.get(label).ok_or(Malformed)?);
                    if name.len() + 2 > MAX_NAME {
                        return Err(Malformed);
                    }
                }
                0xc0.. => {
                    let low = *self.bytes.get(at + 1).ok_or(Malformed)?;
                    end.get_or_insert(at + 2);
                    at = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                    if at >= lowest {
                        return Err(Malformed);
                    }
                    lowest = at;
                }
                _ => return Err(Malformed),
            }
        }
        self.at = end.unwrap_or(at + 1);
        Ok(String::from_utf8(name).ok())
    }
}

/// Writes a message, with names compressed. Names must be such that [`check_name`] takes them.
pub(crate) struct Writer {
    bytes: Vec<u8>,
    /// The endings of names written so far, and where they are.
    names: Vec<(String, u16)>,
}

/// Where the counts of questions and answers are.
const QUESTIONS: usize = 4;
const ANSWERS: usize = 6;

impl Writer {
    pub(crate) fn new(id: u16, flags: u16) -> Self {
        let mut bytes = Vec::with_capacity(512);
        bytes.extend_from_slice(&id.to_be_bytes());
        bytes.extend_from_slice(&flags.to_be_bytes());
        bytes.extend_from_slice(&[0; 8]);
        Self {
            bytes,
            names: Vec::new(),
        }
    }

    pub(crate) fn question(&mut self, question: &Question) {
        self.count(QUESTIONS);
        self.name(&question.name, true);
        self.u16(question.kind);
        self.u16(question.class);
    }

    pub(crate) fn pointer(&mut self, name: &str, ttl: u32, to: &str) {
        self.record(name, PTR, ttl, |writer| writer.name(to, true));
    }

    pub(crate) fn service(&mut self, name: &str, ttl: u32, port: u16, target: &str) {
        self.record(name, SRV, ttl, |writer| {
            writer.u16(10);
            writer.u16(1);
            writer.u16(port);
            // The target of an SRV record is never compressed, but later names may point to it.
            writer.name(target, false);
        });
    }

    pub(crate) fn address(&mut self, name: &str, ttl: u32, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.record(name, A, ttl, |writer| writer.raw(&address.octets())),
            IpAddr::V6(address) => self.record(name, AAAA, ttl, |writer| writer.raw(&address.octets())),
        }
    }

    /// `strings` are as on the wire, each behind its length.
    pub(crate) fn text(&mut self, name: &str, ttl: u32, strings: &[u8]) {
        self.record(name, TXT, ttl, |writer| writer.raw(strings));
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }

    fn record(&mut self, name: &str, kind: u16, ttl: u32, data: impl FnOnce(&mut Self)) {
        self.count(ANSWERS);
        self.name(name, true);
        self.u16(kind);
        self.u16(IN);
        self.raw(&ttl.to_be_bytes());
        let length_at = self.bytes.len();
        self.u16(0);
        data(self);
        // What does not fit is refused before it comes here: see `NodeRecord::new`.
        let length = u16::try_from(self.bytes.len() - length_at - 2).unwrap_or(u16::MAX);
        self.bytes[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
    }

    fn name(&mut self, name: &str, compress: bool) {
        let mut rest = name;
        while !rest.is_empty() {
            let known = self.names.iter().find(|(known, _)| known == rest);
            if let (true, Some((_, at))) = (compress, known) {
                let pointer = 0xc000 | at;
                return self.u16(pointer);
            }
            // A pointer has 14 bits.
            if let (None, Ok(at @ ..0x4000)) = (known, u16::try_from(self.bytes.len())) {
                self.names.push((rest.to_owned(), at));
            }
            let (label, after) = rest.split_once('.').unwrap_or((rest, ""));
            let label = &label.as_bytes()[..label.len().min(MAX_LABEL)];
            self.bytes.push(label.len() as u8);
            self.raw(label);
            rest = after;
        }
        self.bytes.push(0);
    }

    fn count(&mut self, at: usize) {
        let count = u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]]).saturating_add(1);
        self.bytes[at..at + 2].copy_from_slice(&count.to_be_bytes());
    }

    fn u16(&mut self, value: u16) {
        self.raw(&value.to_be_bytes());
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }
}

/// Whether DNS can carry the dotted name. The error says in words why not.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if name.len() + 2 > MAX_NAME {
        return Err(format!(
            "the DNS name {name} takes {} bytes, and the limit is {MAX_NAME}; choose a shorter name",
            name.len() + 2
        ));
    }
    for label in name.split('.') {
        if label.is_empty() {
            return Err(format!(
                "the DNS name {name} has an empty part between dots; a part needs at least one letter"
            ));
        }
        if label.len() > MAX_LABEL {
            return Err(format!(
                "the part {label} of a name has {} bytes, and DNS allows {MAX_LABEL} between dots; \
                 choose a shorter name or put a dot in it",
                label.len()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(pair).collect()
    }

    /// What a Go program sent when it listed the services.
    const LIST_QUERY: &str = "f26a 0000 0001 0000 0000 0000 09 5f7365727669636573 05 6d6963726f 00 000c 0001";
    /// What a Go program answered to that.
    const LIST_ANSWER: &str = "000084000001000400000000095f7365727669636573056d6963726f00000c0001c00c000c0001000000\
        78001207696e7465726f700767726565746572c00cc02d0021000100000078000a000a0001270f02766d00c0510001000100000078\
        000400000000c02d00100001000000780000";

    #[test]
    fn a_query_is_what_go_sends() {
        let query = Question::pointer("_services.micro").query(0xf26a);
        assert_eq!(query, bytes(LIST_QUERY));
        assert_eq!(Question::pointer("interop.greeter.micro").query(1).len(), 39);
        let message = Message::parse(&query).unwrap();
        assert_eq!(message.questions, [Question::pointer("_services.micro")]);
        assert!(!message.is_response() && message.is_plain());
    }

    #[test]
    fn a_go_answer_is_read() {
        let answer = bytes(LIST_ANSWER);
        let message = Message::parse(&answer).unwrap();
        assert_eq!((message.id, message.flags), (0, ANSWER));
        assert_eq!(message.questions, [Question::pointer("_services.micro")]);
        let entry = "interop.greeter._services.micro".to_owned();
        let record = |name: &str, data| Record {
            name: name.to_owned(),
            ttl: 120,
            data,
        };
        let service = Data::Service {
            priority: 10,
            weight: 1,
            port: 9999,
            target: "vm".to_owned(),
        };
        assert_eq!(
            message.records,
            [
                record("_services.micro", Data::Pointer(entry.clone())),
                record(&entry, service),
                record("vm", Data::Address(Ipv4Addr::UNSPECIFIED.into())),
                record(&entry, Data::Text(&[])),
            ]
        );
    }

    #[test]
    fn the_same_answer_is_written() {
        let mut writer = Writer::new(0, ANSWER);
        let entry = "interop.greeter._services.micro";
        writer.question(&Question::pointer("_services.micro"));
        writer.pointer("_services.micro", 120, entry);
        writer.service(entry, 120, 9999, "vm");
        writer.address("vm", 120, Ipv4Addr::UNSPECIFIED.into());
        writer.text(entry, 120, &[]);
        assert_eq!(writer.finish(), bytes(LIST_ANSWER));
    }

    #[test]
    fn pointers_that_lead_in_circles_end() {
        let circles = [
            "c00c 000c 0001",
            "c00e c00c 000c 0001",
            "0161 c00c 000c 0001",
            "0161 c010 0162 c00c 000c 0001",
            "ffff 000c 0001",
        ];
        for circle in circles {
            let packet = bytes(&format!("0001 0000 0001 0000 0000 0000 {circle}"));
            assert!(Message::parse(&packet).is_err(), "{circle}");
        }
        // A chain of pointers down through labels is no longer than a name may be.
        let mut chain = vec![1, b'a', 0];
        for step in 0..1000_u16 {
            let before = (step * 4).saturating_sub(1);
            chain.extend([1, b'a']);
            chain.extend((0xc000 | before).to_be_bytes());
        }
        let read = |at| Reader { bytes: &chain, at }.name();
        assert_eq!(read(3 + 4 * 100).unwrap().unwrap().len(), 2 * 102 - 1);
        assert!(read(3 + 4 * 999).is_err());
    }

    #[test]
    fn names_are_checked_for_what_dns_carries() {
        assert!(check_name(&"a".repeat(63)).is_ok());
        assert!(check_name(&"a".repeat(64)).unwrap_err().contains("63"));
        let longest = [
            ["a"; 63].concat(),
            ["a"; 63].concat(),
            ["a"; 63].concat(),
            ["a"; 61].concat(),
        ]
        .join(".");
        assert!(check_name(&longest).is_ok());
        assert!(check_name(&format!("{longest}a")).unwrap_err().contains("255"));
        for name in ["", ".", "a.", ".a", "a..b"] {
            assert!(check_name(name).unwrap_err().contains("empty"), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(packet in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = Message::parse(&packet);
        }

        #[test]
        fn damaged_answers_are_read_without_harm(
            damage in prop::collection::vec((0_usize..113, any::<u8>()), 1..8),
            length in 0_usize..114,
        ) {
            let mut packet = bytes(LIST_ANSWER);
            for (at, byte) in damage {
                packet[at] = byte;
            }
            packet.truncate(length);
            let _ = Message::parse(&packet);
        }

        #[test]
        fn names_full_of_pointers_are_read_without_harm(
            chunks in prop::collection::vec(prop_oneof![
                (0xc0_u8..=0xc1, any::<u8>()).prop_map(|(high, low)| vec![high, low]),
                Just(vec![1, b'a']),
                Just(vec![0]),
            ], 0..300),
        ) {
            let mut packet = bytes("0001 8400 0008 00ff 00ff 00ff");
            packet.extend(chunks.concat());
            let _ = Message::parse(&packet);
        }

        #[test]
        fn what_was_written_is_read_back(
            labels in prop::collection::vec(("[^.]{1,12}", "[a-z]{1,8}"), 1..10),
            ttl in any::<u32>(),
            port in any::<u16>(),
            address in any::<IpAddr>(),
            text in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut writer = Writer::new(7, ANNOUNCEMENT);
            let names: Vec<String> = labels.iter().map(|(one, other)| format!("{one}.{other}.micro")).collect();
            for name in &names {
                writer.pointer("micro", ttl, name);
                writer.service(name, ttl, port, name);
                writer.address(name, ttl, address);
                writer.text(name, ttl, &text);
            }
            let packet = writer.finish();
            let message = Message::parse(&packet).unwrap();
            prop_assert_eq!(message.records.len(), names.len() * 4);
            for (name, records) in names.iter().zip(message.records.chunks(4)) {
                prop_assert_eq!(&records[0].data, &Data::Pointer(name.clone()));
                let target = name.clone();
                prop_assert_eq!(&records[1].data, &Data::Service { priority: 10, weight: 1, port, target });
                prop_assert_eq!(&records[2].data, &Data::Address(address));
                prop_assert_eq!(&records[3].data, &Data::Text(&text));
                prop_assert!(records[1..].iter().all(|record| record.name == *name && record.ttl == ttl));
            }
        }
    }
}
