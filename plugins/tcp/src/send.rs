//! Sends the messages of a stream, as fast as the other side reads them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use micro_core::handler::Lot;
use micro_core::{Body, Error};

use crate::flow::Flow;
use crate::frame::{FRAME_COST, flag, kind};
use crate::hub::{Hub, Kept};
use crate::outbox::HIGH_WATER;

/// How many bytes of messages that are ready are put in together.
const PACKED: usize = 32 * 1024;
/// How many of them are.
const TOGETHER: usize = 64;
/// The largest part of a message of a stream, in bytes, so that other calls get between.
const PART: usize = 32 * 1024;

/// Sends the messages of one direction of a stream.
pub(crate) struct Sender<C> {
    hub: Arc<Hub<C>>,
    flow: Arc<Flow>,
    call: u32,
    /// Messages that are ready, and how much of the first one was sent.
    ready: VecDeque<Lot>,
    ready_size: usize,
    sent: usize,
    end: Option<Sent>,
}

/// How the messages of a direction ended.
#[derive(Debug)]
pub(crate) enum Sent {
    /// With the last one.
    Whole,
    /// With an error after it.
    Failed(Error),
    /// The other side takes no more.
    Gone,
}

impl<C: Kept> Sender<C> {
    pub(crate) fn new(hub: Arc<Hub<C>>, flow: Arc<Flow>, call: u32) -> Self {
        Self {
            hub,
            flow,
            call,
            ready: VecDeque::new(),
            ready_size: 0,
            sent: 0,
            end: None,
        }
    }

    /// Sends all messages of a body. What ends the direction is left to the caller.
    pub(crate) fn poll_send(&mut self, body: &mut Body, context: &mut Context<'_>) -> Poll<Sent> {
        loop {
            let is_waiting = self.gather(body, context);
            if ready!(self.poll_put(context)).is_none() {
                return Poll::Ready(Sent::Gone);
            }
            if let Some(end) = self.end.take() {
                return Poll::Ready(end);
            }
            if is_waiting {
                return Poll::Pending;
            }
        }
    }

    /// Collects what is ready. True: the body has no more for now.
    fn gather(&mut self, body: &mut Body, context: &mut Context<'_>) -> bool {
        while self.end.is_none() && self.ready_size < PACKED && self.ready.len() < TOGETHER {
            match body.poll_lot(context) {
                Poll::Ready(Some(Ok(lot))) => self.take(lot),
                Poll::Ready(Some(Err(error))) => self.end = Some(Sent::Failed(error)),
                Poll::Ready(None) => self.end = Some(Sent::Whole),
                Poll::Pending => return true,
            }
        }
        false
    }

    fn take(&mut self, lot: Lot) {
        let limit = self.hub.peer.message_size;
        match lot {
            Lot::One(message) if message.len() > limit as usize => {
                let error =
                    crate::flow::too_large("go.micro.transport", message.len(), limit, "the other side");
                self.end = Some(Sent::Failed(error));
            }
            // One of them may be too large, and those before it are sent.
            Lot::Several(mut messages) if messages.len() > limit as usize => {
                while self.end.is_none()
                    && let Some(message) = messages.next()
                {
                    self.take(Lot::One(message));
                }
            }
            lot => {
                self.ready_size += lot.len();
                self.ready.push_back(lot);
            }
        }
    }

    /// Puts in what is ready, as far as there is room. `None`: the other side takes no more.
    fn poll_put(&mut self, context: &mut Context<'_>) -> Poll<Option<()>> {
        let hub = self.hub.clone();
        let largest = hub.peer.frame_size as usize;
        hub.with(|state, _| {
            let Some(mut credit) = self.flow.credit(context) else {
                return Poll::Ready(None);
            };
            if state.closed.is_some() {
                return Poll::Ready(None);
            }
            while let Some(lot) = self.ready.front() {
                ready!(state.outbox.poll_room(HIGH_WATER, context));
                let room = credit.min(state.credit);
                let (bytes, flags) = match lot {
                    Lot::Several(messages) if lot.len() <= largest && cost(lot.len()) <= room => {
                        (messages.clone().into_bytes(), flag::SEVERAL)
                    }
                    Lot::Several(_) => {
                        self.split_first();
                        continue;
                    }
                    Lot::One(message) => {
                        let left = message.len() - self.sent;
                        // A part that is worth a frame, or all that is left.
                        let wanted = cost(left.min(largest).min(1024));
                        if credit < wanted {
                            return Poll::Pending;
                        }
                        if state.credit < wanted {
                            state.wait_for_credit(context);
                            return Poll::Pending;
                        }
                        let most = usize::try_from(room - u64::from(FRAME_COST)).unwrap_or(usize::MAX);
                        let part = left.min(largest).min(PART).min(most);
                        let flags = if part < left { flag::MORE } else { 0 };
                        (message.slice(self.sent..self.sent + part), flags)
                    }
                };
                state.outbox.frame(self.call, kind::DATA, |_| flags, &bytes);
                let cost = cost(bytes.len());
                credit -= cost;
                self.flow.spend(cost);
                state.credit -= cost;
                if flags == flag::MORE {
                    self.sent += bytes.len();
                } else {
                    self.ready_size -= lot.len();
                    self.ready.pop_front();
                    self.sent = 0;
                }
            }
            Poll::Ready(Some(()))
        })
    }

    /// Takes the first message out of those that are packed, which do not fit in a frame or in the window together.
    fn split_first(&mut self) {
        let Some(lot) = self.ready.pop_front() else { return };
        self.ready_size -= lot.len();
        let (first, rest) = match lot {
            Lot::Several(mut messages) => (messages.next().map(Lot::One), Some(Lot::Several(messages))),
            one => (Some(one), None),
        };
        for lot in [rest.filter(|rest| !rest.is_empty()), first]
            .into_iter()
            .flatten()
        {
            self.ready_size += lot.len();
            self.ready.push_front(lot);
        }
    }
}

/// What a frame counts against the windows.
fn cost(length: usize) -> u64 {
    length as u64 + u64::from(FRAME_COST)
}
