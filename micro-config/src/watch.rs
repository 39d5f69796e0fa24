//! The values of a path, one after the other.

use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::Result;
use crate::shared::Shared;
use crate::tree::Tree;

/// The values of a path, one after the other: each time that it is another one than before. What it was when the watch
/// began is not told.
///
/// There is no queue: whoever is slow sees the newest and none of those between. It ends when the
/// [`Config`](crate::Config) is closed or dropped. It is a [`Stream`] too.
pub struct Watch<T> {
    shared: Arc<Shared>,
    path: String,
    last: Option<Tree>,
    state: State,
    value: PhantomData<fn() -> T>,
}

type Waiting = Pin<Box<dyn Future<Output = Option<watch::Receiver<()>>> + Send>>;

enum State {
    Idle(watch::Receiver<()>),
    Waiting(Waiting),
    Ended,
}

impl<T: DeserializeOwned> Watch<T> {
    pub(crate) fn new(shared: Arc<Shared>, path: &str) -> Self {
        // A change after this is told; one before it may be seen already, and is compared.
        let changes = shared.changes.clone();
        let last = shared.view.load().tree().at(path).cloned();
        Self {
            shared,
            path: path.to_owned(),
            last,
            state: State::Idle(changes),
            value: PhantomData,
        }
    }

    /// Waits for the next value. An error: it is not of the type, or nothing is there any more; the watch goes on.
    /// None: the configuration was closed or dropped.
    ///
    /// May be dropped before it returns, without anything being lost.
    pub async fn next(&mut self) -> Option<Result<T>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// The value, where it is another than the one before.
    fn look(&mut self) -> Option<Result<T>> {
        let view = self.shared.view.load();
        let now = view.tree().at(&self.path);
        if now == self.last.as_ref() {
            return None;
        }
        self.last = now.cloned();
        Some(view.get(&self.path))
    }
}

impl<T: DeserializeOwned> Stream for Watch<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let waiting = match std::mem::replace(&mut self.state, State::Ended) {
                State::Idle(changes) => Box::pin(next_change(changes)),
                State::Waiting(waiting) => waiting,
                State::Ended => return Poll::Ready(None),
            };
            self.state = State::Waiting(waiting);
            let State::Waiting(waiting) = &mut self.state else {
                return Poll::Ready(None);
            };
            match ready!(waiting.as_mut().poll(context)) {
                Some(changes) => self.state = State::Idle(changes),
                None => self.state = State::Ended,
            }
            // The last change before the end is told too.
            if let Some(value) = self.look() {
                return Poll::Ready(Some(value));
            }
        }
    }
}

async fn next_change(mut changes: watch::Receiver<()>) -> Option<watch::Receiver<()>> {
    changes.changed().await.ok()?;
    Some(changes)
}

impl<T> fmt::Debug for Watch<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Watch");
        debug.field("path", &self.path).finish_non_exhaustive()
    }
}
