//! What each attempt at a foreign node tells of it.

use std::sync::Arc;

use async_trait::async_trait;
use micro_core::{Error, ErrorKind, Handler, Request, Response, Result, Wrapper};

use super::ForeignServices;

/// Has names looked up again when their nodes cannot be reached.
pub(super) struct LookAgain(pub(super) ForeignServices);

struct Attempts {
    inner: Arc<dyn Handler>,
    services: ForeignServices,
}

impl Wrapper for LookAgain {
    fn wrap(&self, inner: Arc<dyn Handler>) -> Arc<dyn Handler> {
        Arc::new(Attempts {
            inner,
            services: self.0.clone(),
        })
    }
}

impl Attempts {
    fn note(&self, service: &str, error: &Error) {
        if error.is_never_started() && error.kind() == ErrorKind::Unavailable {
            self.services.note_unreached(service);
        }
    }
}

#[async_trait]
impl Handler for Attempts {
    async fn handle(&self, request: Request) -> Result<Response> {
        let service = request.service.clone();
        let result = self.inner.handle(request).await;
        result.inspect_err(|error| self.note(&service, error))
    }

    async fn handle_kept(&self, request: &mut Request) -> Result<Response> {
        let result = self.inner.handle_kept(request).await;
        result.inspect_err(|error| self.note(&request.service, error))
    }
}
