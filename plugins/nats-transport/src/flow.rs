//! How many messages of a stream may be sent: NATS itself never tells a sender to wait.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use micro_core::Error;
use tokio::sync::Notify;
use tokio::time::timeout;

/// How many messages a caller sends before it knows whether the far side asks it to wait.
const AT_FIRST: u64 = 16;
/// How long it waits to know. Who says nothing by then is one in Go, which never does.
const TO_KNOW: Duration = Duration::from_secs(2);

/// One direction of a stream, at its sender, and why the stream ended.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    sent: AtomicU64,
    allowed: AtomicU64,
    /// Whether the receiver says how much it takes.
    is_counted: AtomicBool,
    changed: Notify,
    failure: Mutex<Option<Error>>,
}

impl Flow {
    /// For who does not know yet with whom it speaks.
    pub(crate) fn unknown() -> Self {
        Self {
            allowed: AtomicU64::new(AT_FIRST),
            ..Self::default()
        }
    }

    /// For a peer that takes so many, or without a number all that comes.
    pub(crate) fn known(window: Option<u64>) -> Self {
        Self {
            allowed: AtomicU64::new(window.unwrap_or(u64::MAX)),
            is_counted: AtomicBool::new(window.is_some()),
            ..Self::default()
        }
    }

    pub(crate) fn announce(&self, window: u64) {
        self.is_counted.store(true, Ordering::Release);
        self.allowed.store(window, Ordering::Release);
        self.changed.notify_one();
    }

    pub(crate) fn grant(&self, more: u64) {
        let add = |allowed: u64| Some(allowed.saturating_add(more));
        let _ = self
            .allowed
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, add);
        self.changed.notify_one();
    }

    /// Whether the receiver says how much it takes.
    pub(crate) fn is_counted(&self) -> bool {
        self.is_counted.load(Ordering::Acquire)
    }

    /// Waits until one more message may be sent. May be cancelled: nothing is taken then. One task at a time.
    pub(crate) async fn take(&self) {
        loop {
            if self.sent.load(Ordering::Acquire) < self.allowed.load(Ordering::Acquire) {
                self.sent.fetch_add(1, Ordering::AcqRel);
                return;
            }
            if self.is_counted() {
                self.changed.notified().await;
            } else if timeout(TO_KNOW, self.changed.notified()).await.is_err() && !self.is_counted() {
                self.allowed.store(u64::MAX, Ordering::Release);
            }
        }
    }

    pub(crate) fn fail(&self, error: Error) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert(error);
    }

    pub(crate) fn failure(&self) -> Option<Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What a receiver has read and not granted anew.
#[derive(Debug)]
pub(crate) struct Taken {
    read: u64,
    window: u64,
}

impl Taken {
    pub(crate) fn new(window: usize) -> Self {
        Self {
            read: 0,
            window: window as u64,
        }
    }

    /// Notes that one was read. Says how many to grant now: not each of many is worth a message.
    pub(crate) fn one(&mut self) -> Option<u64> {
        self.read += 1;
        (self.read >= self.window.div_ceil(2)).then(|| std::mem::take(&mut self.read))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_sender_waits_for_what_it_is_granted() {
        let flow = Flow::known(Some(2));
        flow.take().await;
        flow.take().await;
        assert!(flow.take().now_or_never().is_none());
        flow.grant(1);
        flow.take().await;
        assert!(flow.take().now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_says_how_much_it_takes_gets_all() {
        let flow = Flow::unknown();
        for _ in 0..1000 {
            flow.take().await;
        }
        let flow = Flow::unknown();
        for _ in 0..AT_FIRST {
            flow.take().await;
        }
        flow.announce(AT_FIRST + 1);
        flow.take().await;
        assert!(timeout(TO_KNOW * 2, flow.take()).await.is_err());
    }

    #[test]
    fn half_a_window_is_granted_at_once() {
        let mut taken = Taken::new(4);
        assert_eq!(
            [taken.one(), taken.one(), taken.one(), taken.one()],
            [None, Some(2), None, Some(2)]
        );
        assert_eq!(Taken::new(1).one(), Some(1));
    }
}
