//! Waiting for what must happen, and giving up on purpose.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

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
