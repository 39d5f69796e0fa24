//! The requests that a registry needs, and how their answers read.

use bytes::Bytes;

use crate::jute::{Malformed, Reader, Writer};

/// What ZooKeeper answers instead of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code(pub(crate) i32);

impl Code {
    pub(crate) const UNIMPLEMENTED: Self = Self(-6);
    pub(crate) const NO_NODE: Self = Self(-101);
    pub(crate) const NO_AUTH: Self = Self(-102);
    pub(crate) const BAD_VERSION: Self = Self(-103);
    pub(crate) const NODE_EXISTS: Self = Self(-110);
    pub(crate) const NOT_EMPTY: Self = Self(-111);
    pub(crate) const SESSION_EXPIRED: Self = Self(-112);
    pub(crate) const INVALID_ACL: Self = Self(-114);
    pub(crate) const AUTH_FAILED: Self = Self(-115);
    pub(crate) const SESSION_MOVED: Self = Self(-118);
    pub(crate) const SESSION_NEEDS_AUTH: Self = Self(-124);
    pub(crate) const QUOTA_EXCEEDED: Self = Self(-125);
    pub(crate) const THROTTLED: Self = Self(-127);
    /// Of a part of a transaction: another part failed.
    const ROLLED_BACK: Self = Self(-2);
}

/// A request: what is to be done, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) operation: i32,
    pub(crate) body: Bytes,
}

/// How a node lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Persistent,
    /// As long as the session that made it.
    Ephemeral,
    /// Until its last child is gone; then the server takes it away, some time later.
    Container,
}

/// Who may do what with a node: permissions, scheme and id.
pub(crate) type Acl = Vec<(i32, &'static str, &'static str)>;

pub(crate) const READ: i32 = 1;
pub(crate) const ALL: i32 = 31;

/// Xids of what is no request of a caller.
pub(crate) const EVENT: i32 = -1;
pub(crate) const PING: i32 = -2;
pub(crate) const AUTH: i32 = -4;

const CREATE: i32 = 1;
const DELETE: i32 = 2;
const EXISTS: i32 = 3;
const GET_DATA: i32 = 4;
const SET_DATA: i32 = 5;
const GET_CHILDREN: i32 = 8;
const SYNC: i32 = 9;
const MULTI: i32 = 14;
const REMOVE_WATCHES: i32 = 18;
const CREATE_CONTAINER: i32 = 19;
const ADD_WATCH: i32 = 106;

/// A mode of `ADD_WATCH`: what happens to a node and to all below it, until it is removed.
const PERSISTENT_RECURSIVE: i32 = 1;
/// A type of `REMOVE_WATCHES`.
const ANY_WATCH: i32 = 3;
/// The version that every node has.
pub(crate) const ANY_VERSION: i32 = -1;

pub(crate) fn create(path: &str, data: &[u8], acl: &Acl, life: Life) -> Request {
    let (operation, flags) = match life {
        Life::Persistent => (CREATE, 0),
        Life::Ephemeral => (CREATE, 1),
        Life::Container => (CREATE_CONTAINER, 4),
    };
    let count = i32::try_from(acl.len()).unwrap_or(i32::MAX);
    let mut body = Writer::default().text(path).bytes(data).int(count);
    for (permissions, scheme, id) in acl {
        body = body.int(*permissions).text(scheme).text(id);
    }
    request(operation, body.int(flags))
}

pub(crate) fn delete(path: &str, version: i32) -> Request {
    request(DELETE, Writer::default().text(path).int(version))
}

pub(crate) fn exists(path: &str) -> Request {
    request(EXISTS, Writer::default().text(path).bool(false))
}

pub(crate) fn get_data(path: &str) -> Request {
    request(GET_DATA, Writer::default().text(path).bool(false))
}

pub(crate) fn set_data(path: &str, data: &[u8], version: i32) -> Request {
    request(SET_DATA, Writer::default().text(path).bytes(data).int(version))
}

pub(crate) fn get_children(path: &str) -> Request {
    request(GET_CHILDREN, Writer::default().text(path).bool(false))
}

/// Has the server catch up with the others before it answers what comes next.
pub(crate) fn sync(path: &str) -> Request {
    request(SYNC, Writer::default().text(path))
}

pub(crate) fn add_watch(path: &str) -> Request {
    request(ADD_WATCH, Writer::default().text(path).int(PERSISTENT_RECURSIVE))
}

pub(crate) fn remove_watches(path: &str) -> Request {
    request(REMOVE_WATCHES, Writer::default().text(path).int(ANY_WATCH))
}

/// All of these or none.
pub(crate) fn multi(parts: &[Request]) -> Request {
    let mut body = Writer::default();
    for part in parts {
        body = body.int(part.operation).bool(false).int(-1).raw(&part.body);
    }
    request(MULTI, body.int(-1).bool(true).int(-1))
}

fn request(operation: i32, body: Writer) -> Request {
    Request {
        operation,
        body: body.finish(),
    }
}

/// What a node has: its data, how often they were set, and the session whose end is the node's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) data: Bytes,
    pub(crate) version: i32,
    /// 0: none.
    pub(crate) owner: i64,
}

pub(crate) fn read_content(answer: &Bytes) -> Result<Content, Malformed> {
    let mut reader = Reader::new(answer);
    let data = answer.slice_ref(reader.bytes()?);
    // When it was created and changed last, by transaction and by clock.
    for _ in 0..4 {
        reader.long()?;
    }
    let version = reader.int()?;
    reader.int()?;
    reader.int()?;
    Ok(Content {
        data,
        version,
        owner: reader.long()?,
    })
}

pub(crate) fn read_children(answer: &[u8]) -> Result<Vec<String>, Malformed> {
    Reader::new(answer).texts()
}

/// Why a transaction was rolled back; nothing if it was done.
pub(crate) fn read_multi(answer: &[u8]) -> Result<Option<Code>, Malformed> {
    const FAILED: i32 = -1;
    let mut reader = Reader::new(answer);
    let mut reason = None;
    loop {
        let (kind, done) = (reader.int()?, reader.bool()?);
        reader.int()?;
        match kind {
            _ if done => return Ok(reason),
            FAILED => {
                let code = Code(reader.int()?);
                if code.0 != 0 && (reason.is_none() || code != Code::ROLLED_BACK) {
                    reason = reason.filter(|known| *known != Code::ROLLED_BACK).or(Some(code));
                }
            }
            // What was done is not read: a transaction without failed parts was done as a whole.
            _ => return Ok(None),
        }
    }
}

/// The first message of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) timeout: i32,
    /// 0: a new one is wanted.
    pub(crate) session: i64,
    pub(crate) password: Vec<u8>,
}

impl Hello {
    pub(crate) fn write(&self) -> Bytes {
        // The transaction that was seen last is not told: a server that came back without its data would hang up for
        // ever, where it is right to begin anew.
        let (protocol, last_seen, read_only) = (0, 0, false);
        Writer::default()
            .int(protocol)
            .long(last_seen)
            .int(self.timeout)
            .long(self.session)
            .bytes(&self.password)
            .bool(read_only)
            .finish()
    }

    /// Reads the answer, in which a timeout of 0 says that the session is over.
    pub(crate) fn read(answer: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(answer);
        reader.int()?;
        Ok(Self {
            timeout: reader.int()?,
            session: reader.long()?,
            password: reader.bytes()?.to_vec(),
        })
    }
}

/// The message that says who this is.
pub(crate) fn authentication(user: &str, password: &str) -> Bytes {
    Writer::default()
        .int(0)
        .text("digest")
        .text(&format!("{user}:{password}"))
        .finish()
}

/// The path of an event.
pub(crate) fn read_event(body: &[u8]) -> Result<&str, Malformed> {
    let mut reader = Reader::new(body);
    let (_kind, _state) = (reader.int()?, reader.int()?);
    reader.text()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests_have_the_bytes_of_zookeepers_protocol() {
        let acl = vec![(ALL, "world", "anyone")];
        let made = create("/a/b", b"{}", &acl, Life::Ephemeral);
        assert_eq!(made.operation, 1);
        assert_eq!(
            &made.body[..],
            b"\0\0\0\x04/a/b\0\0\0\x02{}\0\0\0\x01\0\0\0\x1f\0\0\0\x05world\0\0\0\x06anyone\0\0\0\x01"
        );
        let container = create("/a", b"", &acl, Life::Container);
        assert_eq!((container.operation, container.body.last()), (19, Some(&4)));
        assert_eq!(&get_data("/a").body[..], b"\0\0\0\x02/a\0");
        let both = multi(&[delete("/a", 7), set_data("/b", b"x", 0)]);
        assert_eq!(both.operation, 14);
        assert_eq!(
            &both.body[..],
            b"\0\0\0\x02\0\xff\xff\xff\xff\0\0\0\x02/a\0\0\0\x07\
              \0\0\0\x05\0\xff\xff\xff\xff\0\0\0\x02/b\0\0\0\x01x\0\0\0\0\
              \xff\xff\xff\xff\x01\xff\xff\xff\xff"
        );
        assert_eq!(&add_watch("/a").body[..], b"\0\0\0\x02/a\0\0\0\x01");
    }

    #[test]
    fn a_connection_begins_with_the_session_it_continues() {
        let hello = Hello {
            timeout: 10_000,
            session: 0x0100_0000_0000_0002,
            password: b"0123456789abcdef".to_vec(),
        };
        let written = hello.write();
        assert_eq!(
            &written[..],
            b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x27\x10\x01\0\0\0\0\0\0\x02\0\0\0\x100123456789abcdef\0"
        );
        let answer = [&written[..4], &written[12..]].concat();
        assert_eq!(Hello::read(&answer), Ok(hello));
        assert_eq!(
            &authentication("me", "pw")[..],
            b"\0\0\0\0\0\0\0\x06digest\0\0\0\x05me:pw"
        );
    }

    #[test]
    fn a_nodes_content_is_read_with_its_version_and_owner() {
        let mut answer = Writer::default().bytes(b"data");
        for transaction in 0..4 {
            answer = answer.long(transaction);
        }
        let answer = answer
            .int(3)
            .int(0)
            .int(0)
            .long(77)
            .int(4)
            .int(0)
            .long(0)
            .finish();
        let content = read_content(&answer).unwrap();
        assert_eq!(
            (&content.data[..], content.version, content.owner),
            (&b"data"[..], 3, 77)
        );
        assert!(read_content(&answer.slice(..30)).is_err());
    }

    #[test]
    fn a_transaction_tells_the_first_real_reason() {
        let failed = |codes: &[i32]| {
            let mut answer = Writer::default();
            for code in codes {
                answer = answer.int(-1).bool(false).int(*code).int(*code);
            }
            read_multi(&answer.int(-1).bool(true).int(-1).finish())
        };
        assert_eq!(failed(&[0, -110, -2]), Ok(Some(Code::NODE_EXISTS)));
        assert_eq!(failed(&[-2, -103]), Ok(Some(Code::BAD_VERSION)));
        assert_eq!(failed(&[]), Ok(None));
        let done = Writer::default().int(2).bool(false).int(0).int(1).finish();
        assert_eq!(read_multi(&done), Ok(None));
        assert!(read_multi(b"\0").is_err());
    }

    proptest! {
        #[test]
        fn no_answer_makes_a_reader_panic(answer in prop::collection::vec(any::<u8>(), 0..160)) {
            let answer = Bytes::from(answer);
            let _ = read_content(&answer);
            let _ = read_children(&answer);
            let _ = read_multi(&answer);
            let _ = read_event(&answer);
            let _ = Hello::read(&answer);
        }
    }
}
