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
        let own = Instant::now() + self.limit;
        let deadline = request.deadline.map_or(own, |deadline| deadline.min(own));
        request.deadline = Some(deadline);
        let endpoint = request.endpoint.clone();
        match timeout_at(deadline, self.inner.handle(request)).await {
            Ok(result) => result,
            Err(_) => Err(Error::timeout(
                SERVER,
                format!("{endpoint}: not answered within its limit of {:?}", self.limit),
            )),
        }
    }
}
