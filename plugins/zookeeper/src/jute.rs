//! Jute, in which ZooKeeper's messages are written: big-endian numbers, texts and lists behind their length, and frames
//! of at most so many bytes.

use bytes::{Buf, Bytes, BytesMut};

/// A message that is not what it should be. The text says in which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// What is wrong with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadFrame {
    Negative,
    TooLarge(usize),
}

/// Takes the next whole frame out of what was received. None: more has to be received first. Nothing is
/// reserved for what a frame merely announces.
pub(crate) fn take_frame(received: &mut BytesMut, limit: usize) -> Result<Option<Bytes>, BadFrame> {
    let Some(head) = received.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = usize::try_from(i32::from_be_bytes(*head)).map_err(|_| BadFrame::Negative)?;
    if length > limit {
        return Err(BadFrame::TooLarge(length));
    }
    if received.len() - 4 < length {
        return Ok(None);
    }
    received.advance(4);
    Ok(Some(received.split_to(length).freeze()))
}

/// Writes a message.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    #[must_use]
    pub(crate) fn int(mut self, value: i32) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    #[must_use]
    pub(crate) fn long(mut self, value: i64) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    #[must_use]
    pub(crate) fn bool(mut self, value: bool) -> Self {
        self.0.push(u8::from(value));
        self
    }

    /// Bytes, or a text in UTF-8. What does not fit into the length is refused long before, by the limit of a frame.
    #[must_use]
    pub(crate) fn bytes(self, value: &[u8]) -> Self {
        let length = i32::try_from(value.len()).unwrap_or(i32::MAX);
        self.int(length).raw(value)
    }

    #[must_use]
    pub(crate) fn text(self, value: &str) -> Self {
        self.bytes(value.as_bytes())
    }

    /// What is written already.
    #[must_use]
    pub(crate) fn raw(mut self, value: &[u8]) -> Self {
        self.0.extend_from_slice(value);
        self
    }

    pub(crate) fn finish(self) -> Bytes {
        self.0.into()
    }
}

/// Reads a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self(message)
    }

    pub(crate) fn int(&mut self) -> Result<i32, Malformed> {
        self.take::<4>().map(i32::from_be_bytes)
    }

    pub(crate) fn long(&mut self) -> Result<i64, Malformed> {
        self.take::<8>().map(i64::from_be_bytes)
    }

    pub(crate) fn bool(&mut self) -> Result<bool, Malformed> {
        self.take::<1>().map(|byte| byte != [0])
    }

    /// Bytes; those of a node without data are read as empty.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = match self.int()? {
            -1 => 0,
            length => usize::try_from(length).map_err(|_| Malformed("a length is negative"))?,
        };
        let taken = self.0.split_at_checked(length);
        let (bytes, rest) = taken.ok_or(Malformed("it ends within a text"))?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed("a text is not UTF-8"))
    }

    pub(crate) fn texts(&mut self) -> Result<Vec<String>, Malformed> {
        let count = self.int()?.max(0);
        // No more room than the message can fill: each text has at least its length.
        let mut texts = Vec::new();
        for _ in 0..count {
            texts.push(self.text()?.to_owned());
        }
        Ok(texts)
    }

    /// What was not read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or(Malformed("it ends within a number"))?;
        self.0 = rest;
        Ok(*taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let written = Writer::default()
            .int(-7)
            .long(i64::MIN)
            .bool(true)
            .text("grüße")
            .bytes(b"")
            .finish();
        assert_eq!(
            &written[..],
            b"\xff\xff\xff\xf9\x80\0\0\0\0\0\0\0\x01\0\0\0\x07gr\xc3\xbc\xc3\x9fe\0\0\0\0"
        );
        let mut reader = Reader::new(&written);
        assert_eq!(reader.int(), Ok(-7));
        assert_eq!(reader.long(), Ok(i64::MIN));
        assert_eq!(reader.bool(), Ok(true));
        assert_eq!(reader.text(), Ok("grüße"));
        assert_eq!(reader.bytes(), Ok(&b""[..]));
        assert_eq!(reader.rest(), b"");
        assert!(reader.int().is_err());
    }

    #[test]
    fn absent_data_is_empty_and_other_negative_lengths_are_refused() {
        assert_eq!(Reader::new(b"\xff\xff\xff\xff").bytes(), Ok(&b""[..]));
        assert!(Reader::new(b"\xff\xff\xff\xfe").bytes().is_err());
        assert!(Reader::new(b"\x7f\xff\xff\xffabc").text().is_err());
        assert!(Reader::new(b"\0\0\0\x01\xff").text().is_err());
        assert!(Reader::new(b"\x7f\xff\xff\xff\0\0\0\x01a").texts().is_err());
        assert_eq!(Reader::new(b"\xff\xff\xff\xff").texts(), Ok(vec![]));
    }

    #[test]
    fn a_frame_is_taken_when_it_is_whole_and_a_wrong_one_is_refused_before() {
        let mut received = BytesMut::from(&b"\0\0\0\x02a"[..]);
        assert_eq!(take_frame(&mut received, 8), Ok(None));
        received.extend_from_slice(b"b\0\0");
        assert_eq!(take_frame(&mut received, 8), Ok(Some("ab".into())));
        assert_eq!(take_frame(&mut received, 8), Ok(None));
        let take = |bytes: &[u8]| take_frame(&mut BytesMut::from(bytes), 8);
        assert_eq!(take(b"\0\0\0\x09"), Err(BadFrame::TooLarge(9)));
        assert_eq!(take(b"\xff\xff\xff\xff"), Err(BadFrame::Negative));
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_wherever_they_are_cut(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
            piece in 1_usize..20,
        ) {
            let written: Vec<u8> = frames
                .iter()
                .flat_map(|frame| Writer::default().bytes(frame).finish())
                .collect();
            let (mut received, mut taken) = (BytesMut::new(), Vec::new());
            for piece in written.chunks(piece) {
                received.extend_from_slice(piece);
                while let Some(frame) = take_frame(&mut received, 64).unwrap() {
                    taken.push(frame.to_vec());
                }
            }
            prop_assert_eq!(taken, frames);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(message in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = Reader::new(&message);
            while reader.texts().is_ok() && !reader.rest().is_empty() {}
            let mut received = BytesMut::from(&message[..]);
            while let Ok(Some(_)) = take_frame(&mut received, 100) {}
        }
    }
}
