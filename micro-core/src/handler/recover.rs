//! A panic, or a deadline that has passed, becomes an error of one call.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt, stream};

use super::deadline::{Deadline, outlived};
use super::{Body, Handler, Request, Response, Wrapper};
use crate::error::SERVER;
use crate::{Error, Result, Text};

/// Turns a panic of the handler, or of its stream, into a 500 for the one caller that met it, and stops a handler whose
/// caller's deadline has passed with a 408.
///
/// Servers stand behind it by default.
#[derive(Debug, Clone, Copy, Default)]
pub struct Recover;

impl Wrapper for Recover {
    fn wrap(&self, inner: Arc<dyn Handler>) -> Arc<dyn Handler> {
        Arc::new(Recovering(inner))
    }
}

struct Recovering(Arc<dyn Handler>);

#[async_trait]
impl Handler for Recovering {
    async fn handle(&self, request: Request) -> Result<Response> {
        let endpoint = request.endpoint.clone();
        let deadline = request.deadline;
        let handling = AssertUnwindSafe(self.0.handle(request)).catch_unwind();
        match Deadline::new(deadline).bound(handling).await {
            Some(Ok(Ok(mut response))) if response.body.is_stream() => {
                let late = endpoint.clone();
                let body = Deadline::new(deadline).bound_body(response.body, move || outlived(&late));
                response.body = recovering(body, endpoint);
                Ok(response)
            }
            Some(Ok(result)) => result,
            Some(Err(panic)) => Err(panicked(&endpoint, panic.as_ref())),
            None => Err(outlived(&endpoint)),
        }
    }
}

fn recovering(body: Body, endpoint: Text) -> Body {
    Body::stream(stream::unfold(Some(body), move |body| {
        let endpoint = endpoint.clone();
        async move {
            let mut body = body?;
            match AssertUnwindSafe(body.next()).catch_unwind().await {
                Ok(Some(message)) => Some((message, Some(body))),
                Ok(None) => None,
                Err(panic) => Some((Err(panicked(&endpoint, panic.as_ref())), None)),
            }
        }
    }))
}

/// The error of a call whose handler panicked.
pub(crate) fn panicked(endpoint: &str, panic: &(dyn Any + Send)) -> Error {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message");
    tracing::error!(endpoint, panic = message, "handler panicked");
    Error::internal(
        SERVER,
        format!("panic recovered in {endpoint}: {message}; the service's log has the place"),
    )
}
