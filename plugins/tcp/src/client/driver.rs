//! What moves a connection to a node.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BytesMut;
use micro_core::{Error, Text};
use tokio::time::{Instant, Sleep, sleep_until};

use super::call::{Answer, Assembly, ClientCall, Unanswered, cut};
use super::link::Link;
use super::links::Links;
use crate::cursor::{Violation, violation};
use crate::frame::{Cancel, Frame, Message, kind};
use crate::hub::{Closed, State};
use crate::line::{Ended, Line};
use crate::preamble::Terms;
use crate::watch::Watch;

pub(super) struct Driver {
    pub(super) line: Line<ClientCall>,
    pub(super) watch: Watch,
    pub(super) links: Weak<Links>,
    pub(super) link: Weak<Link>,
    pub(super) address: Text,
    /// When there was a call last, and which one.
    pub(super) used: Instant,
    pub(super) last: u32,
    pub(super) idle_timeout: Duration,
    pub(super) frames: Vec<Frame>,
}

impl Driver {
    pub(super) async fn run(mut self) {
        let mut alarm = pin!(sleep_until(self.next()));
        // Registered once: from now on it wakes this task, and is asked only by looking at a flag.
        poll_fn(|context| {
            let _ = alarm.as_mut().poll(context);
            Poll::Ready(())
        })
        .await;
        let reason = poll_fn(|context| self.poll(alarm.as_mut(), context)).await;
        tracing::debug!(address = %self.address, %reason, "a connection ended");
        self.close(reason);
    }

    fn poll(&mut self, mut alarm: Pin<&mut Sleep>, context: &mut Context<'_>) -> Poll<String> {
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
            if let Some(ended) = ended {
                // What came whole before the end counts.
                let _ = self.apply();
                return Poll::Ready(ended.to_string());
            }
            if let Err(problem) = self.line.poll_write(context) {
                return Poll::Ready(Ended::Broken(problem).to_string());
            }
            if !alarm.is_elapsed() {
                return Poll::Pending;
            }
            if let Err(reason) = self.look_after(Instant::now()) {
                return Poll::Ready(reason);
            }
            alarm.as_mut().reset(self.next());
            let _ = alarm.as_mut().poll(context);
        }
    }

    /// Does what the frames say that came.
    fn apply(&mut self) -> Result<(), Violation> {
        let hub = &self.line.hub;
        let own = &hub.own;
        let mut is_bidden_farewell = false;
        let result = hub.with_writer(|state, wakers| {
            for frame in self.frames.drain(..) {
                is_bidden_farewell |= matches!(frame, Frame::Goodbye { .. });
                state.take(frame, own, wakers)?;
            }
            Ok(())
        });
        if is_bidden_farewell && let (Some(links), Some(link)) = (self.links.upgrade(), self.link.upgrade()) {
            links.remove(&link);
        }
        result
    }

    /// Does what is due. An error says why the connection is closed.
    fn look_after(&mut self, now: Instant) -> Result<(), String> {
        let Some(link) = self.link.upgrade() else {
            return Err("nobody uses the connection any more".into());
        };
        let is_busy = link.calls() > 0;
        let last = self.line.hub.with(|state, _| state.last);
        if is_busy || last != self.last {
            (self.used, self.last) = (now, last);
        }
        self.watch.look(&mut self.line, is_busy, now)?;
        let is_idle = now >= self.used + self.idle_timeout;
        match is_idle && self.links.upgrade().is_none_or(|links| links.remove_idle(&link)) {
            true => Err("it was idle".into()),
            false => Ok(()),
        }
    }

    fn next(&self) -> Instant {
        self.watch.next().min(self.used + self.idle_timeout)
    }

    /// Lets all calls know that the connection ended.
    fn close(self, reason: String) {
        if let (Some(links), Some(link)) = (self.links.upgrade(), self.link.upgrade()) {
            links.remove(&link);
        }
        let (address, written) = (&self.address, self.line.written());
        self.line.hub.with(|state, wakers| {
            let closed = Arc::new(Closed { reason, written });
            state.closed = Some(closed.clone());
            for call in state.calls.values_mut() {
                wakers.extend(call.waker.take());
                if let Some(flow) = &call.flow {
                    flow.end(Err(cut(&closed, address)), wakers);
                    flow.close(wakers);
                }
            }
            state.release(wakers);
        });
    }
}

impl State<ClientCall> {
    /// Does what a frame says.
    fn take(&mut self, frame: Frame, own: &Terms, wakers: &mut Vec<Waker>) -> Result<(), Violation> {
        let window = own.connection_window;
        match frame {
            Frame::Answer {
                call,
                content_type,
                metadata,
                message,
            } => {
                let answer = Answer {
                    content_type,
                    metadata,
                    message: None,
                };
                self.answer(call, answer, message, wakers)
            }
            Frame::Part { call, bytes } => self.part(call, &bytes, wakers),
            Frame::Data { call, length, piece } => self.data(call, length, piece, window, wakers),
            Frame::End { call } => {
                self.end_messages(call, Ok(()), wakers);
                Ok(())
            }
            Frame::Error { call, text } => {
                self.fail(call, text, wakers);
                Ok(())
            }
            Frame::Cancel { call, reason } => {
                self.cancelled(call, reason, wakers);
                Ok(())
            }
            Frame::Window { call, amount } => self.window(call, amount, wakers),
            Frame::Ping(number) => match self.outbox.reaction(0, kind::PONG, &number.to_be_bytes()) {
                true => Ok(()),
                false => Err(violation(
                    "it asks whether this side is there, and does not read the answers",
                )),
            },
            Frame::Pong => Ok(()),
            Frame::Goodbye { last, reason } => {
                self.bid_farewell(last, &reason, wakers);
                Ok(())
            }
            Frame::Call { .. } => Err(violation("it calls its caller")),
        }
    }

    fn answer(
        &mut self,
        id: u32,
        mut answer: Answer,
        message: Option<Message>,
        wakers: &mut Vec<Waker>,
    ) -> Result<(), Violation> {
        if id > self.last {
            return Err(violation(format!(
                "it answers the call {id}, which was not begun"
            )));
        }
        // Calls that were given up are answered all the same when the words cross.
        let Some(call) = self.calls.get_mut(&id) else {
            return Ok(());
        };
        if call.is_settled || call.assembly.is_some() {
            return Err(violation(format!("it answers the call {id} twice")));
        }
        match message {
            Some(Message { bytes, total: None }) => {
                answer.message = Some(bytes);
                call.settle(Ok(answer), wakers);
            }
            Some(Message {
                bytes,
                total: Some(total),
            }) => {
                let total = total as usize;
                let mut whole = BytesMut::with_capacity(total);
                whole.extend_from_slice(&bytes);
                call.assembly = Some(Box::new(Assembly {
                    answer,
                    bytes: whole,
                    total,
                }));
            }
            None if call.flow.is_some() => call.settle(Ok(answer), wakers),
            None => {
                self.outbox.plain(id, kind::CANCEL, 0, &[Cancel::Dropped as u8]);
                call.settle(Err(Unanswered::Messages), wakers);
            }
        }
        Ok(())
    }

    fn part(&mut self, id: u32, bytes: &[u8], wakers: &mut Vec<Waker>) -> Result<(), Violation> {
        let Some(call) = self.calls.get_mut(&id) else {
            return match id > self.last {
                true => Err(violation(format!(
                    "it goes on with the call {id}, which was not begun"
                ))),
                false => Ok(()),
            };
        };
        let Some(assembly) = &mut call.assembly else {
            return Err(violation(format!(
                "it goes on with a message of the call {id} that is whole"
            )));
        };
        assembly.bytes.extend_from_slice(bytes);
        if assembly.bytes.len() > assembly.total {
            return Err(violation("a message goes on behind its end"));
        }
        if assembly.bytes.len() == assembly.total
            && let Some(assembly) = call.assembly.take()
        {
            let Assembly {
                mut answer, bytes, ..
            } = *assembly;
            answer.message = Some(bytes.freeze());
            call.settle(Ok(answer), wakers);
        }
        Ok(())
    }

    fn end_messages(&mut self, id: u32, how: micro_core::Result<()>, wakers: &mut Vec<Waker>) {
        if let Some(flow) = self.calls.get(&id).and_then(|call| call.flow.as_ref()) {
            flow.end(how, wakers);
            flow.close(wakers);
        }
    }

    /// The handler's error: in place of an answer, or behind its messages.
    fn fail(&mut self, id: u32, text: String, wakers: &mut Vec<Waker>) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if call.is_settled {
            self.end_messages(id, Err(Error::from_wire(&text)), wakers);
        } else {
            call.settle(Err(Unanswered::Error(text)), wakers);
        }
    }

    fn cancelled(&mut self, id: u32, reason: Cancel, wakers: &mut Vec<Waker>) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if call.is_settled {
            let error = Error::new(
                super::CLIENT,
                500,
                "the far handler ended in the middle of its messages, without an error",
            );
            self.end_messages(id, Err(error.unanswered()), wakers);
        } else {
            call.settle(Err(Unanswered::Cancelled(reason)), wakers);
        }
    }

    /// The other side wants no more calls, and did not look at those behind the last one that it states.
    fn bid_farewell(&mut self, last: u32, reason: &str, wakers: &mut Vec<Waker>) {
        if !reason.is_empty() {
            tracing::debug!(%reason, "a node said goodbye");
        }
        if !std::mem::replace(&mut self.is_leaving, true) {
            self.outbox.plain(0, kind::GOODBYE, 0, &self.last.to_be_bytes());
        }
        if last == u32::MAX {
            return;
        }
        let lost: Vec<_> = self.calls.keys().copied().filter(|call| *call > last).collect();
        for call in lost {
            self.cancelled(call, Cancel::Refused, wakers);
        }
    }
}

impl ClientCall {
    fn settle(&mut self, answer: Result<Answer, Unanswered>, wakers: &mut Vec<Waker>) {
        self.is_settled = true;
        let is_all = !matches!(answer, Ok(Answer { message: None, .. }));
        self.answer = Some(answer);
        if let Some(flow) = self.flow.as_ref().filter(|_| is_all) {
            flow.end(Ok(()), wakers);
            flow.close(wakers);
        }
        wakers.extend(self.waker.take());
    }
}
