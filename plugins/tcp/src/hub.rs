//! What the calls of a connection share with the task that reads and writes it.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};

use crate::cursor::{Violation, violation};
use crate::flow::Flow;
use crate::frame::{FRAME_COST, Piece, kind};
use crate::head::Numbers;
use crate::outbox::Outbox;
use crate::preamble::Terms;

/// A call on a connection, as one side keeps it.
pub(crate) trait Kept: Send + 'static {
    /// Its messages, where it is one of streams.
    fn flow(&self) -> Option<&Arc<Flow>>;
}

/// A connection, as its calls see it.
pub(crate) struct Hub<C> {
    state: Mutex<State<C>>,
    /// What this side takes, and what the other side does.
    pub(crate) own: Terms,
    pub(crate) peer: Terms,
}

pub(crate) struct State<C> {
    pub(crate) outbox: Outbox,
    pub(crate) calls: HashMap<u32, C, BuildHasherDefault<Spread>>,
    /// The last call that was begun.
    pub(crate) last: u32,
    /// The endpoints that this side called.
    pub(crate) numbers: Numbers,
    /// What may still be sent of streams' messages, and who waits for more.
    pub(crate) credit: u64,
    credit_waiting: Vec<Waker>,
    /// What came of streams' messages and was not given back, and what of it was read.
    unread: u32,
    consumed: u32,
    /// No calls are begun here any more.
    pub(crate) is_leaving: bool,
    /// The connection ended, and why.
    pub(crate) closed: Option<Arc<Closed>>,
}

/// How a connection ended.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) reason: String,
    /// How many bytes were written.
    pub(crate) written: u64,
}

impl<C: Kept> Hub<C> {
    pub(crate) fn new(own: Terms, peer: Terms) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                outbox: Outbox::default(),
                calls: HashMap::default(),
                last: 0,
                numbers: Numbers::default(),
                credit: u64::from(peer.connection_window),
                credit_waiting: Vec::new(),
                unread: 0,
                consumed: 0,
                is_leaving: false,
                closed: None,
            }),
            own,
            peer,
        })
    }

    /// Works on the state. Whoever is put among the wakers is woken afterwards, and so is the writer.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut State<C>, &mut Vec<Waker>) -> R) -> R {
        let mut wakers = Vec::new();
        let (result, writer) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let result = work(&mut state, &mut wakers);
            (result, state.outbox.wake())
        };
        wakers.into_iter().chain(writer).for_each(Waker::wake);
        result
    }

    /// As [`with`](Self::with), for the task that writes.
    pub(crate) fn with_writer<R>(&self, work: impl FnOnce(&mut State<C>, &mut Vec<Waker>) -> R) -> R {
        let mut wakers = Vec::new();
        let result = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut state, &mut wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
        result
    }

    /// Gives back what was read of streams' messages, to the connection and, where that is worth a word, to a call.
    pub(crate) fn give_back(&self, call: u32, consumed: u32, amount: u32) {
        self.with(|state, _| {
            state.consume(consumed, self.own.connection_window);
            if amount > 0 {
                state.outbox.plain(call, kind::WINDOW, 0, &amount.to_be_bytes());
            }
        });
    }
}

impl<C: Kept> State<C> {
    /// Counts what came of a stream's message.
    pub(crate) fn receive(&mut self, length: u32, window: u32) -> Result<u32, Violation> {
        let cost = cost(length);
        self.unread = self.unread.saturating_add(cost);
        match self.unread > window {
            true => Err(violation(
                "the streams' messages are more than the connection's window",
            )),
            false => Ok(cost),
        }
    }

    /// Counts what was read of them.
    pub(crate) fn consume(&mut self, amount: u32, window: u32) {
        self.consumed += amount;
        if self.consumed >= window / 2 && self.closed.is_none() {
            self.outbox
                .plain(0, kind::WINDOW, 0, &self.consumed.to_be_bytes());
            self.unread = self.unread.saturating_sub(self.consumed);
            self.consumed = 0;
        }
    }

    /// A part of a stream's messages that came.
    pub(crate) fn data(
        &mut self,
        call: u32,
        length: u32,
        piece: Piece,
        window: u32,
        wakers: &mut Vec<Waker>,
    ) -> Result<(), Violation> {
        let cost = self.receive(length, window)?;
        let is_kept = match self.calls.get(&call).and_then(Kept::flow) {
            Some(flow) => flow.push(piece, cost, wakers)?,
            None if call <= self.last => false,
            None => {
                return Err(violation(format!(
                    "there are messages of the call {call}, which was not begun"
                )));
            }
        };
        if !is_kept {
            self.consume(cost, window);
        }
        Ok(())
    }

    /// Wakes when more of streams' messages may be sent.
    pub(crate) fn wait_for_credit(&mut self, context: &Context<'_>) {
        let waker = context.waker();
        if !self.credit_waiting.iter().any(|waiting| waiting.will_wake(waker)) {
            self.credit_waiting.push(waker.clone());
        }
    }

    /// More may be sent.
    pub(crate) fn window(
        &mut self,
        call: u32,
        amount: u32,
        wakers: &mut Vec<Waker>,
    ) -> Result<(), Violation> {
        const MOST: u64 = 1 << 40;
        if call == 0 {
            self.credit += u64::from(amount);
            wakers.append(&mut self.credit_waiting);
            return match self.credit > MOST {
                true => Err(violation("the connection's window is larger than any")),
                false => Ok(()),
            };
        }
        match self.calls.get(&call).and_then(Kept::flow) {
            Some(flow) => flow.grant(amount, wakers),
            None => Ok(()),
        }
    }
}

impl<C> State<C> {
    /// Wakes all who wait for the connection, which ended.
    pub(crate) fn release(&mut self, wakers: &mut Vec<Waker>) {
        wakers.append(&mut self.credit_waiting);
        self.outbox.release(wakers);
    }
}

/// What a frame of a stream's messages counts.
pub(crate) fn cost(length: u32) -> u32 {
    length.saturating_add(FRAME_COST)
}

/// Spreads numbers that follow each other over a table. They are this side's own or checked to grow, so that nobody can
/// choose them to collide.
#[derive(Default)]
pub(crate) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // The table looks at the highest and at the lowest bits.
        self.0 ^= self.0 >> 32;
    }
}
