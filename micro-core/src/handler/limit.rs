//! A bound on how many calls run at once.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{BoxFuture, Handler, Request, Response, Wrapper};
use crate::error::SERVER;
use crate::{Error, Result, Text};

/// Lets only so many calls run at once and answers 429 to those beyond.
///
/// A streaming call counts until its stream has ended. The framework's own `Debug.*` endpoints are not limited, so that who
/// looks after a service still sees it. Around a dialled peer, a refused attempt goes to another node, because it surely
/// never started.
///
/// [`UNLIMITED`](Self::UNLIMITED) is no limit, and costs a call no more than reading a number.
#[derive(Debug, Clone)]
pub struct ConcurrencyLimit(Arc<Counted>);

#[derive(Debug)]
struct Counted {
    running: AtomicUsize,
    limit: AtomicUsize,
}

impl ConcurrencyLimit {
    /// As many as come.
    pub const UNLIMITED: usize = usize::MAX;

    /// A limit that all handlers wrapped by this value, or its clones, share. With 0 nothing runs.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Counted {
            running: AtomicUsize::new(0),
            limit: AtomicUsize::new(limit),
        }))
    }

    /// Another limit from now on, while handlers run. Calls that run already go on, and count, unless they began while
    /// there was none.
    pub fn set(&self, limit: usize) {
        self.0.limit.store(limit, Ordering::Relaxed);
    }

    /// The limit of now.
    pub fn get(&self) -> usize {
        self.0.limit.load(Ordering::Relaxed)
    }

    fn counts(&self, request: &Request) -> bool {
        self.get() != Self::UNLIMITED && is_limited(request)
    }

    fn enter(&self, request: &Request) -> Result<Permit> {
        let limit = self.get();
        let enter = |running| (running < limit).then_some(running + 1);
        let entered = self
            .0
            .running
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, enter);
        match entered {
            Ok(_) => Ok(Permit(self.0.clone())),
            Err(_) => Err(refused(
                SERVER,
                request,
                format_args!(
                    "the limit of {limit} at a time is reached; try again later, or raise the limit"
                ),
            )),
        }
    }
}

/// A call that runs.
struct Permit(Arc<Counted>);

impl Permit {
    /// Keeps it until the answer has ended.
    fn until_end(self, mut response: Response) -> Response {
        response.body = response.body.guard(self);
        response
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether limits are for this request: by the framework's own endpoints one sees what a service at its limits does.
pub(super) fn is_limited(request: &Request) -> bool {
    !request.endpoint.starts_with("Debug.")
}

/// What is answered beyond a limit, in Go Micro's words first. The handler never ran.
pub(super) fn refused(id: Text, request: &Request, why: fmt::Arguments<'_>) -> Error {
    let (service, endpoint) = (&request.service, &request.endpoint);
    let detail = format!("{service} {endpoint}: too many requests: {why}");
    Error::too_many_requests(id, detail).never_started()
}

impl Wrapper for ConcurrencyLimit {
    fn wrap(&self, inner: Arc<dyn Handler>) -> Arc<dyn Handler> {
        Arc::new(Limited {
            inner,
            limit: self.clone(),
        })
    }
}

struct Limited {
    inner: Arc<dyn Handler>,
    limit: ConcurrencyLimit,
}

impl Handler for Limited {
    // Written out, so that the inner future is returned as it is where there is no limit, without a box around it.
    fn handle<'a, 'b>(&'a self, request: Request) -> BoxFuture<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        if !self.limit.counts(&request) {
            return self.inner.handle(request);
        }
        Box::pin(async move {
            let permit = self.limit.enter(&request)?;
            let response = self.inner.handle(request).await?;
            Ok(permit.until_end(response))
        })
    }

    fn handle_kept<'a, 'b, 'c>(&'a self, request: &'b mut Request) -> BoxFuture<'c>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        if !self.limit.counts(request) {
            return self.inner.handle_kept(request);
        }
        Box::pin(async move {
            let permit = self.limit.enter(request)?;
            let response = self.inner.handle_kept(request).await?;
            Ok(permit.until_end(response))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::handler_fn;

    fn request(endpoint: &'static str) -> Request {
        Request::new("greeter", endpoint, "")
    }

    #[test]
    fn a_limit_that_changes_counts_the_calls_that_run_already() {
        let limit = ConcurrencyLimit::new(1);
        let enter = || limit.enter(&request("A.B"));
        let first = enter().unwrap();
        let error = enter().err().unwrap();
        assert!(error.is_never_started());
        assert_eq!(
            error.detail(),
            "greeter A.B: too many requests: the limit of 1 at a time is reached; try again later, or raise the limit"
        );
        limit.clone().set(2);
        let second = enter().unwrap();
        limit.set(1);
        drop(first);
        assert!(enter().is_err());
        drop(second);
        assert!(enter().is_ok());
    }

    #[tokio::test]
    async fn what_began_without_a_limit_does_not_count_and_debug_never_does() {
        let limit = ConcurrencyLimit::new(ConcurrencyLimit::UNLIMITED);
        let (go_on, gate) = tokio::sync::watch::channel(false);
        let inner = handler_fn(move |_| {
            let mut gate = gate.clone();
            async move {
                let _ = gate.wait_for(|open| *open).await;
                Ok(Response::default())
            }
        });
        let handler = limit.wrap(Arc::new(inner));
        let mut before = handler.handle(request("A.B"));
        assert!(futures_util::poll!(&mut before).is_pending());
        limit.set(1);
        let mut first = handler.handle(request("A.B"));
        assert!(futures_util::poll!(&mut first).is_pending());
        let mut again = request("A.B");
        for refused in [
            handler.handle(request("A.B")).await,
            handler.handle_kept(&mut again).await,
        ] {
            assert_eq!(refused.unwrap_err().code(), 429);
        }
        let mut health = handler.handle(request("Debug.Health"));
        assert!(futures_util::poll!(&mut health).is_pending());
        go_on.send_replace(true);
        for call in [before, first, health, handler.handle(request("A.B"))] {
            assert!(call.await.is_ok());
        }
        assert_eq!(limit.0.running.load(Ordering::Relaxed), 0);
    }
}
