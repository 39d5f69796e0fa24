//! The one shape of a call: a request goes in, a response comes out.
//!
//! An endpoint, the router, the balancer, a dialled peer and a proxy are all [`Handler`]s; what stands around one
//! is a [`Wrapper`].

mod body;
mod bucket;
mod context;
mod deadline;
mod limit;
mod lot;
mod rate;
mod rate_limit;
mod recover;
mod request;
mod response;
mod stream;
mod timeout;
mod tower;
mod trace;
mod trace_context;
mod typed;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;

use crate::Result;

pub use self::body::Body;
pub use self::context::Context;
pub use self::limit::ConcurrencyLimit;
pub use self::lot::{Lot, Lots, Packed};
pub use self::rate::Rate;
pub use self::rate_limit::RateLimit;
pub use self::recover::Recover;
pub use self::request::{CallKind, Peer, Request, RequestParts};
pub use self::response::Response;
pub use self::stream::{StreamSender, Streaming};
pub use self::timeout::Timeout;
pub use self::tower::{TowerLayer, TowerService};
pub use self::trace::Trace;
pub use self::trace_context::{TRACEPARENT, TRACESTATE, TraceContext};
pub use self::typed::{
    BidirectionalStreaming, ClientStreaming, Endpoint, EndpointFn, IntoEndpoints, ServerStreaming, Unary,
    bidirectional_streaming, client_streaming, endpoint_fn, raw_endpoint, server_streaming, unary,
};

pub(crate) use self::deadline::{Deadline, outlived};
pub(crate) use self::recover::panicked;
pub(crate) use self::stream::{Format, outgoing};
pub(crate) use self::typed::schema_value;

/// What [`Handler::handle`] gives, written out.
pub(crate) type BoxFuture<'a> = Pin<Box<dyn Future<Output = Result<Response>> + Send + 'a>>;

/// Answers requests.
///
/// # Contract
///
/// - The future resolves when the head of the answer is known. A streamed body goes on after that.
/// - Dropping the future cancels the call, here and at the far side; after it resolved, dropping the response's
///   body does.
/// - A handler may be called many times at once.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Answers one request.
    ///
    /// # Errors
    ///
    /// What the caller is to see.
    async fn handle(&self, request: Request) -> Result<Response>;

    /// Answers a request of one message that stays with its owner, who may want to send it again, and leaves it as it
    /// is.
    ///
    /// The default answers a copy. A handler that only reads its requests, such as a dialled peer, saves the copy with
    /// an implementation of its own.
    ///
    /// # Errors
    ///
    /// Those of [`handle`](Self::handle); and 400 when the body is a stream, of which there is no copy.
    async fn handle_kept(&self, request: &mut Request) -> Result<Response> {
        let copy = request.copy()?;
        self.handle(copy).await
    }
}

impl<H: Handler + ?Sized> Handler for Arc<H> {
    // Written out, so that the inner future is returned as it is, without a box around it: whoever holds an `Arc` of a
    // handler calls this.
    fn handle<'a, 'b>(&'a self, request: Request) -> BoxFuture<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        (**self).handle(request)
    }

    fn handle_kept<'a, 'b, 'c>(&'a self, request: &'b mut Request) -> BoxFuture<'c>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        (**self).handle_kept(request)
    }
}

/// Stands around a handler: sees each request before it and each response after it.
///
/// Where it stands says what it wraps: around the balancer the whole call, around a dialled peer each attempt,
/// around the router every request that a server receives. Closures from handler to handler are wrappers;
/// [`wrapper_fn`] makes one of an async function.
///
/// What a wrapper holds for the length of a call must go into the response's body, which may be a stream that is
/// still running: see [`Body::guard`].
pub trait Wrapper: Send + Sync + 'static {
    /// Puts this wrapper around a handler. Called when a stack is built, not for each request.
    fn wrap(&self, inner: Arc<dyn Handler>) -> Arc<dyn Handler>;
}

impl<F> Wrapper for F
where
    F: Fn(Arc<dyn Handler>) -> Arc<dyn Handler> + Send + Sync + 'static,
{
    fn wrap(&self, inner: Arc<dyn Handler>) -> Arc<dyn Handler> {
        self(inner)
    }
}

impl Wrapper for Arc<dyn Wrapper> {
    fn wrap(&self, inner: Arc<dyn Handler>) -> Arc<dyn Handler> {
        (**self).wrap(inner)
    }
}

/// Puts wrappers around a handler. The first is the outermost, as a request meets them.
pub fn wrap_all(wrappers: &[Arc<dyn Wrapper>], handler: Arc<dyn Handler>) -> Arc<dyn Handler> {
    wrappers
        .iter()
        .rev()
        .fold(handler, |inner, wrapper| wrapper.wrap(inner))
}

/// Makes a handler of an async function.
///
/// ```
/// use micro_core::handler::{handler_fn, Response};
///
/// let echo = handler_fn(|request: micro_core::Request| async move { Ok(Response::new(request.into_parts().body)) });
/// ```
pub fn handler_fn<F, Fut>(function: F) -> HandlerFn<F>
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response>> + Send + 'static,
{
    HandlerFn(function)
}

/// See [`handler_fn`].
#[derive(Debug, Clone)]
pub struct HandlerFn<F>(F);

#[async_trait]
impl<F, Fut> Handler for HandlerFn<F>
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response>> + Send + 'static,
{
    async fn handle(&self, request: Request) -> Result<Response> {
        (self.0)(request).await
    }
}

/// Makes a wrapper of an async function, which is given the request and the handler that comes next.
///
/// ```
/// use std::sync::Arc;
/// use micro_core::handler::{wrapper_fn, Handler, Request};
///
/// let log = wrapper_fn(|request: Request, next: Arc<dyn Handler>| async move {
///     println!("calling {}", request.endpoint);
///     next.handle(request).await
/// });
/// ```
pub fn wrapper_fn<F, Fut>(function: F) -> impl Wrapper
where
    F: Fn(Request, Arc<dyn Handler>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response>> + Send + 'static,
{
    let function = Arc::new(function);
    move |inner: Arc<dyn Handler>| -> Arc<dyn Handler> {
        let function = function.clone();
        Arc::new(handler_fn(move |request| function(request, inner.clone())))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn a_kept_request_is_answered_by_a_copy_as_often_as_it_is_sent() {
        let echo = handler_fn(|request: Request| async move { Ok(Response::new(request.into_parts().body)) });
        let mut request = Request::new("greeter", "Greeter.Hello", "hello");
        for _ in 0..2 {
            let response = echo.handle_kept(&mut request).await.unwrap();
            assert_eq!(response.body.single().await.unwrap(), "hello");
        }
        request.body = Body::stream(stream::empty());
        let error = echo.handle_kept(&mut request).await.unwrap_err();
        assert!(error.is_never_started() && error.code() == 400, "{error}");
    }
}
