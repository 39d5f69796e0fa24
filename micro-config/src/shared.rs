//! What the keeper writes and everybody reads.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::{Change, Refused, SourceStatus, View};

/// What the keeper writes and everybody reads.
pub(crate) struct Shared {
    pub(crate) view: ArcSwap<View>,
    pub(crate) report: Mutex<Report>,
    followers: Mutex<Vec<Weak<dyn Follow>>>,
    /// Ends with the keeper.
    pub(crate) changes: watch::Receiver<()>,
}

/// How things are.
pub(crate) struct Report {
    pub(crate) sources: Vec<SourceStatus>,
    pub(crate) history: VecDeque<Change>,
    pub(crate) refused: Option<Refused>,
}

/// Something that is to be up to date before anybody is told of a change.
pub(crate) trait Follow: Send + Sync {
    fn follow(&self, before: &View, now: &View);
}

impl Shared {
    pub(crate) fn new(view: View, sources: Vec<SourceStatus>, changes: watch::Receiver<()>) -> Self {
        Self {
            view: ArcSwap::from_pointee(view),
            report: Mutex::new(Report {
                sources,
                history: VecDeque::new(),
                refused: None,
            }),
            followers: Mutex::new(Vec::new()),
            changes,
        }
    }

    pub(crate) fn report(&self) -> MutexGuard<'_, Report> {
        unpoisoned(&self.report)
    }

    /// Lets something follow that is made of the view as it is now. No change is missed between.
    pub(crate) fn follow<F: Follow + 'static, E>(
        &self,
        make: impl FnOnce(&View) -> Result<Arc<F>, E>,
    ) -> Result<Arc<F>, E> {
        let mut followers = unpoisoned(&self.followers);
        let follower = make(&self.view.load())?;
        let weak: Weak<F> = Arc::downgrade(&follower);
        followers.retain(|follower| follower.strong_count() > 0);
        followers.push(weak);
        Ok(follower)
    }

    /// Puts another view in the place of this one, and brings up to date who follows.
    pub(crate) fn replace(&self, view: View) {
        let now = Arc::new(view);
        let before = self.view.swap(Arc::clone(&now));
        let followers: Vec<_> = {
            let followers = unpoisoned(&self.followers);
            followers.iter().filter_map(Weak::upgrade).collect()
        };
        for follower in followers {
            // The types are the user's, and so is what they do when they are made.
            let followed = catch_unwind(AssertUnwindSafe(|| follower.follow(&before, &now)));
            if followed.is_err() {
                tracing::error!("a type of the configuration panicked while it was read");
            }
        }
    }
}

/// What is behind a lock. Nothing is left half-done behind any of them, so that a panic elsewhere does no harm.
pub(crate) fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
