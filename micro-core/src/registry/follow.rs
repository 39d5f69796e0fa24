//! Following a registry's server across lost connections.

use std::collections::VecDeque;
use std::time::Duration;

use async_trait::async_trait;
use futures_core::Stream;
use futures_util::stream::{self, StreamExt};
use tokio::time::Instant;

use super::{Change, KnownNodes, ServiceRecord, Watcher};
use crate::comeback::Comeback;
use crate::{Error, Result};

/// What a registry's server says to a watcher: the part of a watch that differs from backend to backend.
///
/// [`Watcher::follow`] keeps the contract of [`Watcher`] over it. Its futures are part of the watcher: they are polled
/// whenever the watcher is, go on where they were after a [`Watcher::next`] that was cancelled, and are dropped with it.
#[async_trait]
pub trait WatchSource: Send + 'static {
    /// Lists everything that is watched, and begins to listen for what comes after the listing.
    ///
    /// Called at first, and again after each failure of [`next`](Self::next). What an earlier call held, such as a
    /// connection, is to be given up.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached or refuses.
    async fn begin(&mut self) -> Result<Vec<ServiceRecord>>;

    /// Waits for news.
    ///
    /// # Errors
    ///
    /// When the connection is lost, or changes may have been missed. [`begin`](Self::begin) is called then.
    async fn next(&mut self) -> Result<News>;
}

/// What a [`WatchSource`] heard. It may repeat what is known: only what differs is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// All that there is now.
    Listing(Vec<ServiceRecord>),
    /// What changed. A deletion may say no more than the names of service, version and node.
    Changes(Vec<Change>),
    /// There will be nothing any more, such as after the registry was closed: the watcher says `watcher stopped`, and
    /// its stream ends. What was known is not told as deleted.
    End,
}

impl Watcher {
    /// Follows what a registry's server says, across lost connections and restarts of the server.
    ///
    /// What is there at the beginning counts as known. When the source fails, the watcher tells so once, with an `Err`
    /// that does not end it; begins anew, after pauses that grow from 100 ms to 5 s and are random; and then tells how
    /// the new listing differs from what it knew. What came and went within the interruption is not told.
    ///
    /// `what` names the watch in errors: "the watch of greeter at etcd".
    ///
    /// # Errors
    ///
    /// When the source cannot begin.
    pub async fn follow(what: impl Into<String> + Send, source: impl WatchSource) -> Result<Self> {
        let mut follower = Follower::new(what, source);
        follower.begin_watch().await?;
        Ok(Self::new(follower.changes()))
    }
}

/// What keeps the contract of a [`Watcher`] over a source.
pub(super) struct Follower<S> {
    source: S,
    what: String,
    known: KnownNodes,
    pending: VecDeque<Change>,
    comeback: Comeback,
    /// Whether it could not begin at first, and never did.
    is_late: bool,
    /// Since when it is away.
    away: Option<Instant>,
    /// After what time away its nodes are told as deleted. None: never.
    forget_after: Option<Duration>,
    has_ended: bool,
}

impl<S: WatchSource> Follower<S> {
    pub(super) fn new(what: impl Into<String>, source: S) -> Self {
        Self {
            source,
            what: what.into(),
            known: KnownNodes::new(),
            pending: VecDeque::new(),
            comeback: Comeback::default(),
            is_late: false,
            away: None,
            forget_after: None,
            has_ended: false,
        }
    }

    /// Tells nodes as deleted when the source was away for that time.
    pub(super) fn forgetting_after(mut self, time: Duration) -> Self {
        self.forget_after = Some(time);
        self
    }

    /// All that is told, until the source says that it ended, and that as an error.
    pub(super) fn changes(self) -> impl Stream<Item = Result<Change>> + Send {
        stream::unfold(self, |mut follower| async {
            if follower.has_ended {
                return None;
            }
            let next = follower.next().await;
            Some((next, follower))
        })
        .fuse()
    }

    /// Begins for the first time, and returns what is there, a change each node.
    ///
    /// After a failure [`next`](Self::next) may be asked all the same: it goes on trying, tells once that it begins late
    /// when it does, and then what is there.
    pub(super) async fn begin_watch(&mut self) -> Result<VecDeque<Change>> {
        let begun = self.begin().await;
        if begun.is_err() {
            self.comeback.failed();
            self.is_late = true;
        }
        begun.map(|()| std::mem::take(&mut self.pending))
    }

    /// Takes these records for known, where the source could not begin, and returns them, a change each node. The source
    /// is away since then.
    pub(super) fn assume(&mut self, records: Vec<ServiceRecord>, away: Instant) -> VecDeque<Change> {
        self.away = Some(away);
        self.known.replace(records).into()
    }

    async fn next(&mut self) -> Result<Change> {
        loop {
            if let Some(change) = self.pending.pop_front() {
                return Ok(change);
            }
            if !self.comeback.works() {
                self.resume().await?;
                continue;
            }
            match self.source.next().await {
                Ok(News::Listing(listing)) => self.pending.extend(self.known.replace(listing)),
                Ok(News::Changes(changes)) => {
                    self.comeback.worked();
                    for change in changes {
                        self.pending.extend(self.known.apply(change));
                    }
                }
                Ok(News::End) => {
                    self.has_ended = true;
                    return Err(Error::unavailable(
                        "go.micro.registry",
                        format!("{}: watcher stopped: the registry was closed", self.what),
                    ));
                }
                Err(error) => {
                    tracing::debug!("{} was interrupted: {error}", self.what);
                    self.comeback.interrupted();
                }
            }
        }
    }

    /// Begins again, after a pause if it did not work before. Fails once in each time of trouble, so that the reader
    /// knows.
    async fn resume(&mut self) -> Result<()> {
        self.comeback.pause().await;
        let tried = Instant::now();
        match self.begin().await {
            Ok(()) => {
                if std::mem::take(&mut self.is_late) {
                    return Err(Error::unavailable(
                        "go.micro.registry",
                        format!("{} begins only now, because it could not before", self.what),
                    ));
                }
                Ok(())
            }
            Err(error) => {
                self.forget(tried);
                tracing::debug!("{} is not back yet: {error}", self.what);
                if self.comeback.failed() {
                    return Err(error.context(format_args!("{} is interrupted", self.what)));
                }
                Ok(())
            }
        }
    }

    /// Takes the nodes for gone when the source is away for too long. What counts is when the attempt that failed began:
    /// one that began long ago may have failed only because nobody read the watcher.
    fn forget(&mut self, tried: Instant) {
        let away = tried.saturating_duration_since(*self.away.get_or_insert(tried));
        if self.forget_after.is_some_and(|limit| away >= limit) {
            self.pending.extend(self.known.replace(Vec::new()));
        }
    }

    /// The whole listing is compared, since a server may come back without its data or with older ones, and not every
    /// server's numbers tell.
    async fn begin(&mut self) -> Result<()> {
        let listing = self.source.begin().await?;
        self.comeback.begun();
        self.away = None;
        self.pending.extend(self.known.replace(listing));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Action, Node};
    use super::*;

    fn nodes(ids: &[&str]) -> Vec<ServiceRecord> {
        let nodes = ids.iter().map(|id| Node::new(*id, "127.0.0.1:1")).collect();
        vec![ServiceRecord::new("greeter", "1").with_nodes(nodes)]
    }

    fn away() -> Error {
        Error::unavailable("test", "nobody there")
    }

    /// What `begin` and `next` answer, in turn; then `next` waits for ever.
    struct Script {
        listings: VecDeque<Result<Vec<ServiceRecord>>>,
        news: VecDeque<Result<News>>,
    }

    #[async_trait]
    impl WatchSource for Script {
        async fn begin(&mut self) -> Result<Vec<ServiceRecord>> {
            self.listings.pop_front().unwrap_or_else(|| Err(away()))
        }

        async fn next(&mut self) -> Result<News> {
            match self.news.pop_front() {
                Some(news) => news,
                None => std::future::pending().await,
            }
        }
    }

    async fn follow(
        listings: impl IntoIterator<Item = Result<Vec<ServiceRecord>>>,
        news: impl IntoIterator<Item = Result<News>>,
    ) -> Result<Watcher> {
        let script = Script {
            listings: listings.into_iter().collect(),
            news: news.into_iter().collect(),
        };
        Watcher::follow("the watch of greeter", script).await
    }

    async fn told(watcher: &mut Watcher) -> (Action, String) {
        let change = watcher.next().await.unwrap();
        (change.action, change.service.nodes[0].id.clone())
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_differs_is_told() {
        let news = [
            Ok(News::Listing(nodes(&["a"]))),
            Ok(News::Changes(vec![Change {
                action: Action::Update,
                service: nodes(&["b"]).remove(0),
            }])),
            Ok(News::Listing(nodes(&["b"]))),
        ];
        let mut watcher = follow([Ok(nodes(&["a"]))], news).await.unwrap();
        assert_eq!(told(&mut watcher).await, (Action::Create, "b".into()));
        assert_eq!(told(&mut watcher).await, (Action::Delete, "a".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_is_told_once_and_then_the_difference() {
        let listings = [Ok(nodes(&["a"])), Err(away()), Err(away()), Ok(nodes(&["b"]))];
        let mut watcher = follow(listings, [Err(away())]).await.unwrap();
        let error = watcher.next().await.unwrap_err();
        assert!(
            error.detail().contains("the watch of greeter is interrupted"),
            "{error}"
        );
        assert_eq!(told(&mut watcher).await, (Action::Delete, "a".into()));
        assert_eq!(told(&mut watcher).await, (Action::Create, "b".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_fails_at_once_again_and_again_does_not_spin() {
        let listings = (0..20).map(|_| Ok(nodes(&["a"])));
        let news = (0..19)
            .map(|_| Err(away()))
            .chain([Ok(News::Listing(Vec::new()))]);
        let mut watcher = follow(listings, news).await.unwrap();
        let begun = Instant::now();
        assert_eq!(told(&mut watcher).await, (Action::Delete, "a".into()));
        assert!(begun.elapsed() > Duration::from_secs(30), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_ends_ends_the_stream() {
        let news = [Ok(News::Listing(nodes(&["a", "b"]))), Ok(News::End)];
        let mut watcher = follow([Ok(nodes(&["a"]))], news).await.unwrap();
        assert_eq!(told(&mut watcher).await, (Action::Create, "b".into()));
        let error = watcher.next().await.unwrap_err();
        assert_eq!(
            error.detail(),
            "the watch of greeter: watcher stopped: the registry was closed"
        );
        assert!(StreamExt::next(&mut watcher).await.is_none());
        assert!(watcher.next().await.is_err(), "and it may be asked again");
    }

    #[tokio::test]
    async fn a_source_that_cannot_begin_is_no_watcher() {
        assert!(follow([], []).await.is_err());
    }
}
