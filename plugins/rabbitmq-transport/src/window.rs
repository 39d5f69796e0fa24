//! How far the writer of a stream may be ahead of its reader.
//!
//! RabbitMQ takes what it is given, so a writer would never notice that nobody reads. Peers that run this crate tell
//! each other how many messages they took; those in Go do not, and are not waited for.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// How long a peer may take to show that it grants room.
const SHOWING: Duration = Duration::from_secs(1);

/// What is known of the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Nothing yet.
    Unknown,
    /// It took so many messages.
    Took(u64),
    /// It does not tell.
    Silent,
}

/// The writer's side.
pub(crate) struct Window {
    reader: watch::Receiver<Reader>,
    size: u64,
    sent: u64,
    /// Whether it waited in vain for the peer to show.
    has_waited: bool,
}

impl Window {
    pub(crate) fn new(reader: watch::Receiver<Reader>, size: usize) -> Self {
        Self {
            reader,
            size: size as u64,
            sent: 0,
            has_waited: false,
        }
    }

    /// Waits until one more message may go out, and counts it. False: nobody reads any more.
    pub(crate) async fn room(&mut self) -> bool {
        let (sent, size) = (self.sent, self.size);
        if !self.has_waited {
            let is_known = |reader: &Reader| sent < size || *reader != Reader::Unknown;
            match timeout(SHOWING, self.reader.wait_for(is_known)).await {
                Ok(Err(_)) => return false,
                Ok(Ok(_)) => {}
                // It would have shown by now. Should it show later, it is heeded from then on.
                Err(_) => self.has_waited = true,
            }
        }
        let has_waited = self.has_waited;
        let has_room = |reader: &Reader| match reader {
            Reader::Unknown => sent < size || has_waited,
            Reader::Took(count) => sent < count.saturating_add(size),
            Reader::Silent => true,
        };
        let has_room = self.reader.wait_for(has_room).await.is_ok();
        self.sent += u64::from(has_room);
        has_room
    }
}

/// The reader's side: when to tell how much was taken.
pub(crate) struct Taken {
    count: u64,
    told: u64,
    size: u64,
}

impl Taken {
    pub(crate) fn new(size: usize) -> Self {
        Self {
            count: 0,
            told: 0,
            size: size as u64,
        }
    }

    /// Counts a message. What to tell the writer, if it is time.
    pub(crate) fn one(&mut self) -> Option<u64> {
        self.count += 1;
        (self.count - self.told >= self.size / 2).then(|| {
            self.told = self.count;
            self.count
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_writer_waits_for_its_reader() {
        let (told, reader) = watch::channel(Reader::Took(0));
        let mut window = Window::new(reader, 2);
        assert!(window.room().await && window.room().await);
        assert!(window.room().now_or_never().is_none());
        told.send_replace(Reader::Took(1));
        assert!(window.room().await);
        assert!(window.room().now_or_never().is_none());
        drop(told);
        assert!(!window.room().await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_never_tells_is_not_waited_for_long() {
        let (_told, reader) = watch::channel(Reader::Unknown);
        let mut window = Window::new(reader, 2);
        for _ in 0..5 {
            assert!(window.room().await);
        }
        let (_told, reader) = watch::channel(Reader::Silent);
        let mut window = Window::new(reader, 2);
        for _ in 0..10 {
            assert!(window.room().now_or_never().unwrap());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_tells_late_is_waited_for_from_then_on() {
        let (told, reader) = watch::channel(Reader::Unknown);
        let mut window = Window::new(reader, 2);
        for _ in 0..3 {
            assert!(window.room().await);
        }
        told.send_replace(Reader::Took(1));
        assert!(window.room().now_or_never().is_none());
        told.send_replace(Reader::Took(2));
        assert!(window.room().now_or_never().unwrap());
        assert!(window.room().now_or_never().is_none());
    }

    #[test]
    fn a_reader_tells_after_half_a_window() {
        let mut taken = Taken::new(4);
        let told: Vec<_> = (0..5).map(|_| taken.one()).collect();
        assert_eq!(told, [None, Some(2), None, Some(4), None]);
    }
}
