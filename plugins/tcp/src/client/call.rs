//! A call: put into a connection, answered by what comes back on it.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use micro_core::{Error, Metadata, Request, Response, Result, Text};

use super::CLIENT;
use super::link::{ClientHub, Place};
use super::links::Links;
use crate::flow::{Flow, too_large};
use crate::frame::{Cancel, kind};
use crate::head;
use crate::hub::{Closed, Kept, State};
use crate::outbox::{HIGH_WATER, PART_WATER};

/// How many connections that took no more calls are left behind for one call.
const ATTEMPTS: usize = 4;
/// The last number of a call on a connection; then there is another connection.
const LAST_CALL: u32 = 1 << 31;
/// The largest part of a message where there are other calls, in bytes.
const PART: usize = 32 * 1024;

/// A call that waits for its answer, or for messages of it.
pub(super) struct ClientCall {
    pub(super) waker: Option<Waker>,
    pub(super) answer: Option<Result<Answer, Unanswered>>,
    pub(super) assembly: Option<Box<Assembly>>,
    pub(super) flow: Option<Arc<Flow>>,
    /// The head of the answer, or what stands for it, came.
    pub(super) is_settled: bool,
    /// Behind how many bytes of the connection the request was whole, so that its handler may have begun.
    whole_at: u64,
}

/// What was answered.
pub(super) struct Answer {
    pub(super) content_type: Text,
    pub(super) metadata: Metadata,
    /// `None`: messages follow.
    pub(super) message: Option<Bytes>,
}

/// An answer that has not wholly come.
pub(super) struct Assembly {
    pub(super) answer: Answer,
    pub(super) bytes: BytesMut,
    pub(super) total: usize,
}

/// What came in place of an answer.
pub(super) enum Unanswered {
    /// The handler's error.
    Error(String),
    Cancelled(Cancel),
    /// Messages, though it was no call of streams.
    Messages,
}

impl Kept for ClientCall {
    fn flow(&self) -> Option<&Arc<Flow>> {
        self.flow.as_ref()
    }
}

/// How a call failed.
pub(super) enum Failure {
    /// The other side surely did not begin with it, because it goes away or has too much to do.
    NotTaken(String),
    Failed(Error),
}

pub(super) async fn exchange(links: &Arc<Links>, request: &mut Request) -> Result<Response> {
    let message = request.body.as_single().cloned().unwrap_or_default();
    let mut attempts = 0;
    loop {
        let mut call = Calling::new(links.place().await?, None);
        let answered = poll_fn(|context| call.poll(request, &message, context)).await;
        let failure = match answered {
            Ok(answer) => return Ok(answer.into_response()),
            Err(failure) => failure,
        };
        attempts += 1;
        let is_last = attempts == ATTEMPTS || matches!(failure, Failure::Failed(_));
        let error = failure.into_error(links, &call.place);
        if is_last {
            return Err(error);
        }
    }
}

impl Answer {
    fn into_response(self) -> Response {
        Response {
            content_type: self.content_type,
            metadata: self.metadata,
            body: self.message.unwrap_or_default().into(),
        }
    }
}

impl Failure {
    /// The error of a call that is not tried again here.
    pub(super) fn into_error(self, links: &Links, place: &Place) -> Error {
        match self {
            Self::Failed(error) => error,
            Self::NotTaken(problem) => {
                links.remove(place.link());
                links.unreachable(&format!("it took no call: {problem}"))
            }
        }
    }
}

/// A call under way. Dropped, it is given up.
pub(super) struct Calling {
    pub(super) place: Place,
    /// 0 before it was begun.
    pub(super) call: u32,
    /// How much of the message was put in.
    sent: usize,
    pub(super) flow: Option<Arc<Flow>>,
    is_over: bool,
}

impl Calling {
    pub(super) fn new(place: Place, flow: Option<Arc<Flow>>) -> Self {
        Self {
            place,
            call: 0,
            sent: 0,
            flow,
            is_over: false,
        }
    }

    /// Begins the call and waits for the head of its answer.
    fn poll(
        &mut self,
        request: &mut Request,
        message: &Bytes,
        context: &mut Context<'_>,
    ) -> Poll<Result<Answer, Failure>> {
        if self.call == 0 {
            ready!(self.poll_begin(request, message, context))?;
            if self.sent == message.len() {
                return Poll::Pending;
            }
        }
        self.poll_answer(message, context)
    }

    /// Puts the head and the message, or the first part of it, into the connection.
    pub(super) fn poll_begin(
        &mut self,
        request: &mut Request,
        message: &Bytes,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        let hub = self.place.hub();
        let peer = &hub.peer;
        if let Err(problem) = head::check_call(request, peer.head_size) {
            let problem = format!(
                "{} {} to {}: {}",
                request.service,
                request.endpoint,
                self.place.link().address(),
                problem.describe(peer.head_size)
            );
            return Poll::Ready(Err(Failure::Failed(
                Error::new(CLIENT, 431, problem).never_started(),
            )));
        }
        let total = match u32::try_from(message.len()) {
            Ok(total) if total <= peer.message_size => total,
            _ => {
                let error = too_large(
                    CLIENT,
                    message.len(),
                    peer.message_size,
                    self.place.link().address(),
                );
                let error = error.context(&request.endpoint).never_started();
                return Poll::Ready(Err(Failure::Failed(error)));
            }
        };
        hub.with(|state, _| {
            if let Some(closed) = &state.closed {
                return Poll::Ready(Err(Failure::NotTaken(closed.reason.clone())));
            }
            if state.is_leaving || state.last >= LAST_CALL {
                let problem = "the connection takes no more calls".to_owned();
                return Poll::Ready(Err(Failure::NotTaken(problem)));
            }
            ready!(state.outbox.poll_room(HIGH_WATER, context));
            let largest = largest_part(state.calls.is_empty(), hub);
            let (first, total) = match message.len() <= largest {
                true => (message.clone(), None),
                false => (message.slice(..largest), Some(total)),
            };
            let State {
                outbox,
                numbers,
                calls,
                last,
                ..
            } = state;
            *last += 1;
            let write = |buffer: &mut Vec<u8>| head::write_call(request, total, numbers, buffer);
            outbox.frame(*last, kind::CALL, write, &first);
            let is_whole = total.is_none();
            let call = ClientCall {
                waker: Some(context.waker().clone()),
                answer: None,
                assembly: None,
                flow: self.flow.clone(),
                is_settled: false,
                whole_at: if is_whole { outbox.accepted() } else { u64::MAX },
            };
            calls.insert(*last, call);
            (self.call, self.sent) = (*last, first.len());
            Poll::Ready(Ok(()))
        })
    }

    /// Waits for the head of the answer, and puts in the rest of the message meanwhile.
    pub(super) fn poll_answer(
        &mut self,
        message: &Bytes,
        context: &mut Context<'_>,
    ) -> Poll<Result<Answer, Failure>> {
        let address = self.place.link().address();
        let hub = self.place.hub();
        hub.with(|state, _| {
            let is_alone = state.calls.len() == 1;
            let State {
                outbox,
                calls,
                closed,
                ..
            } = state;
            let Some(call) = calls.get_mut(&self.call) else {
                let error = Error::client(500, "a call was asked for its answer behind its end");
                return Poll::Ready(Err(Failure::Failed(error)));
            };
            if let Some(answer) = call.answer.take() {
                if call.flow.is_none() {
                    // Of a call of one message, this is the end.
                    calls.remove(&self.call);
                    self.is_over = true;
                }
                return Poll::Ready(answer.map_err(|unanswered| unanswered.into_failure(address)));
            }
            if let Some(closed) = closed {
                return Poll::Ready(Err(failure(closed, call.whole_at, address)));
            }
            match &mut call.waker {
                Some(waker) if waker.will_wake(context.waker()) => {}
                waker => *waker = Some(context.waker().clone()),
            }
            while self.sent < message.len() {
                ready!(outbox.poll_room(PART_WATER, context));
                let end = message.len().min(self.sent + largest_part(is_alone, hub));
                let part = message.slice(self.sent..end);
                outbox.frame(self.call, kind::PART, |_| 0, &part);
                self.sent = end;
                if end == message.len() {
                    call.whole_at = outbox.accepted();
                }
            }
            Poll::Pending
        })
    }

    /// Lets go of the call, and tells the other side if it is to give it up.
    fn end(&mut self, reason: Option<Cancel>) {
        if self.call == 0 || std::mem::replace(&mut self.is_over, true) {
            return;
        }
        self.place.hub().with(|state, wakers| {
            let Some(call) = state.calls.remove(&self.call) else {
                return;
            };
            let has_ended = match &call.flow {
                Some(flow) => {
                    flow.close(wakers);
                    flow.has_ended()
                }
                None => call.is_settled,
            };
            if let Some(reason) = reason
                && !has_ended
                && state.closed.is_none()
            {
                state.outbox.plain(self.call, kind::CANCEL, 0, &[reason as u8]);
            }
        });
    }

    /// Lets go of a call that ended.
    pub(super) fn finish(&mut self) {
        self.end(None);
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        self.end(Some(Cancel::Dropped));
    }
}

/// How much of a message goes in one frame.
fn largest_part(is_alone: bool, hub: &ClientHub) -> usize {
    let peer = &hub.peer;
    let largest = (peer.frame_size - peer.head_size) as usize;
    if is_alone { largest } else { largest.min(PART) }
}

impl Unanswered {
    fn into_failure(self, address: &str) -> Failure {
        let error = match self {
            Self::Error(text) => Error::from_wire(&text),
            Self::Cancelled(Cancel::Refused) => {
                return Failure::NotTaken("it refused the call before it looked at it".into());
            }
            Self::Cancelled(Cancel::Dropped | Cancel::Broken) => {
                let detail = format!("{address} gave up the call: its handler ended without an answer");
                Error::new(CLIENT, 500, detail).unanswered()
            }
            Self::Messages => Error::bad_request(
                CLIENT,
                format!("{address} answers with a stream; call the endpoint as one"),
            ),
        };
        Failure::Failed(error)
    }
}

/// What the end of a connection means for a call on it.
fn failure(closed: &Closed, whole_at: u64, address: &str) -> Failure {
    if whole_at > closed.written {
        return Failure::NotTaken(closed.reason.clone());
    }
    Failure::Failed(cut(closed, address))
}

/// The error of a call that was cut off.
pub(super) fn cut(closed: &Closed, address: &str) -> Error {
    Error::unavailable(
        CLIENT,
        format!(
            "connection error: {address} did not answer: {}; whether the call was handled is unknown",
            closed.reason
        ),
    )
    .unanswered()
}
