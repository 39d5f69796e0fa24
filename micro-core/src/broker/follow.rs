//! A subscription at a broker's server, across lost connections.

use async_trait::async_trait;
use futures_core::Stream;
use futures_util::stream::{self, StreamExt};
use tokio_util::sync::CancellationToken;

use super::{Event, Subscription};
use crate::Result;
use crate::comeback::Comeback;

/// What a broker's server says to a subscription: the part of a subscription that differs from backend to backend.
///
/// [`Subscription::follow`] keeps the contract of [`Subscription`] over it. Its futures are part of the subscription:
/// they are polled whenever it is, and dropped with it or when it is drained.
#[async_trait]
pub trait EventSource: Send + 'static {
    /// Connects, where that is needed, and subscribes.
    ///
    /// Called at first, and again after each failure of [`next`](Self::next). What an earlier call held, such as a
    /// connection, is to be given up.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached or refuses the subscription.
    async fn begin(&mut self) -> Result<()>;

    /// Waits for the next event; `None` when there will be no more. Its future may be dropped at any time, and nothing
    /// may be lost then.
    ///
    /// # Errors
    ///
    /// When the connection is lost. [`begin`](Self::begin) is called then.
    async fn next(&mut self) -> Result<Option<Event>>;

    /// Asks for no more events. Says whether some have arrived already: then [`next`](Self::next) is called until it
    /// says `None` or fails. Called once at most.
    ///
    /// By default nothing is asked and nothing has arrived: right where the server gives to others what was not given
    /// out.
    ///
    /// # Errors
    ///
    /// When the server could not be told. The subscription ends then.
    async fn drain(&mut self) -> Result<Remainder> {
        Ok(Remainder::Nothing)
    }
}

/// What is left of a subscription that is drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remainder {
    /// Nothing: it has ended.
    Nothing,
    /// Events that have arrived already.
    Arrived,
}

impl Subscription {
    /// Follows a source of events across lost connections and restarts of the broker's server.
    ///
    /// When the source fails, it is begun anew, after pauses that grow from 100 ms to 5 s and are random, and begin
    /// with the shortest where it had given out events. If that does
    /// not work at once, the subscription tells so once, with an `Err` that does not end it.
    ///
    /// `what` names the subscription in errors: "the subscription to orders at nats".
    ///
    /// # Errors
    ///
    /// When the source cannot begin.
    pub async fn follow(what: impl Into<String> + Send, mut source: impl EventSource) -> Result<Self> {
        source.begin().await?;
        let mut comeback = Comeback::default();
        comeback.begun();
        let drain = CancellationToken::new();
        // Boxed, because the stream moves it for each event.
        let follower = Box::new(Follower {
            source,
            what: what.into(),
            comeback,
            drain: drain.clone(),
            is_draining: false,
            has_ended: false,
        });
        Ok(Self::new(follower.events()).on_drain(move || drain.cancel()))
    }
}

struct Follower<S> {
    source: S,
    what: String,
    comeback: Comeback,
    drain: CancellationToken,
    is_draining: bool,
    has_ended: bool,
}

impl<S: EventSource> Follower<S> {
    fn events(self: Box<Self>) -> impl Stream<Item = Result<Event>> + Send {
        stream::unfold(self, |mut follower| async {
            let next = follower.next().await?;
            Some((next, follower))
        })
        .fuse()
    }

    async fn next(&mut self) -> Option<Result<Event>> {
        while !self.has_ended {
            if self.is_draining {
                return self.rest().await;
            }
            if self.drain.is_cancelled() {
                self.begin_drain().await;
                continue;
            }
            let drain = self.drain.clone();
            tokio::select! {
                // Only where there is no event to be had at once is it worth waiting for the drain.
                biased;
                step = self.step() => match step {
                    Ok(None) => {}
                    Ok(Some(event)) => return Some(Ok(event)),
                    Err(error) => return Some(Err(error)),
                },
                () = drain.cancelled() => self.begin_drain().await,
            }
        }
        None
    }

    /// Waits for an event, or makes one step towards being subscribed again.
    async fn step(&mut self) -> Result<Option<Event>> {
        if !self.comeback.works() {
            return self.resume().await.map(|()| None);
        }
        match self.source.next().await {
            Ok(Some(event)) => {
                self.comeback.worked();
                return Ok(Some(event));
            }
            Ok(None) => self.has_ended = true,
            Err(error) => {
                tracing::debug!("{} was interrupted: {error}", self.what);
                self.comeback.interrupted();
            }
        }
        Ok(None)
    }

    async fn resume(&mut self) -> Result<()> {
        self.comeback.pause().await;
        match self.source.begin().await {
            Ok(()) => self.comeback.begun(),
            Err(error) => {
                tracing::debug!("{} is not back yet: {error}", self.what);
                if self.comeback.failed() {
                    return Err(error.context(format_args!("{} is interrupted", self.what)));
                }
            }
        }
        Ok(())
    }

    async fn begin_drain(&mut self) {
        self.is_draining = true;
        // Without a connection nothing more has arrived.
        self.has_ended = !self.comeback.works()
            || match self.source.drain().await {
                Ok(remainder) => remainder == Remainder::Nothing,
                Err(error) => {
                    tracing::debug!("{} could not be ended in order: {error}", self.what);
                    true
                }
            };
    }

    /// What has arrived before the drain.
    async fn rest(&mut self) -> Option<Result<Event>> {
        let next = self.source.next().await;
        if let Err(error) = &next {
            tracing::debug!("{} broke off while it ended: {error}", self.what);
        }
        let event = next.ok().flatten();
        self.has_ended = event.is_none();
        event.map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio::time::{Duration, Instant};

    use super::super::Message;
    use super::*;
    use crate::Error;

    fn away() -> Error {
        Error::unavailable("test", "nobody there")
    }

    /// What `begin` and `next` answer, in turn; then `next` waits for ever, or ends once it is drained.
    #[derive(Default)]
    struct Script {
        begins: VecDeque<Result<()>>,
        nexts: VecDeque<Result<&'static str>>,
        after_drain: Option<VecDeque<&'static str>>,
        is_drained: bool,
    }

    #[async_trait]
    impl EventSource for Script {
        async fn begin(&mut self) -> Result<()> {
            self.begins.pop_front().unwrap_or(Ok(()))
        }

        async fn next(&mut self) -> Result<Option<Event>> {
            let event = |body: &'static str| Some(Event::new("topic", Message::new(body)));
            if self.is_drained {
                let rest = self.after_drain.as_mut().and_then(VecDeque::pop_front);
                return Ok(rest.and_then(event));
            }
            match self.nexts.pop_front() {
                Some(next) => next.map(event),
                None => std::future::pending().await,
            }
        }

        async fn drain(&mut self) -> Result<Remainder> {
            self.is_drained = true;
            Ok(match self.after_drain {
                Some(_) => Remainder::Arrived,
                None => Remainder::Nothing,
            })
        }
    }

    async fn body(subscription: &mut Subscription) -> Result<bytes::Bytes> {
        Ok(subscription.next().await.unwrap()?.take_message().body)
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_is_told_once_and_then_events_go_on() {
        let script = Script {
            begins: [Ok(()), Err(away()), Err(away()), Ok(())].into(),
            nexts: [Ok("a"), Err(away()), Ok("b")].into(),
            ..Script::default()
        };
        let mut subscription = Subscription::follow("the subscription to orders", script)
            .await
            .unwrap();
        assert_eq!(body(&mut subscription).await.unwrap(), "a");
        let error = body(&mut subscription).await.unwrap_err();
        assert!(
            error
                .detail()
                .contains("the subscription to orders is interrupted"),
            "{error}"
        );
        assert_eq!(body(&mut subscription).await.unwrap(), "b");
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_fails_at_once_again_and_again_does_not_spin() {
        let script = Script {
            nexts: (0..20).map(|_| Err(away())).chain([Ok("at last")]).collect(),
            ..Script::default()
        };
        let mut subscription = Subscription::follow("it", script).await.unwrap();
        let begun = Instant::now();
        assert_eq!(body(&mut subscription).await.unwrap(), "at last");
        assert!(begun.elapsed() > Duration::from_secs(30), "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn draining_gives_out_what_has_arrived_and_ends() {
        let script = Script {
            nexts: [Ok("a")].into(),
            after_drain: Some(["b", "c"].into()),
            ..Script::default()
        };
        let mut subscription = Subscription::follow("it", script).await.unwrap();
        assert_eq!(body(&mut subscription).await.unwrap(), "a");
        subscription.drain();
        assert_eq!(body(&mut subscription).await.unwrap(), "b");
        assert_eq!(body(&mut subscription).await.unwrap(), "c");
        assert!(subscription.next().await.is_none());
        assert!(subscription.next().await.is_none(), "and it may be asked again");
    }

    #[tokio::test]
    async fn draining_ends_at_once_where_nothing_has_arrived() {
        let script = Script {
            nexts: [Ok("not given out")].into(),
            ..Script::default()
        };
        let mut subscription = Subscription::follow("it", script).await.unwrap();
        subscription.drain();
        assert!(subscription.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn draining_ends_also_while_the_server_is_away() {
        let script = Script {
            begins: std::iter::once(Ok(()))
                .chain((0..10_000).map(|_| Err(away())))
                .collect(),
            nexts: [Err(away())].into(),
            after_drain: Some(["never"].into()),
            ..Script::default()
        };
        let mut subscription = Subscription::follow("it", script).await.unwrap();
        assert!(body(&mut subscription).await.is_err());
        subscription.drain();
        assert!(subscription.next().await.is_none());
    }

    #[tokio::test]
    async fn a_source_that_cannot_begin_is_no_subscription() {
        let script = Script {
            begins: [Err(away())].into(),
            ..Script::default()
        };
        assert!(Subscription::follow("it", script).await.is_err());
    }
}
