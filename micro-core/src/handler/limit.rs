//! A bound on how many calls run at once.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::{Handler, Request, Response, Wrapper};
use crate::error::SERVER;
use crate::{Error, Result};

/// Lets only so many calls run at once and answers 429 to those beyond.
///
/// A streaming call counts until its stream has ended. Around a dialled peer, a refused attempt goes to another
/// node, because it surely never started.
#[derive(Debug, Clone)]
pub struct ConcurrencyLimit {
    permits: Arc<Semaphore>,
    limit: usize,
}

impl ConcurrencyLimit {
    /// A limit that all handlers wrapped by this value share.
    pub fn new(limit: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))),
            limit,
        }
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
        let Ok(permit) = self.limit.permits.clone().try_acquire_owned() else {
            return Err(Error::too_many_requests(
                SERVER,
                format!(
                    "{}: {} calls are running, the limit; try later",
                    request.endpoint, self.limit.limit
                ),
            )
            .never_started());
        };
        let mut response = self.inner.handle(request).await?;
        response.body = response.body.guard(permit);
        Ok(response)
    }
}
