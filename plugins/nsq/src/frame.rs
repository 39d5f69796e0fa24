//! What is said over a connection: commands one way, frames the other.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// What a connection begins with: the protocol.
pub(crate) const MAGIC: &[u8] = b"  V2";
/// What an nsqd says to show that it is alive.
pub(crate) const HEARTBEAT: &[u8] = b"_heartbeat_";
pub(crate) const OK: &[u8] = b"OK";
/// The answer to `CLS`: nothing more will come.
pub(crate) const CLOSE_WAIT: &[u8] = b"CLOSE_WAIT";

/// Besides the body, a message has a time, a count and an id.
const MESSAGE_HEAD: usize = 8 + 2 + 16;
/// Answers may have so much beside the largest message.
const BESIDE: usize = 64 * 1024;

/// By what an nsqd knows a message.
pub(crate) type MessageId = [u8; 16];

/// What an nsqd says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    /// An answer.
    Response(Bytes),
    /// A code and words.
    Error(Bytes),
    Message {
        attempts: u16,
        id: MessageId,
        body: Bytes,
    },
}

/// What is no frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// So long it says it is.
    TooLong(usize),
    TooShort(usize),
    UnknownType(u32),
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong(length) => write!(
                formatter,
                "announced a frame of {length} bytes, which is more than `max_message` allows for"
            ),
            Self::TooShort(length) => write!(formatter, "sent a frame of {length} bytes, which is too short"),
            Self::UnknownType(kind) => write!(formatter, "sent a frame of the unknown type {kind}"),
        }
    }
}

/// Takes the first frame out of what has arrived. None: it is not all there. Reserves no more than the frame needs.
pub(crate) fn take(arrived: &mut BytesMut, max_message: usize) -> Result<Option<Frame>, Malformed> {
    let Some(head) = arrived.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*head) as usize;
    if length < 4 {
        return Err(Malformed::TooShort(length));
    }
    if length > max_message.saturating_add(BESIDE) {
        return Err(Malformed::TooLong(length));
    }
    if arrived.len() < 4 + length {
        arrived.reserve(4 + length - arrived.len());
        return Ok(None);
    }
    let mut frame = arrived.split_to(4 + length).freeze();
    frame.advance(4);
    match frame.get_u32() {
        0 => Ok(Some(Frame::Response(frame))),
        1 => Ok(Some(Frame::Error(frame))),
        2 if frame.len() < MESSAGE_HEAD => Err(Malformed::TooShort(length)),
        2 => {
            frame.advance(8);
            let attempts = frame.get_u16();
            let mut id = MessageId::default();
            frame.copy_to_slice(&mut id);
            Ok(Some(Frame::Message {
                attempts,
                id,
                body: frame,
            }))
        }
        other => Err(Malformed::UnknownType(other)),
    }
}

fn sized(out: &mut BytesMut, body: &[u8]) {
    // No message is that large: its size is checked before.
    out.put_u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
    out.put_slice(body);
}

pub(crate) fn identify(out: &mut BytesMut, json: &[u8]) {
    out.put_slice(b"IDENTIFY\n");
    sized(out, json);
}

pub(crate) fn auth(out: &mut BytesMut, secret: &str) {
    out.put_slice(b"AUTH\n");
    sized(out, secret.as_bytes());
}

pub(crate) fn subscribe(out: &mut BytesMut, topic: &str, channel: &str) {
    line(out, &[b"SUB", topic.as_bytes(), channel.as_bytes()]);
}

pub(crate) fn publish(out: &mut BytesMut, topic: &str, body: &[u8]) {
    line(out, &[b"PUB", topic.as_bytes()]);
    sized(out, body);
}

/// Several messages of one topic at once, of which nsqd takes all or none.
pub(crate) fn publish_all<'a>(
    out: &mut BytesMut,
    topic: &str,
    bodies: impl ExactSizeIterator<Item = &'a [u8]> + Clone,
) {
    line(out, &[b"MPUB", topic.as_bytes()]);
    let size: usize = 4 + bodies.clone().map(|body| 4 + body.len()).sum::<usize>();
    out.put_u32(u32::try_from(size).unwrap_or(u32::MAX));
    out.put_u32(u32::try_from(bodies.len()).unwrap_or(u32::MAX));
    for body in bodies {
        sized(out, body);
    }
}

pub(crate) fn ready(out: &mut BytesMut, count: usize) {
    line(out, &[b"RDY", count.to_string().as_bytes()]);
}

pub(crate) fn finish(out: &mut BytesMut, id: &MessageId) {
    line(out, &[b"FIN", id]);
}

pub(crate) fn requeue(out: &mut BytesMut, id: &MessageId, millis: u64) {
    line(out, &[b"REQ", id, millis.to_string().as_bytes()]);
}

pub(crate) fn touch(out: &mut BytesMut, id: &MessageId) {
    line(out, &[b"TOUCH", id]);
}

pub(crate) fn close(out: &mut BytesMut) {
    line(out, &[b"CLS"]);
}

pub(crate) fn alive(out: &mut BytesMut) {
    line(out, &[b"NOP"]);
}

fn line(out: &mut BytesMut, words: &[&[u8]]) {
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            out.put_u8(b' ');
        }
        out.put_slice(word);
    }
    out.put_u8(b'\n');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 1024;

    fn written(write: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
        let mut out = BytesMut::new();
        write(&mut out);
        out.to_vec()
    }

    fn frame(kind: u32, data: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        out.put_u32(u32::try_from(data.len()).unwrap() + 4);
        out.put_u32(kind);
        out.put_slice(data);
        out.to_vec()
    }

    #[test]
    fn commands_are_written_to_the_byte() {
        let id = *b"0123456789abcdef";
        let rows: [(Vec<u8>, &[u8]); 10] = [
            (written(|out| identify(out, b"{}")), b"IDENTIFY\n\0\0\0\x02{}"),
            (written(|out| auth(out, "abc")), b"AUTH\n\0\0\0\x03abc"),
            (
                written(|out| subscribe(out, "t.one", "q1#ephemeral")),
                b"SUB t.one q1#ephemeral\n",
            ),
            (
                written(|out| publish(out, "t.one", b"{}")),
                b"PUB t.one\n\0\0\0\x02{}",
            ),
            (
                written(|out| publish_all(out, "t", [&b"a"[..], b"bc"].into_iter())),
                b"MPUB t\n\0\0\0\x0f\0\0\0\x02\0\0\0\x01a\0\0\0\x02bc",
            ),
            (written(|out| ready(out, 12)), b"RDY 12\n"),
            (written(|out| finish(out, &id)), b"FIN 0123456789abcdef\n"),
            (
                written(|out| requeue(out, &id, 100)),
                b"REQ 0123456789abcdef 100\n",
            ),
            (written(|out| touch(out, &id)), b"TOUCH 0123456789abcdef\n"),
            (
                written(|out| {
                    close(out);
                    alive(out);
                }),
                b"CLS\nNOP\n",
            ),
        ];
        for (found, expected) in rows {
            assert_eq!(String::from_utf8_lossy(&found), String::from_utf8_lossy(expected));
        }
    }

    #[test]
    fn frames_are_read_in_whatever_pieces_they_come() {
        let mut message = vec![0, 0, 0, 0, 0, 0, 0, 7, 0, 3];
        message.extend(b"0123456789abcdefbody");
        let stream = [frame(0, b"OK"), frame(1, b"E_INVALID x"), frame(2, &message)].concat();
        let expected = [
            Frame::Response(Bytes::from_static(b"OK")),
            Frame::Error(Bytes::from_static(b"E_INVALID x")),
            Frame::Message {
                attempts: 3,
                id: *b"0123456789abcdef",
                body: Bytes::from_static(b"body"),
            },
        ];
        for size in [1, 3, 7, stream.len()] {
            let (mut arrived, mut frames) = (BytesMut::new(), Vec::new());
            for piece in stream.chunks(size) {
                arrived.extend_from_slice(piece);
                while let Some(frame) = take(&mut arrived, LIMIT).unwrap() {
                    frames.push(frame);
                }
            }
            assert_eq!(frames, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_no_frame_is_refused_before_it_is_read() {
        let refused = |bytes: &[u8]| take(&mut BytesMut::from(bytes), LIMIT).unwrap_err();
        assert_eq!(refused(&[0, 0, 0, 3]), Malformed::TooShort(3));
        assert_eq!(refused(&[0xff; 4]), Malformed::TooLong(u32::MAX as usize));
        assert_eq!(refused(b"HTTP/1.1 400"), Malformed::TooLong(0x4854_5450));
        assert_eq!(refused(&frame(9, b"")), Malformed::UnknownType(9));
        assert_eq!(refused(&frame(2, &[0; 25])), Malformed::TooShort(29));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_in_bounded_space(
            bytes in proptest::collection::vec(any::<u8>(), 0..256),
            size in 1_usize..64,
        ) {
            let mut arrived = BytesMut::new();
            for piece in bytes.chunks(size) {
                arrived.extend_from_slice(piece);
                loop {
                    match take(&mut arrived, LIMIT) {
                        Ok(Some(_)) => {}
                        Ok(None) => break,
                        Err(_) => return Ok(()),
                    }
                }
                prop_assert!(arrived.capacity() <= 2 * (LIMIT + BESIDE));
            }
        }

        #[test]
        fn frames_of_any_content_come_through(
            kind in 0_u32..3,
            data in proptest::collection::vec(any::<u8>(), 26..200),
        ) {
            let mut arrived = BytesMut::from(&frame(kind, &data)[..]);
            let found = take(&mut arrived, LIMIT).unwrap().unwrap();
            match found {
                Frame::Response(found) | Frame::Error(found) => prop_assert_eq!(&found[..], &data[..]),
                Frame::Message { id, body, .. } => {
                    prop_assert_eq!(&id[..], &data[10..26]);
                    prop_assert_eq!(&body[..], &data[26..]);
                }
            }
            prop_assert!(arrived.is_empty());
        }
    }
}
