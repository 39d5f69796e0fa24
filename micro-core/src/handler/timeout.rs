//! A bound on how long a handler may take.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout_at};

use super::{Handler, Request, Response, Wrapper};
use crate::error::SERVER;
use crate::{Error, Result};

/// Answers 408 when the handler's head takes longer than this, or than the caller waits, whichever is shorter.
///
/// The handler is dropped then. A streamed body is not bounded.
#[derive(Debug, Clone, Copy)]
pub struct Timeout(pub Duration);

impl Wrapper for Timeout {
    fn wrap(&self, inner: Arc<dyn Handler>) -> Arc<dyn Handler> {
        Arc::new(Bounded { inner, limit: self.0 })
    }
}

struct Bounded {
    inner: Arc<dyn Handler>,
    limit: Duration,
}

#[async_trait]
impl Handler for Bounded {
    async fn handle(&self, mut request: Request) -> Result<Response> {
        let now = Instant::now();
        // A limit that the clock cannot count is none.
        let own = now.checked_add(self.limit);
        let Some(deadline) = [request.deadline, own].into_iter().flatten().min() else {
            return self.inner.handle(request).await;
        };
        request.deadline = Some(deadline);
        let endpoint = request.endpoint.clone();
        match timeout_at(deadline, self.inner.handle(request)).await {
            Ok(result) => result,
            Err(_) if own == Some(deadline) => Err(Error::timeout(
                SERVER,
                format!("{endpoint}: not answered within its limit of {:?}", self.limit),
            )),
            Err(_) => Err(Error::timeout(
                SERVER,
                format!(
                    "{endpoint}: not answered within the {:?} that its caller waits, shorter than its limit of {:?}",
                    deadline.saturating_duration_since(now),
                    self.limit
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::handler_fn;

    async fn refusal(limit: Duration, waits: Duration) -> Error {
        let handler = Timeout(limit).wrap(Arc::new(handler_fn(|_| std::future::pending())));
        let mut request = Request::new("a", "A.B", "");
        request.deadline = Some(Instant::now() + waits);
        handler.handle(request).await.unwrap_err()
    }

    #[tokio::test(start_paused = true)]
    async fn the_error_names_the_limit_that_was_shorter() {
        let (one, two) = (Duration::from_secs(1), Duration::from_secs(2));
        let own = refusal(one, two).await;
        assert_eq!(own.detail(), "A.B: not answered within its limit of 1s");
        let callers = refusal(two, one).await;
        assert!(callers.detail().contains("1s that its caller waits"), "{callers}");
        assert_eq!((own.code(), callers.code()), (408, 408));
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_beyond_measure_is_none() {
        let callers = refusal(Duration::MAX, Duration::from_secs(1)).await;
        assert!(callers.detail().contains("its caller waits"), "{callers}");
        let handler = Timeout(Duration::MAX).wrap(Arc::new(handler_fn(|_| async { Ok(Response::new("x")) })));
        assert!(handler.handle(Request::new("a", "A.B", "")).await.is_ok());
    }
}
