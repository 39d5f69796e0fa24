//! One connection: requests go out as they come, answers come back in their order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use micro_core::transport::socket::Socket;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

use crate::dial::Dialled;
use crate::error::Trouble;
use crate::inbox::Inboxes;
use crate::intake::{Asked, Intake};
use crate::jute::{BadFrame, Reader, take_frame};
use crate::requests::{AUTH, Code, EVENT, PING, read_event, remove_watches};

/// How many requests may wait for their answers.
const MOST_IN_FLIGHT: usize = 1024;
/// With so many bytes to send, no further request is taken.
const MUCH_TO_SEND: usize = 256 * 1024;
/// How much is read at once.
const READ: usize = 16 * 1024;
/// How many bytes of an answer that is too large are received, to be thrown away, before the connection is given up.
const LARGEST_SKIPPED: usize = 256 * 1024 * 1024;
/// How long a server may take to take leave.
const GOODBYE: Duration = Duration::from_secs(1);

const OP_PING: i32 = 11;
const OP_AUTH: i32 = 100;
const OP_CLOSE: i32 = -11;

/// How a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// Nobody is left who could ask; the session was closed.
    Closed,
    Lost(Trouble),
}

pub(crate) struct Connection {
    dialogue: Dialogue,
    stream: Socket,
    timeout: Duration,
}

impl Connection {
    /// `limit`: how many bytes an answer may have. `authentication`: what says who this is.
    pub(crate) fn new(dialled: Dialled, limit: usize, authentication: Option<&Bytes>) -> Self {
        let mut dialogue = Dialogue {
            server: dialled.server,
            limit,
            received: dialled.received,
            to_send: BytesMut::new(),
            in_flight: VecDeque::new(),
            xid: 0,
            to_skip: 0,
        };
        if let Some(authentication) = authentication {
            dialogue.write(AUTH, OP_AUTH, authentication);
        }
        Self {
            dialogue,
            stream: dialled.stream,
            timeout: dialled.timeout,
        }
    }

    /// Serves until the connection is lost or nobody is left who could ask.
    pub(crate) async fn serve(mut self, intake: &mut Intake, inboxes: &Inboxes) -> End {
        let server = self.dialogue.server.clone();
        let trouble = match self.converse(intake, inboxes).await {
            Ok(()) => {
                // Nobody is left who would want to know how it went.
                let _ = timeout(GOODBYE, self.goodbye()).await;
                return End::Closed;
            }
            Err(trouble) => trouble,
        };
        self.dialogue.fail(&trouble);
        tracing::debug!("zookeeper at {server}: the connection ended: {trouble:?}");
        End::Lost(trouble)
    }

    /// Ends well when nobody is left who could ask.
    async fn converse(&mut self, intake: &mut Intake, inboxes: &Inboxes) -> Result<(), Trouble> {
        let dialogue = &mut self.dialogue;
        let server = dialogue.server.clone();
        let lost = |why: String| Trouble::Lost {
            server: server.clone(),
            why: why.into(),
        };
        let (mut reader, mut writer) = tokio::io::split(&mut self.stream);
        // Two thirds of the time are for noticing that a server is silent, the last is for finding another.
        let third = self.timeout / 3;
        let (mut heard, mut sent) = (Instant::now(), Instant::now());
        let mut flushed = true;
        dialogue.take(inboxes)?;
        loop {
            let has_room = dialogue.has_room();
            dialogue.received.reserve(READ);
            tokio::select! {
                read = reader.read_buf(&mut dialogue.received) => {
                    match read {
                        Ok(0) => return Err(lost("the server hung up".into())),
                        Ok(_) => heard = Instant::now(),
                        Err(problem) => return Err(lost(problem.to_string())),
                    }
                    dialogue.take(inboxes)?;
                }
                pushed = push(&mut writer, &mut dialogue.to_send), if !flushed || !dialogue.to_send.is_empty() => {
                    flushed = pushed.map_err(|problem| lost(problem.to_string()))?;
                    sent = Instant::now();
                }
                asked = intake.next(), if has_room => match asked {
                    None => return Ok(()),
                    Some(asked) => {
                        dialogue.ask(asked);
                        while let Some(asked) = dialogue.has_room().then(|| intake.ready()).flatten() {
                            dialogue.ask(asked);
                        }
                    }
                },
                () = inboxes.leaving.notified(), if has_room => {
                    for path in inboxes.left() {
                        dialogue.send(None, remove_watches(&path));
                    }
                }
                () = sleep_until((heard + 2 * third).min(sent + third)) => {
                    if heard.elapsed() >= 2 * third {
                        return Err(lost(format!("nothing was heard for {:?}", heard.elapsed())));
                    }
                    dialogue.write(PING, OP_PING, &[]);
                    sent = Instant::now();
                }
            }
        }
    }

    /// Closes the session, so that what it holds is gone at once.
    async fn goodbye(&mut self) -> std::io::Result<()> {
        self.dialogue.write(0, OP_CLOSE, &[]);
        self.stream.write_all_buf(&mut self.dialogue.to_send).await?;
        self.stream.flush().await?;
        // The server hangs up when it is done.
        let mut sink = [0; 4096];
        while self.stream.read(&mut sink).await? > 0 {}
        Ok(())
    }
}

/// Sends some of what there is to send, or what the stream still holds. Returns whether nothing is left. May be
/// cancelled.
async fn push(stream: &mut (impl AsyncWrite + Unpin), to_send: &mut BytesMut) -> std::io::Result<bool> {
    if to_send.is_empty() {
        stream.flush().await?;
        return Ok(true);
    }
    stream.write_buf(to_send).await?;
    Ok(false)
}

/// What was said over a connection, and what was not answered yet.
struct Dialogue {
    server: Arc<str>,
    limit: usize,
    received: BytesMut,
    to_send: BytesMut,
    in_flight: VecDeque<InFlight>,
    xid: i32,
    /// How many bytes are still to come of an answer that is too large.
    to_skip: usize,
}

struct InFlight {
    xid: i32,
    /// None: nobody wants to know.
    answer: Option<oneshot::Sender<Result<Bytes, Trouble>>>,
}

impl Dialogue {
    fn has_room(&self) -> bool {
        self.in_flight.len() < MOST_IN_FLIGHT && self.to_send.len() < MUCH_TO_SEND
    }

    fn ask(&mut self, asked: Asked) {
        self.send(Some(asked.answer), asked.request);
    }

    fn send(
        &mut self,
        answer: Option<oneshot::Sender<Result<Bytes, Trouble>>>,
        request: crate::requests::Request,
    ) {
        self.xid = self.xid.checked_add(1).unwrap_or(1);
        self.write(self.xid, request.operation, &request.body);
        self.in_flight.push_back(InFlight {
            xid: self.xid,
            answer,
        });
    }

    fn write(&mut self, xid: i32, operation: i32, body: &[u8]) {
        // No body is longer than the limit of a message, which was looked at before.
        let length = i32::try_from(8 + body.len()).unwrap_or(i32::MAX);
        self.to_send.reserve(12 + body.len());
        self.to_send.put_i32(length);
        self.to_send.put_i32(xid);
        self.to_send.put_i32(operation);
        self.to_send.put_slice(body);
    }

    /// Takes all whole messages that were received.
    fn take(&mut self, inboxes: &Inboxes) -> Result<(), Trouble> {
        loop {
            self.skip();
            match take_frame(&mut self.received, self.limit) {
                Ok(None) => return Ok(()),
                Ok(Some(frame)) => self.hear(&frame, inboxes)?,
                Err(BadFrame::Negative) => return Err(self.unexpected("a message has a negative length")),
                Err(BadFrame::TooLarge(size)) => {
                    if !self.begin_skip(size)? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Tells whom an answer is for that it is too large, which is nobody else's trouble. Returns whether enough was
    /// received to know who that is.
    fn begin_skip(&mut self, size: usize) -> Result<bool, Trouble> {
        let limit = self.limit;
        if size > LARGEST_SKIPPED {
            if let Some(first) = self.in_flight.pop_front() {
                first.tell(Err(Trouble::TooLarge { size, limit }));
            }
            return Err(Trouble::Lost {
                server: self.server.clone(),
                why: format!("a message of {size} bytes is larger than {limit}").into(),
            });
        }
        let Some(xid) = self.received.get(4..).and_then(|rest| rest.first_chunk::<4>()) else {
            return Ok(false);
        };
        let xid = i32::from_be_bytes(*xid);
        let is_next = self.in_flight.front().is_some_and(|first| first.xid == xid);
        let Some(first) = is_next.then(|| self.in_flight.pop_front()).flatten() else {
            return Err(self.unexpected("a message that is too large belongs to no request"));
        };
        first.tell(Err(Trouble::TooLarge { size, limit }));
        self.received.advance(4);
        self.to_skip = size;
        Ok(true)
    }

    /// Throws away what is to be skipped of what was received.
    fn skip(&mut self) {
        let skipped = self.to_skip.min(self.received.len());
        self.received.advance(skipped);
        self.to_skip -= skipped;
    }

    fn hear(&mut self, frame: &Bytes, inboxes: &Inboxes) -> Result<(), Trouble> {
        let mut reader = Reader::new(frame);
        let head = (|| Ok((reader.int()?, reader.long()?, Code(reader.int()?))))();
        let (xid, _, code) = head.map_err(|problem: crate::jute::Malformed| self.unexpected(problem.0))?;
        let body = frame.slice_ref(reader.rest());
        match xid {
            PING => Ok(()),
            EVENT => {
                let path = read_event(&body).map_err(|problem| self.unexpected(problem.0))?;
                inboxes.hear(path);
                Ok(())
            }
            AUTH if code.0 == 0 => Ok(()),
            AUTH => Err(self.refused(Code::AUTH_FAILED)),
            _ => self.answer(xid, code, body),
        }
    }

    fn answer(&mut self, xid: i32, code: Code, body: Bytes) -> Result<(), Trouble> {
        // Whose turn it was learns of it with all others.
        if self.in_flight.front().is_none_or(|first| first.xid != xid) {
            return Err(self.unexpected("an answer belongs to no request"));
        }
        let Some(first) = self.in_flight.pop_front() else {
            return Ok(());
        };
        match code {
            Code(0) => first.tell(Ok(body)),
            Code::SESSION_EXPIRED | Code::SESSION_MOVED => {
                let lost = Trouble::Lost {
                    server: self.server.clone(),
                    why: "the session is over, or goes on elsewhere".into(),
                };
                first.tell(Err(lost.clone()));
                return Err(lost);
            }
            code => first.tell(Err(self.refused(code))),
        }
        Ok(())
    }

    fn refused(&self, code: Code) -> Trouble {
        Trouble::Refused {
            server: self.server.clone(),
            code,
        }
    }

    fn unexpected(&self, what: &'static str) -> Trouble {
        Trouble::Unexpected {
            server: self.server.clone(),
            what,
        }
    }

    /// Tells all who wait.
    fn fail(&mut self, trouble: &Trouble) {
        for waiting in self.in_flight.drain(..) {
            waiting.tell(Err(trouble.clone()));
        }
    }
}

impl InFlight {
    fn tell(self, answer: Result<Bytes, Trouble>) {
        if let Some(asker) = self.answer {
            let _ = asker.send(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::requests::{Request, exists};

    fn dialogue(received: &[u8]) -> Dialogue {
        Dialogue {
            server: "test".into(),
            limit: 64,
            received: received.into(),
            to_send: BytesMut::new(),
            in_flight: VecDeque::new(),
            xid: 0,
            to_skip: 0,
        }
    }

    fn ask(dialogue: &mut Dialogue, request: Request) -> oneshot::Receiver<Result<Bytes, Trouble>> {
        let (answer, answered) = oneshot::channel();
        dialogue.ask(Asked { request, answer });
        answered
    }

    #[test]
    fn requests_are_numbered_and_answered_in_their_order() {
        let mut dialogue = dialogue(b"");
        let mut first = ask(&mut dialogue, exists("/a"));
        let mut second = ask(&mut dialogue, exists("/b"));
        assert_eq!(
            &dialogue.to_send[..],
            b"\0\0\0\x0f\0\0\0\x01\0\0\0\x03\0\0\0\x02/a\0\
              \0\0\0\x0f\0\0\0\x02\0\0\0\x03\0\0\0\x02/b\0"
        );
        let answers = b"\0\0\0\x11\0\0\0\x01\0\0\0\0\0\0\0\x09\0\0\0\0!\
                        \0\0\0\x10\xff\xff\xff\xfe\0\0\0\0\0\0\0\x09\0\0\0\0\
                        \0\0\0\x10\0\0\0\x02\0\0\0\0\0\0\0\x09\xff\xff\xff\x9b";
        dialogue.received.extend_from_slice(answers);
        dialogue.take(&Inboxes::default()).unwrap();
        assert_eq!(first.try_recv().unwrap(), Ok("!".into()));
        assert!(second.try_recv().unwrap().unwrap_err().is(Code::NO_NODE));
    }

    #[test]
    fn an_answer_that_is_too_large_is_the_trouble_of_who_asked_alone() {
        let mut dialogue = dialogue(b"");
        let mut asked = [
            ask(&mut dialogue, exists("/a")),
            ask(&mut dialogue, exists("/b")),
            ask(&mut dialogue, exists("/c")),
        ];
        let answer = |xid: i32, rest: usize| {
            let mut frame = BytesMut::new();
            frame.put_i32(i32::try_from(16 + rest).unwrap());
            frame.put_i32(xid);
            frame.put_bytes(0, 12 + rest);
            frame
        };
        let answers = [answer(1, 1), answer(2, 1000), answer(3, 1)].concat();
        for byte in answers {
            dialogue.received.put_u8(byte);
            dialogue.take(&Inboxes::default()).unwrap();
            assert!(
                dialogue.received.len() <= 64,
                "nothing is kept of what is too large"
            );
        }
        assert_eq!(asked[0].try_recv().unwrap(), Ok("\0".into()));
        let trouble = asked[1].try_recv().unwrap().unwrap_err();
        assert_eq!(
            trouble,
            Trouble::TooLarge {
                size: 1016,
                limit: 64
            }
        );
        assert_eq!(asked[2].try_recv().unwrap(), Ok("\0".into()));
    }

    #[test]
    fn what_is_too_large_and_no_answer_ends_the_connection() {
        for frame in [&b"\0\0\x01\0\0\0\0\x07"[..], b"\x7f\xff\xff\xff"] {
            let mut dialogue = dialogue(frame);
            let _asked = ask(&mut dialogue, exists("/a"));
            assert!(dialogue.take(&Inboxes::default()).is_err());
        }
    }

    #[test]
    fn who_waits_learns_why_the_connection_ends() {
        let mut dialogue = dialogue(b"\0\0\0\x10\0\0\0\x07\0\0\0\0\0\0\0\0\0\0\0\0");
        let mut asked = ask(&mut dialogue, exists("/a"));
        let trouble = dialogue.take(&Inboxes::default()).unwrap_err();
        dialogue.fail(&trouble);
        assert_eq!(asked.try_recv().unwrap(), Err(trouble));
    }

    proptest! {
        #[test]
        fn nothing_that_is_received_makes_it_panic(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..6),
            xids in prop::collection::vec(-5_i32..4, 6),
        ) {
            let mut dialogue = dialogue(b"");
            for (frame, xid) in frames.iter().zip(xids) {
                let length = i32::try_from(frame.len() + 4).unwrap();
                dialogue.received.put_i32(length);
                dialogue.received.put_i32(xid);
                dialogue.received.put_slice(frame);
            }
            let _asked = [ask(&mut dialogue, exists("/a")), ask(&mut dialogue, exists("/b"))];
            let _ = dialogue.take(&Inboxes::default());
        }
    }
}
