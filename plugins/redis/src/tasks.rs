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
        let tracker = TaskTracker::new();
        // Closed, it can be waited for, by many at once; it takes tasks all the same.
        tracker.close();
        Self {
            runtime: Handle::current(),
            tracker,
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
        self.tracker.wait().await;
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn many_may_wait_at_once_until_all_is_told() {
        let tasks = Arc::new(Tasks::here());
        let waiting = (0..4).map(|_| {
            let tasks = tasks.clone();
            tokio::spawn(async move {
                for _ in 0..1000 {
                    tasks.settled().await;
                }
                tasks.spawn(tokio::task::yield_now());
                tasks.settled().await;
            })
        });
        let done = futures_util::future::try_join_all(waiting);
        tokio::time::timeout(Duration::from_secs(60), done)
            .await
            .unwrap()
            .unwrap();
    }
}
