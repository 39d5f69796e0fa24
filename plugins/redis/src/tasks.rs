//! What is still to be told to Redis when nobody waits for it any more.

use std::future::Future;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Short tasks that end with their broker and its subscriptions: giving back events that were dropped, signing off
/// subscribers.
pub(crate) struct Tasks {
    runtime: Handle,
    tracker: TaskTracker,
    end: CancellationToken,
}

impl Tasks {
    /// Tasks of the runtime that this is called in.
    pub(crate) fn here() -> Self {
        Self {
            runtime: Handle::current(),
            tracker: TaskTracker::new(),
            end: CancellationToken::new(),
        }
    }

    /// Runs it to its end, or until the broker is gone.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let end = self.end.clone();
        self.tracker.spawn_on(
            async move {
                let _ = end.run_until_cancelled(task).await;
            },
            &self.runtime,
        );
    }

    /// Waits until nothing is left to be told.
    pub(crate) async fn settled(&self) {
        self.tracker.close();
        self.tracker.wait().await;
        self.tracker.reopen();
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.end.cancel();
    }
}
