//! Messages between the writer of a stream and whoever carries them.
//!
//! A channel of single messages would cost more than a small message itself: what is ready is taken out together, and
//! wakes the writer once.

use std::collections::VecDeque;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;
use tokio::task::yield_now;

use super::super::lot::{Lot, Lots, Packing};
use crate::Result;

/// How much may wait, in bytes. A message is taken as long as less does, so that one of any size passes.
const MOST_BYTES: usize = 128 * 1024;
/// How many messages may wait.
const MOST_MESSAGES: usize = 1024;
/// How many messages a writer may send before others get their turn, be they taken out ever so quickly.
const TURN: usize = 4096;

/// A queue's two ends.
pub(super) fn queue() -> (Entrance, Exit) {
    let shared = Arc::new(Shared::default());
    let exit = Exit {
        shared: shared.clone(),
        taken: VecDeque::new(),
    };
    (Entrance(shared), exit)
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Told when something was taken out, or nobody takes anything out any more.
    room: Notify,
}

struct State {
    lots: VecDeque<Lot>,
    /// Small messages, behind those in `lots`.
    packing: Packing,
    /// What is in `lots`.
    bytes: usize,
    entrances: usize,
    has_exit: bool,
    /// How many messages came in since a writer waited.
    turn: usize,
    reader: Option<Waker>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            lots: VecDeque::new(),
            packing: Packing::default(),
            bytes: 0,
            entrances: 1,
            has_exit: true,
            turn: 0,
            reader: None,
        }
    }
}

impl State {
    fn is_full(&self) -> bool {
        self.bytes + self.packing.len() >= MOST_BYTES || self.lots.len() + self.packing.count >= MOST_MESSAGES
    }

    fn put(&mut self, message: Bytes) {
        self.close_lot();
        self.bytes += message.len();
        self.lots.push_back(Lot::One(message));
    }

    /// What was packed so far is a lot of its own.
    fn close_lot(&mut self) {
        if let Some(packed) = self.packing.finish().map(Lot::Several) {
            self.bytes += packed.len();
            self.lots.push_back(packed);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where messages are put in. When the last clone is dropped, the queue ends after what is in it.
pub(super) struct Entrance(Arc<Shared>);

/// Nobody takes messages out any more.
#[derive(Debug)]
pub(super) struct Gone;

/// What became of an attempt to put something in.
enum Turn<T> {
    Done(T),
    /// And others are to have their turn.
    DoneForNow(T),
    Full,
    Gone,
}

impl Entrance {
    /// Puts a message in, as soon as there is room. When cancelled, it is not put in.
    pub(super) async fn put(&self, message: Bytes) -> Result<(), Gone> {
        let mut message = Some(message);
        self.enter(|state| {
            if let Some(message) = message.take() {
                state.put(message);
            }
        })
        .await
    }

    /// Writes a message behind those that are there, as soon as there is room, unless its writer would rather not.
    pub(super) async fn pack(
        &self,
        mut write: impl FnMut(&mut BytesMut) -> Result<bool>,
    ) -> Result<Result<bool>, Gone> {
        self.enter(|state| state.packing.add(&mut write)).await
    }

    async fn enter<T>(&self, mut enter: impl FnMut(&mut State) -> T) -> Result<T, Gone> {
        match self.try_enter(&mut enter) {
            Turn::Done(entered) => Ok(entered),
            Turn::Gone => Err(Gone),
            Turn::DoneForNow(entered) => {
                yield_now().await;
                Ok(entered)
            }
            Turn::Full => self.enter_later(enter).await,
        }
    }

    async fn enter_later<T>(&self, mut enter: impl FnMut(&mut State) -> T) -> Result<T, Gone> {
        loop {
            let mut room = pin!(self.0.room.notified());
            // From here on no room is missed.
            room.as_mut().enable();
            match self.try_enter(&mut enter) {
                Turn::Done(entered) | Turn::DoneForNow(entered) => return Ok(entered),
                Turn::Gone => return Err(Gone),
                Turn::Full => room.await,
            }
        }
    }

    fn try_enter<T>(&self, enter: &mut impl FnMut(&mut State) -> T) -> Turn<T> {
        let mut state = self.0.lock();
        if !state.has_exit {
            return Turn::Gone;
        }
        if state.is_full() {
            state.turn = 0;
            return Turn::Full;
        }
        let entered = enter(&mut state);
        state.turn += 1;
        let is_over = state.turn >= TURN;
        if is_over {
            state.turn = 0;
        }
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        if is_over {
            Turn::DoneForNow(entered)
        } else {
            Turn::Done(entered)
        }
    }

    /// Waits until nobody takes messages out any more.
    pub(super) async fn closed(&self) {
        loop {
            let mut room = pin!(self.0.room.notified());
            room.as_mut().enable();
            if !self.0.lock().has_exit {
                return;
            }
            room.await;
        }
    }
}

impl Clone for Entrance {
    fn clone(&self) -> Self {
        self.0.lock().entrances += 1;
        Self(self.0.clone())
    }
}

impl Drop for Entrance {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.entrances -= 1;
        let reader = match state.entrances {
            0 => state.reader.take(),
            _ => None,
        };
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// Where messages are taken out.
pub(crate) struct Exit {
    shared: Arc<Shared>,
    /// Taken out of the queue together, to be given out one by one.
    taken: VecDeque<Lot>,
}

impl Exit {
    /// The next messages; `None` when there will be no more.
    pub(super) fn poll_take(&mut self, context: &mut Context<'_>) -> Poll<Option<Lot>> {
        if let Some(lot) = self.taken.pop_front() {
            return Poll::Ready(Some(lot));
        }
        let mut state = self.shared.lock();
        state.close_lot();
        if state.lots.is_empty() {
            if state.entrances == 0 {
                return Poll::Ready(None);
            }
            match &mut state.reader {
                Some(reader) => reader.clone_from(context.waker()),
                reader => *reader = Some(context.waker().clone()),
            }
            return Poll::Pending;
        }
        mem::swap(&mut state.lots, &mut self.taken);
        state.bytes = 0;
        drop(state);
        self.shared.room.notify_waiters();
        Poll::Ready(self.taken.pop_front())
    }

    /// What is there already.
    pub(super) fn take_ready(&mut self) -> Option<Lot> {
        self.taken.pop_front()
    }
}

impl Lots for Exit {
    fn poll_lot(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Lot>>> {
        self.poll_take(context).map(|lot| lot.map(Ok))
    }
}

impl Drop for Exit {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.has_exit = false;
        let left = (mem::take(&mut state.lots), mem::take(&mut state.packing));
        drop(state);
        drop(left);
        self.shared.room.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::FutureExt;

    use super::*;

    async fn take(exit: &mut Exit) -> Option<Bytes> {
        match poll_fn(|context| exit.poll_take(context)).await? {
            Lot::One(message) => Some(message),
            Lot::Several(packed) => panic!("{packed:?} was not packed"),
        }
    }

    #[tokio::test]
    async fn messages_come_out_in_order_and_then_the_end() {
        let (entrance, mut exit) = queue();
        for number in 0..10_u8 {
            entrance.put(vec![number].into()).await.unwrap();
        }
        drop(entrance);
        for number in 0..10_u8 {
            assert_eq!(take(&mut exit).await.unwrap(), [number][..]);
        }
        assert!(take(&mut exit).await.is_none());
        assert!(take(&mut exit).await.is_none());
    }

    #[tokio::test]
    async fn packed_messages_keep_their_place_among_others() {
        let (entrance, exit) = queue();
        let small = |text: &'static str| {
            entrance.pack(move |buffer| {
                buffer.extend_from_slice(text.as_bytes());
                Ok(true)
            })
        };
        for text in ["a", "b"] {
            assert!(small(text).await.unwrap().unwrap());
        }
        entrance.put(Bytes::from_static(b"large")).await.unwrap();
        assert!(!entrance.pack(|_| Ok(false)).await.unwrap().unwrap());
        assert!(small("c").await.unwrap().unwrap());
        drop(entrance);
        let mut body = crate::Body::lots(exit);
        let mut messages = Vec::new();
        while let Some(message) = body.message().await {
            messages.push(message.unwrap());
        }
        assert_eq!(messages, ["a", "b", "large", "c"]);
    }

    #[tokio::test]
    async fn a_full_queue_makes_its_writers_wait() {
        let (entrance, mut exit) = queue();
        let large = Bytes::from(vec![0; 10 * MOST_BYTES]);
        entrance.put(large.clone()).await.unwrap();
        assert!(entrance.put(Bytes::new()).now_or_never().is_none());
        let (entered, taken) = tokio::join!(entrance.put(Bytes::from_static(b"next")), take(&mut exit));
        entered.unwrap();
        assert_eq!(taken.unwrap().len(), large.len());
        assert_eq!(
            take(&mut exit).await.unwrap(),
            "next",
            "what was cancelled is not sent"
        );

        let mut count = 0;
        while entrance
            .put(Bytes::new())
            .now_or_never()
            .is_some_and(|put| put.is_ok())
        {
            count += 1;
        }
        assert_eq!(count, MOST_MESSAGES);
    }

    #[tokio::test]
    async fn many_writers_lose_nothing() {
        const WRITERS: usize = 8;
        const MESSAGES: usize = 3 * MOST_MESSAGES;
        let (entrance, mut exit) = queue();
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                let entrance = entrance.clone();
                tokio::spawn(async move {
                    for _ in 0..MESSAGES {
                        entrance.put(Bytes::from_static(b"x")).await.unwrap();
                    }
                })
            })
            .collect();
        drop(entrance);
        let mut count = 0;
        while take(&mut exit).await.is_some() {
            count += 1;
        }
        assert_eq!(count, WRITERS * MESSAGES);
        for writer in writers {
            writer.await.unwrap();
        }
    }

    #[tokio::test]
    async fn writers_learn_that_nobody_reads() {
        let (entrance, exit) = queue();
        entrance.put(vec![0; MOST_BYTES].into()).await.unwrap();
        assert!(entrance.closed().now_or_never().is_none());
        let other = entrance.clone();
        let waiting = async { entrance.put(Bytes::new()).await };
        let closed = async { other.closed().await };
        let leaving = async { drop(exit) };
        let (put, (), ()) = tokio::join!(waiting, closed, leaving);
        assert!(put.is_err());
        assert!(other.put(Bytes::new()).await.is_err());
    }

    #[tokio::test]
    async fn a_writer_without_end_lets_others_have_their_turn() {
        let (entrance, mut exit) = queue();
        let reads = async {
            // It reads so fast that the writer never finds the queue full.
            for _ in 0..TURN {
                assert!(take(&mut exit).await.is_some());
            }
            true
        };
        let writes = async {
            loop {
                for _ in 0..MOST_MESSAGES / 2 {
                    entrance.put(Bytes::new()).await.unwrap();
                }
                tokio::task::consume_budget().await;
            }
        };
        let done = tokio::select! {
            done = reads => done,
            () = writes => false,
        };
        assert!(done);
    }
}
