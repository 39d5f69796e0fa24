//! Tower's layers as wrappers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use tower_layer::Layer;
use tower_service::Service;

use super::{Handler, Request, Response, Wrapper};
use crate::error::SERVER;
use crate::{Error, Result};

/// Uses a [`tower_layer::Layer`] as a [`Wrapper`].
///
/// The service that the layer makes is cloned for each call, as tower's services are meant to be; its readiness is
/// awaited before the call. An error that is not this framework's becomes a 500 with the error's text, and keeps
/// it as its source.
#[derive(Debug, Clone)]
pub struct TowerLayer<L>(pub L);

/// A handler in tower's eyes: what a layer is put around.
#[derive(Clone)]
pub struct TowerService(Arc<dyn Handler>);

impl TowerService {
    /// Shows a handler to tower.
    pub fn new(handler: Arc<dyn Handler>) -> Self {
        Self(handler)
    }
}

impl std::fmt::Debug for TowerService {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("TowerService")
    }
}

impl Service<Request> for TowerService {
    type Response = Response;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let handler = self.0.clone();
        Box::pin(async move { handler.handle(request).await })
    }
}

impl<L> Wrapper for TowerLayer<L>
where
    L: Layer<TowerService> + Send + Sync + 'static,
    L::Service: Service<Request, Response = Response> + Clone + Send + Sync + 'static,
    <L::Service as Service<Request>>::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    <L::Service as Service<Request>>::Future: Send,
{
    fn wrap(&self, inner: Arc<dyn Handler>) -> Arc<dyn Handler> {
        Arc::new(Layered(self.0.layer(TowerService(inner))))
    }
}

struct Layered<S>(S);

#[async_trait]
impl<S> Handler for Layered<S>
where
    S: Service<Request, Response = Response> + Clone + Send + Sync + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    S::Future: Send,
{
    async fn handle(&self, request: Request) -> Result<Response> {
        let mut service = self.0.clone();
        std::future::poll_fn(|context| service.poll_ready(context))
            .await
            .map_err(from_tower)?;
        service.call(request).await.map_err(from_tower)
    }
}

fn from_tower(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    match error.into().downcast::<Error>() {
        Ok(error) => *error,
        Err(error) => Error::internal(SERVER, error.to_string()).with_source(error),
    }
}
