//! What is asked for, until a connection takes it.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::error::Trouble;
use crate::requests::Request;

/// How many requests may wait for a connection beyond those of the channel.
const MOST_WAITING: usize = 1024;

/// A request, and who waits for its answer.
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) answer: oneshot::Sender<Result<Bytes, Trouble>>,
}

/// The receiving end of all requests of a session.
pub(crate) struct Intake {
    requests: mpsc::Receiver<Asked>,
    waiting: VecDeque<Asked>,
}

impl Intake {
    pub(crate) fn new(requests: mpsc::Receiver<Asked>) -> Self {
        Self {
            requests,
            waiting: VecDeque::new(),
        }
    }

    /// The next request that somebody still waits for. None: nobody is left who could ask. May be cancelled.
    pub(crate) async fn next(&mut self) -> Option<Asked> {
        loop {
            let asked = match self.waiting.pop_front() {
                Some(asked) => asked,
                None => self.requests.recv().await?,
            };
            if !asked.answer.is_closed() {
                return Some(asked);
            }
        }
    }

    /// The next request, if there is one already.
    pub(crate) fn ready(&mut self) -> Option<Asked> {
        loop {
            let asked = self
                .waiting
                .pop_front()
                .or_else(|| self.requests.try_recv().ok())?;
            if !asked.answer.is_closed() {
                return Some(asked);
            }
        }
    }

    /// Keeps what is asked for. Ends only when nobody is left who could ask. May be cancelled.
    pub(crate) async fn until_closed(&mut self) {
        while self.collect().await {}
    }

    /// Answers everything that waits.
    pub(crate) fn refuse(&mut self, trouble: &Trouble) {
        while let Some(asked) = self.ready() {
            let _ = asked.answer.send(Err(trouble.clone()));
        }
    }

    /// Rests, and ends it early when somebody asks, though not before the shortest time. Returns whether somebody is
    /// left who could ask.
    pub(crate) async fn rest(&mut self, shortest: Duration, longest: Duration) -> bool {
        let now = Instant::now();
        tokio::select! {
            () = self.until_closed() => return false,
            () = sleep_until(now + shortest) => {}
        }
        if !self.waiting.is_empty() {
            return true;
        }
        timeout_at(now + longest, self.collect()).await.unwrap_or(true)
    }

    async fn collect(&mut self) -> bool {
        if self.waiting.len() >= MOST_WAITING {
            self.waiting.retain(|asked| !asked.answer.is_closed());
        }
        if self.waiting.len() >= MOST_WAITING {
            // The channel fills up, and who asks waits.
            std::future::pending::<()>().await;
        }
        match self.requests.recv().await {
            Some(asked) => {
                self.waiting.push_back(asked);
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requests::exists;

    fn asked() -> (Asked, oneshot::Receiver<Result<Bytes, Trouble>>) {
        let (answer, answered) = oneshot::channel();
        let request = exists("/a");
        (Asked { request, answer }, answered)
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_ends_early_when_somebody_asks_but_not_too_early() {
        let (requests, receiver) = mpsc::channel(4);
        let mut intake = Intake::new(receiver);
        let (short, long) = (Duration::from_millis(100), Duration::from_secs(5));
        let begun = Instant::now();
        assert!(intake.rest(short, long).await);
        assert_eq!(begun.elapsed(), long);
        let (one, answered) = asked();
        requests.send(one).await.ok().unwrap();
        let begun = Instant::now();
        assert!(intake.rest(short, long).await);
        assert_eq!(begun.elapsed(), short);
        intake.refuse(&Trouble::Away { why: "test".into() });
        assert!(answered.await.unwrap().is_err());
        drop(requests);
        assert!(!intake.rest(short, long).await);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_not_done() {
        let (requests, receiver) = mpsc::channel(4);
        let mut intake = Intake::new(receiver);
        let (abandoned, answered) = asked();
        drop(answered);
        requests.send(abandoned).await.ok().unwrap();
        assert!(intake.ready().is_none());
        drop(requests);
        assert!(intake.next().await.is_none());
    }
}
