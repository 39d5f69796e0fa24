//! One connection of a listener: takes the calls that come by it, and ends them with it.

use std::collections::hash_map::Entry;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use micro_core::handler::Peer;
use micro_core::transport::socket::Socket;
use micro_core::{Body, Error, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_util::task::TaskTracker;

use super::Server;
use super::call::serve;
use crate::config::LONGEST;
use crate::cursor::{Violation, violation};
use crate::flow::{Flow, Receiver};
use crate::frame::{Cancel, Frame, Message, error_text, kind};
use crate::hub::{Closed, Hub, Kept, State};
use crate::line::{Ended, Line};
use crate::preamble::Terms;
use crate::watch::Watch;

/// How many calls that arrived together begin in one task.
const LOT: usize = 8;
/// How long a caller without calls may take to see that it is to go elsewhere.
const FAREWELL: Duration = Duration::from_secs(1);
/// How many pieces of 16 KiB are read of a caller that was told that its connection ends.
const RESTS: usize = 256;

pub(super) type ServerHub = Arc<Hub<ServerCall>>;
type Call = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A call that is being served, until its answer is put in or nobody waits for it any more.
pub(super) struct ServerCall {
    pub(super) waker: Option<Waker>,
    assembly: Option<Box<Assembly>>,
    pub(super) flow: Option<Arc<Flow>>,
}

/// A request that has not wholly come.
struct Assembly {
    request: Request,
    bytes: BytesMut,
    total: usize,
    since: Instant,
}

impl Kept for ServerCall {
    fn flow(&self) -> Option<&Arc<Flow>> {
        self.flow.as_ref()
    }
}

pub(super) struct Connection {
    line: Line<ServerCall>,
    peer: Peer,
    server: Arc<Server>,
    watch: Watch,
    frames: Vec<Frame>,
    arrived: Vec<(u32, Request)>,
    /// How many bytes the requests have that have not wholly come.
    unfinished: usize,
    /// The caller said that it begins no more calls.
    is_left: bool,
    /// When there was a call last, and which one.
    busy: Instant,
    last: u32,
    idle_timeout: Duration,
    max_age: Option<Instant>,
    /// When a caller without calls that was told to go elsewhere is not waited for any more.
    farewell: Option<Instant>,
}

/// What a look at the state of a connection finds to do.
struct Taking<'a> {
    terms: &'a Terms,
    peer: Peer,
    most: usize,
    hub: &'a ServerHub,
    arrived: &'a mut Vec<(u32, Request)>,
    unfinished: &'a mut usize,
    unfinished_limit: usize,
    is_left: &'a mut bool,
}

impl Connection {
    pub(super) fn new(socket: Socket, peer: Peer, own: Terms, caller: Terms, server: Arc<Server>) -> Self {
        let limits = &server.config.limits;
        let now = Instant::now();
        let max_age = limits
            .max_age
            .map(|age| now + age.min(LONGEST).mul_f64(0.9 + 0.2 * fastrand::f64()));
        Self {
            line: Line::new(socket, Hub::new(own, caller)),
            peer,
            watch: Watch::new(limits.keep_alive, limits, now),
            frames: Vec::new(),
            arrived: Vec::new(),
            unfinished: 0,
            is_left: false,
            busy: now,
            last: 0,
            idle_timeout: limits.idle_timeout.min(LONGEST),
            max_age,
            farewell: None,
            server,
        }
    }

    /// Serves until the connection ends. Dropped, it ends the connection and all calls on it.
    pub(super) async fn run(mut self) {
        let calls = Calls(self.line.hub.clone());
        let server = self.server.clone();
        let mut drain = pin!(server.draining.begun());
        let mut alarm = pin!(sleep_until(self.next()));
        // Registered once: from now on both wake this connection's task, and are asked only by looking at a flag.
        poll_fn(|context| {
            let _ = drain.as_mut().poll(context);
            let _ = alarm.as_mut().poll(context);
            Poll::Ready(())
        })
        .await;
        let reason = poll_fn(|context| self.poll(alarm.as_mut(), context)).await;
        tracing::debug!(remote = %self.peer.remote, %reason, "a connection ends");
        drop(calls);
        let _ = timeout(FAREWELL, self.leave(reason)).await;
    }

    fn poll(&mut self, mut alarm: Pin<&mut Sleep>, context: &mut Context<'_>) -> Poll<Leaving> {
        loop {
            let ended = loop {
                match self.line.poll_read(&mut self.frames, context) {
                    Poll::Ready(Ok(())) => {
                        if let Err(violation) = self.apply() {
                            break Some(Ended::Wrong(violation));
                        }
                    }
                    Poll::Ready(Err(ended)) => break Some(ended),
                    Poll::Pending => break None,
                }
            };
            match ended {
                Some(Ended::Wrong(violation)) => return Poll::Ready(Leaving::Telling(violation.0)),
                Some(ended) => return Poll::Ready(Leaving::Gone(ended.to_string())),
                None => {}
            }
            match self.line.poll_write(context) {
                Ok(true) if self.is_done() => return Poll::Ready(Leaving::Done),
                Ok(_) => {}
                Err(problem) => return Poll::Ready(Leaving::Gone(Ended::Broken(problem).to_string())),
            }
            if self.server.draining.has_begun() && self.farewell.is_none() {
                self.say_farewell("the listener closes", Instant::now());
            } else if alarm.is_elapsed() {
                if let Err(leaving) = self.look_after(Instant::now()) {
                    return Poll::Ready(leaving);
                }
            } else {
                return Poll::Pending;
            }
            alarm.as_mut().reset(self.next());
            let _ = alarm.as_mut().poll(context);
        }
    }

    /// Does what the frames say that came, and begins the calls among them.
    fn apply(&mut self) -> Result<(), Violation> {
        let hub = self.line.hub.clone();
        let limits = &self.server.config.limits;
        let mut taking = Taking {
            terms: &hub.own,
            peer: self.peer,
            most: hub.own.calls as usize,
            hub: &hub,
            arrived: &mut self.arrived,
            unfinished: &mut self.unfinished,
            unfinished_limit: limits.unfinished,
            is_left: &mut self.is_left,
        };
        let result = hub.with_writer(|state, wakers| {
            for frame in self.frames.drain(..) {
                state.take(frame, &mut taking, wakers)?;
            }
            Ok(())
        });
        self.begin_arrived();
        result
    }

    fn begin_arrived(&mut self) {
        let mut arrived = self.arrived.drain(..);
        loop {
            let lot: Vec<Call> = arrived
                .by_ref()
                .take(LOT)
                .map(|(call, request)| {
                    Box::pin(serve(self.server.clone(), self.line.hub.clone(), call, request)) as Call
                })
                .collect();
            if lot.is_empty() {
                return;
            }
            let tracker = self.server.calls.clone();
            tokio::spawn(self.server.calls.track_future(begin(lot, tracker)));
        }
    }

    fn say_farewell(&mut self, reason: &str, now: Instant) {
        self.farewell = Some(now + FAREWELL);
        self.line.hub.with(|state, _| {
            if !std::mem::replace(&mut state.is_leaving, true) {
                state.goodbye(u32::MAX, reason);
            }
        });
    }

    /// Whether nothing is left to do on a connection whose both sides want no more calls.
    fn is_done(&self) -> bool {
        self.farewell.is_some() && self.is_left && self.line.hub.with(|state, _| state.calls.is_empty())
    }

    /// Does what is due. An error: the connection is to be closed.
    fn look_after(&mut self, now: Instant) -> Result<(), Leaving> {
        let limit = self.server.config.limits.message_timeout.min(LONGEST);
        let (is_busy, last) = self.line.hub.with(|state, wakers| {
            state.fail_slow(now, limit, &mut self.unfinished, wakers);
            (!state.calls.is_empty(), state.last)
        });
        if is_busy || last != self.last {
            (self.busy, self.last) = (now, last);
        }
        self.watch
            .look(&mut self.line, true, now)
            .map_err(Leaving::Telling)?;
        if self.farewell.is_some_and(|farewell| farewell <= now) {
            if !is_busy {
                return Err(Leaving::Telling("it was told to go elsewhere".into()));
            }
            self.farewell = Some(now + FAREWELL);
        }
        if self.farewell.is_none() {
            if self.max_age.is_some_and(|age| age <= now) {
                self.say_farewell("the connection is old", now);
            } else if now >= self.busy + self.idle_timeout {
                self.say_farewell("the connection was idle", now);
            }
        }
        Ok(())
    }

    fn next(&self) -> Instant {
        let own = match self.farewell {
            Some(farewell) => farewell,
            None => self
                .max_age
                .unwrap_or(self.busy + LONGEST)
                .min(self.busy + self.idle_timeout),
        };
        // Requests that come slowly are looked for as often as a slow frame.
        let slow = (self.unfinished > 0)
            .then(|| Instant::now() + self.server.config.limits.message_timeout.min(LONGEST));
        slow.map_or(own, |slow| slow.min(own)).min(self.watch.next())
    }

    /// Says the last words, and waits for the caller to hear them: what it still sends would reset the connection under
    /// them.
    async fn leave(mut self, leaving: Leaving) {
        match leaving {
            Leaving::Gone(_) => return,
            Leaving::Done => {}
            Leaving::Telling(reason) => {
                self.line.hub.with(|state, _| {
                    let last = state.last;
                    state.goodbye(last, &reason);
                });
                let written = poll_fn(|context| match self.line.poll_write(context) {
                    Ok(true) => Poll::Ready(true),
                    Ok(false) => Poll::Pending,
                    Err(_) => Poll::Ready(false),
                });
                if !written.await {
                    return;
                }
            }
        }
        let socket = self.line.socket();
        if socket.shutdown().await.is_err() {
            return;
        }
        // What it still sends is read, so that what it was told is not lost in a reset; but not for as long as it likes.
        let mut rest = vec![0; 16 * 1024];
        for _ in 0..RESTS {
            if !matches!(socket.read(&mut rest).await, Ok(1..)) {
                return;
            }
        }
    }
}

/// How a connection ends.
enum Leaving {
    /// The caller is gone.
    Gone(String),
    /// Nothing is left to do.
    Done,
    /// The caller is told why.
    Telling(String),
}

impl std::fmt::Display for Leaving {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gone(reason) | Self::Telling(reason) => formatter.write_str(reason),
            Self::Done => formatter.write_str("nothing is left to do"),
        }
    }
}

/// The calls of a connection, which end with it.
struct Calls(ServerHub);

impl Drop for Calls {
    fn drop(&mut self) {
        self.0.with(|state, wakers| {
            state.closed = Some(Arc::new(Closed {
                reason: "the connection ended".into(),
                written: state.outbox.written(),
            }));
            let calls: Vec<_> = state.calls.keys().copied().collect();
            for call in calls {
                state.forget(call, wakers);
            }
            state.release(wakers);
        });
    }
}

impl State<ServerCall> {
    /// Does what a frame says.
    fn take(
        &mut self,
        frame: Frame,
        taking: &mut Taking<'_>,
        wakers: &mut Vec<Waker>,
    ) -> Result<(), Violation> {
        let window = taking.terms.connection_window;
        match frame {
            Frame::Call {
                call,
                request,
                message,
            } => self.call(call, request, message, taking),
            Frame::Part { call, bytes } => self.part(call, &bytes, taking),
            Frame::Data { call, length, piece } => self.data(call, length, piece, window, wakers),
            Frame::End { call } => {
                self.end_messages(call, Ok(()), wakers);
                Ok(())
            }
            Frame::Error { call, text } => {
                self.end_messages(call, Err(Error::from_wire(&text)), wakers);
                Ok(())
            }
            Frame::Cancel { call, .. } => {
                if let Some(assembly) = self.calls.get_mut(&call).and_then(|call| call.assembly.take()) {
                    *taking.unfinished -= assembly.total;
                }
                self.forget(call, wakers);
                Ok(())
            }
            Frame::Window { call, amount } => self.window(call, amount, wakers),
            Frame::Ping(number) => self.react(0, kind::PONG, &number.to_be_bytes()),
            Frame::Pong => Ok(()),
            Frame::Goodbye { .. } => {
                *taking.is_left = true;
                Ok(())
            }
            Frame::Answer { .. } => Err(violation("a caller answers")),
        }
    }

    fn react(&mut self, call: u32, kind: u8, payload: &[u8]) -> Result<(), Violation> {
        match self.outbox.reaction(call, kind, payload) {
            true => Ok(()),
            false => Err(violation("a caller asks for much and reads no answers")),
        }
    }

    fn call(
        &mut self,
        id: u32,
        mut request: Request,
        message: Option<Message>,
        taking: &mut Taking<'_>,
    ) -> Result<(), Violation> {
        if id <= self.last {
            let last = self.last;
            return Err(violation(format!("the call {id} comes behind the call {last}")));
        }
        self.last = id;
        let total = message.as_ref().and_then(|message| message.total).unwrap_or(0) as usize;
        let is_much = total > 0 && *taking.unfinished + total > taking.unfinished_limit;
        if self.calls.len() >= taking.most || is_much || *taking.is_left {
            return self.react(id, kind::CANCEL, &[Cancel::Refused as u8]);
        }
        request.peer = Some(taking.peer);
        let mut kept = ServerCall {
            waker: None,
            assembly: None,
            flow: None,
        };
        match message {
            Some(Message { bytes, total: None }) => {
                request.body = bytes.into();
                taking.arrived.push((id, request));
            }
            Some(Message { bytes, .. }) => {
                *taking.unfinished += total;
                let mut whole = BytesMut::with_capacity(total);
                whole.extend_from_slice(&bytes);
                kept.assembly = Some(Box::new(Assembly {
                    request,
                    bytes: whole,
                    total,
                    since: Instant::now(),
                }));
            }
            None => {
                let flow = Flow::new(&taking.hub.own, &taking.hub.peer);
                request.body = Body::lots(Receiver::new(taking.hub.clone(), flow.clone(), id));
                kept.flow = Some(flow);
                taking.arrived.push((id, request));
            }
        }
        self.calls.insert(id, kept);
        Ok(())
    }

    fn part(&mut self, id: u32, bytes: &Bytes, taking: &mut Taking<'_>) -> Result<(), Violation> {
        let Entry::Occupied(mut call) = self.calls.entry(id) else {
            return match id > self.last {
                true => Err(violation(format!(
                    "a message of the call {id}, which was not begun, goes on"
                ))),
                false => Ok(()),
            };
        };
        let Some(assembly) = &mut call.get_mut().assembly else {
            return Err(violation(format!(
                "a message of the call {id}, which is whole, goes on"
            )));
        };
        assembly.bytes.extend_from_slice(bytes);
        if assembly.bytes.len() > assembly.total {
            return Err(violation("a message goes on behind its end"));
        }
        if assembly.bytes.len() == assembly.total
            && let Some(assembly) = call.get_mut().assembly.take()
        {
            *taking.unfinished -= assembly.total;
            let Assembly {
                mut request, bytes, ..
            } = *assembly;
            request.body = bytes.freeze().into();
            taking.arrived.push((id, request));
        }
        Ok(())
    }

    fn end_messages(&mut self, call: u32, how: micro_core::Result<()>, wakers: &mut Vec<Waker>) {
        if let Some(flow) = self.calls.get(&call).and_then(Kept::flow) {
            flow.end(how, wakers);
        }
    }

    /// Lets go of a call: nobody waits for it any more, or it was answered.
    pub(super) fn forget(&mut self, call: u32, wakers: &mut Vec<Waker>) {
        let Some(call) = self.calls.remove(&call) else {
            return;
        };
        wakers.extend(call.waker);
        if let Some(flow) = call.flow {
            flow.end(Err(Error::server(499, "the call is over")), wakers);
            flow.close(wakers);
        }
    }

    /// Fails requests that have been coming for too long.
    fn fail_slow(&mut self, now: Instant, limit: Duration, unfinished: &mut usize, wakers: &mut Vec<Waker>) {
        if *unfinished == 0 {
            return;
        }
        let slow = self.calls.iter().filter_map(|(id, call)| {
            let assembly = call.assembly.as_ref()?;
            (assembly.since + limit <= now).then_some((*id, assembly.total))
        });
        for (call, total) in slow.collect::<Vec<_>>() {
            *unfinished -= total;
            let error = Error::server(
                408,
                format!("the request took longer than {limit:?}, the limit message_timeout"),
            );
            self.outbox
                .plain(call, kind::ERROR, 0, error_text(&error).as_bytes());
            self.forget(call, wakers);
        }
    }

    fn goodbye(&mut self, last: u32, reason: &str) {
        let payload = [&last.to_be_bytes(), reason.as_bytes()].concat();
        self.outbox.plain(0, kind::GOODBYE, 0, &payload);
    }
}

/// Begins calls one after the other. What is not done at once goes on in a task of its own, and the last one here.
async fn begin(mut lot: Vec<Call>, tracker: TaskTracker) {
    poll_fn(|context| {
        lot.retain_mut(
            |call| match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(context))) {
                Ok(polled) => polled.is_pending(),
                // A panic fails one call: what it held is dropped, and its caller is told.
                Err(_) => false,
            },
        );
        Poll::Ready(())
    })
    .await;
    let Some(last) = lot.pop() else { return };
    for call in lot {
        tokio::spawn(tracker.track_future(call));
    }
    last.await;
}
