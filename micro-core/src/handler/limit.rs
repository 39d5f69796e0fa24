//! A bound on how many calls run at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use super::{Handler, Request, Response, Wrapper};
use crate::error::SERVER;
use crate::{Error, Result};

/// Lets only so many calls run at once and answers 429 to those beyond.
///
/// A streaming call counts until its stream has ended. Around a dialled peer, a refused attempt goes to another
/// node, because it surely never started.
#[derive(Debug, Clone)]
pub struct ConcurrencyLimit(Arc<Counted>);

#[derive(Debug)]
struct Counted {
    running: AtomicUsize,
    limit: AtomicUsize,
}

impl ConcurrencyLimit {
    /// A limit that all handlers wrapped by this value, or its clones, share.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Counted {
            running: AtomicUsize::new(0),
            limit: AtomicUsize::new(limit),
        }))
    }

    /// Another limit from now on, while handlers run. Calls that run already go on, and count.
    pub fn set(&self, limit: usize) {
        self.0.limit.store(limit, Ordering::Relaxed);
    }

    /// The limit of now.
    pub fn get(&self) -> usize {
        self.0.limit.load(Ordering::Relaxed)
    }

    fn enter(&self) -> Option<Permit> {
        let limit = self.get();
        let enter = |running| (running < limit).then_some(running + 1);
        let entered = self
            .0
            .running
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, enter);
        entered.is_ok().then(|| Permit(self.0.clone()))
    }
}

/// A call that runs.
struct Permit(Arc<Counted>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
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

#[async_trait]
impl Handler for Limited {
    async fn handle(&self, request: Request) -> Result<Response> {
        let Some(permit) = self.limit.enter() else {
            return Err(Error::too_many_requests(
                SERVER,
                format!(
                    "{}: {} calls are running, the limit; try later",
                    request.endpoint,
                    self.limit.get()
                ),
            )
            .never_started());
        };
        let mut response = self.inner.handle(request).await?;
        response.body = response.body.guard(permit);
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_changes_counts_the_calls_that_run_already() {
        let limit = ConcurrencyLimit::new(1);
        let first = limit.enter().unwrap();
        assert!(limit.enter().is_none());
        limit.clone().set(2);
        let second = limit.enter().unwrap();
        limit.set(1);
        drop(first);
        assert!(limit.enter().is_none());
        drop(second);
        assert!(limit.enter().is_some());
    }
}
