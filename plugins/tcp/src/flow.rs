//! The messages of a stream, in both directions, as one side of a connection keeps them.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use micro_core::handler::{Lot, Lots};
use micro_core::{Error, Result};

use crate::cursor::{Violation, violation};
use crate::frame::Piece;
use crate::hub::{Hub, Kept};
use crate::preamble::Terms;

/// The messages of a stream.
pub(crate) struct Flow {
    state: Mutex<FlowState>,
    window: u32,
    message_size: u32,
}

#[derive(Default)]
struct FlowState {
    /// What came and was not read, each with what it counts.
    messages: VecDeque<(Lot, u32)>,
    partial: BytesMut,
    partial_cost: u32,
    /// What came and was not given back, and what of it was read.
    unread: u32,
    consumed: u32,
    /// Nothing comes any more.
    end: Option<Result<()>>,
    has_ended: bool,
    reader: Option<Waker>,
    /// Nobody reads any more.
    is_left: bool,
    /// What may be sent.
    credit: u64,
    /// Nothing is to be sent any more.
    is_over: bool,
    writer: Option<Waker>,
}

impl Flow {
    pub(crate) fn new(own: &Terms, peer: &Terms) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(FlowState {
                credit: u64::from(peer.stream_window),
                ..FlowState::default()
            }),
            window: own.stream_window,
            message_size: own.message_size,
        })
    }

    fn lock(&self) -> MutexGuard<'_, FlowState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what came. False: nobody reads it.
    pub(crate) fn push(&self, piece: Piece, cost: u32, wakers: &mut Vec<Waker>) -> Result<bool, Violation> {
        let mut state = self.lock();
        if state.has_ended {
            return Err(violation("a stream has messages behind its end"));
        }
        state.unread = state.unread.saturating_add(cost);
        if state.unread > self.window {
            return Err(violation("a stream's messages are more than its window"));
        }
        let lot = state.put_together(piece, self.message_size)?;
        if state.is_left {
            return Ok(false);
        }
        state.partial_cost += cost;
        if let Some(lot) = lot {
            let cost = std::mem::take(&mut state.partial_cost);
            state.messages.push_back((lot, cost));
        }
        // Also for a part: the reader gives back what it counts, without which a large message might not go on.
        wakers.extend(state.reader.take());
        Ok(true)
    }

    /// Nothing comes any more.
    pub(crate) fn end(&self, how: Result<()>, wakers: &mut Vec<Waker>) {
        let mut state = self.lock();
        if !state.has_ended {
            state.has_ended = true;
            state.end = Some(how);
            wakers.extend(state.reader.take());
        }
    }

    /// Whether nothing comes any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.lock().has_ended
    }

    /// The call is over: nothing more is to be sent.
    pub(crate) fn close(&self, wakers: &mut Vec<Waker>) {
        let mut state = self.lock();
        state.is_over = true;
        wakers.extend(state.writer.take());
    }

    /// More may be sent.
    pub(crate) fn grant(&self, amount: u32, wakers: &mut Vec<Waker>) -> Result<(), Violation> {
        const MOST: u64 = 1 << 40;
        let mut state = self.lock();
        state.credit += u64::from(amount);
        wakers.extend(state.writer.take());
        match state.credit > MOST {
            true => Err(violation("a stream's window is larger than any")),
            false => Ok(()),
        }
    }

    /// What may be sent; `None` when nothing is to be sent any more. Wakes when that changes.
    pub(crate) fn credit(&self, context: &Context<'_>) -> Option<u64> {
        let mut state = self.lock();
        if state.is_over {
            return None;
        }
        let waker = context.waker();
        if state
            .writer
            .as_ref()
            .is_none_or(|writer| !writer.will_wake(waker))
        {
            state.writer = Some(waker.clone());
        }
        Some(state.credit)
    }

    pub(crate) fn spend(&self, amount: u64) {
        let mut state = self.lock();
        state.credit = state.credit.saturating_sub(amount);
    }
}

impl FlowState {
    /// The messages that are whole with this piece.
    fn put_together(&mut self, piece: Piece, limit: u32) -> Result<Option<Lot>, Violation> {
        let (bytes, goes_on) = match piece {
            Piece::Part(bytes) => (bytes, true),
            Piece::Last(bytes) => (bytes, false),
            Piece::Several(_) if !self.partial.is_empty() => {
                return Err(violation("there are messages in the middle of another"));
            }
            Piece::Several(packed) => return Ok(Some(Lot::Several(packed))),
        };
        if self.partial.len() + bytes.len() > limit as usize {
            return Err(violation(format!(
                "a stream's message is larger than {limit} bytes, the limit message_size"
            )));
        }
        if !goes_on && self.partial.is_empty() {
            return Ok(Some(Lot::One(bytes)));
        }
        // What nobody reads is counted, but not kept.
        if self.is_left {
            return Ok(None);
        }
        self.partial.extend_from_slice(&bytes);
        Ok((!goes_on).then(|| Lot::One(self.partial.split().freeze())))
    }
}

/// Reads the messages of a stream. Dropped, it lets those go that come.
pub(crate) struct Receiver<C: Kept> {
    hub: Arc<Hub<C>>,
    flow: Arc<Flow>,
    call: u32,
    /// Taken in one go.
    taken: VecDeque<(Lot, u32)>,
    /// Read and not given back.
    consumed: u32,
}

impl<C: Kept> Receiver<C> {
    pub(crate) fn new(hub: Arc<Hub<C>>, flow: Arc<Flow>, call: u32) -> Self {
        Self {
            hub,
            flow,
            call,
            taken: VecDeque::new(),
            consumed: 0,
        }
    }

    /// Gives back what was read: to the connection at once, to the stream when it is worth a word.
    fn give_back(&mut self) {
        let consumed = std::mem::take(&mut self.consumed);
        if consumed == 0 {
            return;
        }
        let amount = {
            let mut state = self.flow.lock();
            state.consumed += consumed;
            match state.consumed >= self.flow.window / 2 && !state.has_ended {
                true => {
                    state.unread = state.unread.saturating_sub(state.consumed);
                    std::mem::take(&mut state.consumed)
                }
                false => 0,
            }
        };
        self.hub.give_back(self.call, consumed, amount);
    }
}

impl<C: Kept> Lots for Receiver<C> {
    fn poll_lot(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Lot>>> {
        let receiver = self.get_mut();
        loop {
            if let Some((lot, cost)) = receiver.taken.pop_front() {
                receiver.consumed += cost;
                if receiver.consumed >= receiver.flow.window / 2 {
                    receiver.give_back();
                }
                return Poll::Ready(Some(Ok(lot)));
            }
            let polled = {
                let mut state = receiver.flow.lock();
                if !state.messages.is_empty() {
                    std::mem::swap(&mut receiver.taken, &mut state.messages);
                    continue;
                }
                receiver.consumed += std::mem::take(&mut state.partial_cost);
                match state.end.take() {
                    Some(Ok(())) => Poll::Ready(None),
                    Some(Err(error)) => Poll::Ready(Some(Err(error))),
                    None if state.has_ended => Poll::Ready(None),
                    None => {
                        state.reader = Some(context.waker().clone());
                        Poll::Pending
                    }
                }
            };
            receiver.give_back();
            return polled;
        }
    }
}

impl<C: Kept> Drop for Receiver<C> {
    fn drop(&mut self) {
        let unread = {
            let mut state = self.flow.lock();
            state.is_left = true;
            let unread: u32 = state.messages.drain(..).map(|(_, cost)| cost).sum();
            unread + std::mem::take(&mut state.partial_cost)
        };
        let taken: u32 = self.taken.iter().map(|(_, cost)| cost).sum();
        let all = unread + taken + self.consumed;
        if all > 0 {
            self.hub.give_back(self.call, all, 0);
        }
    }
}

impl<C: Kept> Unpin for Receiver<C> {}

/// An error of a message that the other side would not take.
pub(crate) fn too_large(id: &str, size: usize, limit: u32, whose: &str) -> Error {
    Error::too_large(
        id.to_owned(),
        format!("a message of {size} bytes is larger than {limit}, the limit message_size of {whose}"),
    )
}
