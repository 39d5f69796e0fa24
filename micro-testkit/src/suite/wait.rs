//! Waiting for what must happen, and giving up on purpose.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Ending;

/// Waits for what must happen within a time; `what` names it in the failure.
pub(crate) async fn soon<T>(
    within: Duration,
    what: &str,
    future: impl Future<Output = T>,
) -> Result<T, Ending> {
    let waited = timeout(within, future).await;
    waited.map_err(|_| Ending::failed(format!("{what}: not within {within:?}")))
}

/// How long a future that is to be dropped midway is given to move at all.
const STILL: Duration = Duration::from_millis(50);

/// Polls a future until it is done, has been polled that often, or does not move any more; then drops it.
pub(crate) async fn partly<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    let polled = poll_fn(move |context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left <= 1 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    });
    timeout(STILL, polled).await.ok().flatten()
}

/// Tells, by permits, how many of its guards were dropped.
#[derive(Clone)]
pub(crate) struct Dropped(Arc<Semaphore>);

/// Adds a permit when it is dropped.
pub(crate) struct Guard(Arc<Semaphore>);

impl Dropped {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    pub(crate) fn guard(&self) -> Guard {
        Guard(self.0.clone())
    }

    /// Waits until this many guards more were dropped.
    pub(crate) async fn wait(&self, count: u32) {
        if let Ok(permits) = self.0.acquire_many(count).await {
            permits.forget();
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}
