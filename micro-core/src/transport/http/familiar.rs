//! How heads begin on a connection: nearly always as the one before, so that only their ends are parsed anew.

use std::mem::MaybeUninit;

use bytes::Bytes;
use httparse::{EMPTY_HEADER, Header, Status};

use super::HttpLimits;
use super::connection::Side;
use super::head::{BadHead, Head, MAX_HEADERS, Room, incomplete, part_of};
use crate::Text;
use crate::wire::{Field, field};

/// The longest beginning that is remembered, in bytes.
const LONGEST: usize = 1024;
/// How many headers are expected behind a beginning that is known. A head with more is parsed as a whole.
const FEW: usize = 16;

/// The beginning of an earlier head of a connection: whole lines, up to the first header that is another for every
/// message. Their text is kept, and shared by all that is named in it.
#[derive(Debug, Default)]
pub(super) struct Familiar {
    text: Text,
    head: Box<Head>,
}

impl Familiar {
    /// The text of a head's beginning, where that is as much of the head as is needed.
    pub(super) fn text(&self, head: &Head, needed: usize) -> Option<Text> {
        match needed {
            0 => Some(Text::new()),
            _ => (needed <= head.familiar).then(|| self.text.clone()),
        }
    }

    /// Parses the head of the next message. `None`: it is not complete yet.
    pub(super) fn head(
        &mut self,
        side: Side,
        bytes: &[u8],
        limits: &HttpLimits,
    ) -> Result<Option<Box<Head>>, BadHead> {
        if let Some(end) = bytes
            .strip_prefix(self.text.as_bytes())
            .filter(|_| !self.text.is_empty())
        {
            let mut headers = [EMPTY_HEADER; FEW];
            match httparse::parse_headers(end, &mut headers) {
                Ok(Status::Complete((length, headers))) => {
                    let mut head = self.head.clone();
                    head.length = self.text.len() + length;
                    for header in headers {
                        head.take(bytes, header, field(header.name.as_bytes()))?;
                    }
                    head.finish(limits)?;
                    return Ok(Some(head));
                }
                Ok(Status::Partial) => return incomplete(bytes, limits),
                // There are more, or something is wrong: the whole head tells.
                Err(_) => {}
            }
        }
        self.whole_head(side, bytes, limits)
    }

    fn whole_head(
        &mut self,
        side: Side,
        bytes: &[u8],
        limits: &HttpLimits,
    ) -> Result<Option<Box<Head>>, BadHead> {
        let mut room: Room<'_> = [const { MaybeUninit::uninit() }; MAX_HEADERS];
        let started = match side {
            Side::Requests => Head::request(bytes, &mut room),
            Side::Responses => Head::response(bytes, &mut room),
        };
        let Some((mut head, headers)) = started? else {
            return incomplete(bytes, limits);
        };
        let mut is_beginning = true;
        for (before, header) in headers.iter().enumerate() {
            let field = field(header.name.as_bytes());
            if is_beginning && is_of_one_message(field) {
                is_beginning = false;
                if before + FEW <= MAX_HEADERS {
                    self.remember(bytes, header, &mut head);
                }
            }
            head.take(bytes, header, field)?;
        }
        head.finish(limits)?;
        Ok(Some(head))
    }

    /// Keeps what stands before a header, unless that is long or no text.
    fn remember(&mut self, bytes: &[u8], before: &Header<'_>, head: &mut Box<Head>) {
        let length = part_of(bytes, before.name.as_bytes()).0 as usize;
        let beginning = bytes
            .get(..length)
            .filter(|_| length <= LONGEST)
            .unwrap_or_default();
        if let Ok(text) = Text::from_utf8(Bytes::copy_from_slice(beginning)) {
            head.familiar = text.len();
            self.head.clone_from(head);
            self.text = text;
        }
    }
}

/// Whether a header is another for every message.
fn is_of_one_message(field: Field) -> bool {
    matches!(
        field,
        Field::ContentLength | Field::TransferEncoding | Field::Id | Field::Timeout | Field::Error
    )
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::transport::http::head::str_of;

    fn parsed(familiar: &mut Familiar, head: &str) -> Result<Option<Box<Head>>, BadHead> {
        familiar.head(Side::Requests, head.as_bytes(), &HttpLimits::default())
    }

    /// A familiar beginning, and heads that begin with it.
    const BEGINNING: &str =
        "POST / HTTP/1.1\r\nHost: a\r\nMicro-Method: B.C\r\nMicro-Service: b\r\nFoo: bar\r\n";

    #[test]
    fn a_head_is_the_same_whether_its_beginning_is_familiar_or_not() {
        let many = "A: 1\r\n".repeat(MAX_HEADERS - 5);
        let too_many = "A: 1\r\n".repeat(MAX_HEADERS - 4);
        for end in [
            "Content-Length: 3\r\n\r\n",
            "Content-Length: 12\r\nTimeout: 5000\r\nMicro-Id: 1\r\nfoo: 2\r\nOther: x\r\n\r\n",
            "Micro-Endpoint: D.E\r\nContent-Length: 0\r\n\r\n",
            "Micro-Service: late\r\n\r\n",
            "Connection: close\r\nX-Micro-Stream: 1\r\n\r\n",
            "Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "Content-Length: 1",
            "Content-Length 1\r\n\r\n",
            " folded: 1\r\n\r\n",
            "\r\n",
            "\r",
            "",
            &format!("{many}\r\n"),
            &format!("{too_many}\r\n"),
        ] {
            known_and_new_are_alike(end);
        }
    }

    proptest! {
        #[test]
        fn whatever_follows_a_familiar_beginning_is_understood_as_ever(
            ends in vec(select(vec![
                "Content-Length: 3\r\n", "Timeout: +5\r\n", "timeout: x\r\n", "Transfer-Encoding: chunked\r\n",
                "Micro-Id: 1\r\n", "Host: b\r\n", "Foo: 2\r\n", "Micro-Error: e\r\n", "X-Micro-Method: D.E\r\n",
                "Connection: close\r\n", "\r\n", "\n", "\r", " ", "\t", ":", "x", "A:", "\0", "ü",
            ]), 0..8),
        ) {
            known_and_new_are_alike(&ends.concat());
            known_and_new_are_alike(&(ends.concat() + "\r\n\r\n"));
        }
    }

    fn known_and_new_are_alike(end: &str) {
        let mut familiar = Familiar::default();
        parsed(&mut familiar, &format!("{BEGINNING}Content-Length: 7\r\n\r\n")).unwrap();
        assert_eq!(familiar.text, BEGINNING);
        let head = format!("{BEGINNING}{end}");
        let known = parsed(&mut familiar, &head);
        let new = parsed(&mut Familiar::default(), &head);
        assert_eq!(comparable(known), comparable(new), "{end:?}");
    }

    fn comparable(parsed: Result<Option<Box<Head>>, BadHead>) -> Result<Option<String>, (i32, String)> {
        let comparable = |mut head: Box<Head>| {
            head.familiar = 0;
            format!("{head:?}")
        };
        parsed
            .map(|head| head.map(comparable))
            .map_err(|bad| (bad.code, bad.detail))
    }

    #[test]
    fn a_beginning_is_text_that_later_heads_share() {
        let mut familiar = Familiar::default();
        for length in ["1", "22"] {
            let head = format!("{BEGINNING}Content-Length: {length}\r\nTimeout: 5\r\n\r\n");
            let head = parsed(&mut familiar, &head).unwrap().unwrap();
            let text = familiar.text(&head, head.needed(true)).unwrap();
            assert_eq!(
                (str_of(&text, head.service), str_of(&text, head.endpoint)),
                ("b", "B.C")
            );
        }
        let late = format!("{BEGINNING}Content-Length: 1\r\nLate: 1\r\n\r\n");
        let late = parsed(&mut familiar, &late).unwrap().unwrap();
        assert!(familiar.text(&late, late.needed(true)).is_none());
    }

    #[test]
    fn a_long_beginning_is_not_kept() {
        let long = format!(
            "POST / HTTP/1.1\r\nA: {}\r\nContent-Length: 1\r\n\r\n",
            "x".repeat(LONGEST)
        );
        let mut familiar = Familiar::default();
        let head = parsed(&mut familiar, &long).unwrap().unwrap();
        assert_eq!((familiar.text.len(), head.familiar), (0, 0));
    }
}
