//! The transport that a case tests, what it serves, and what calls it.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use micro_core::handler::{CallKind, handler_fn};
use micro_core::registry::Node;
use micro_core::transport::Listener;
use micro_core::{Body, Error, Handler, Request, Response, Result, Transport};
use tokio::sync::mpsc;

use super::TransportTraits;
use crate::suite::{Ending, Subject, soon};

/// The transport that a case tests.
#[derive(Clone)]
pub struct TransportSubject {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) traits: Arc<TransportTraits>,
}

impl Subject for TransportSubject {}

/// A listener, and a peer that was dialled at its address.
pub(super) struct Served {
    pub(super) listener: Box<dyn Listener>,
    pub(super) peer: Arc<dyn Handler>,
}

impl TransportSubject {
    pub(super) fn new(transport: Arc<dyn Transport>, traits: TransportTraits) -> Self {
        Self {
            transport,
            traits: Arc::new(traits),
        }
    }

    /// Serves a function at a free address and dials it.
    pub(super) async fn serve<F, Fut>(&self, function: F) -> Result<Served>
    where
        F: Fn(Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response>> + Send + 'static,
    {
        self.serve_handler(Arc::new(handler_fn(function))).await
    }

    pub(super) async fn serve_handler(&self, handler: Arc<dyn Handler>) -> Result<Served> {
        let listener = self.transport.listen(&self.traits.address, handler).await?;
        let peer = self.dial(listener.address()).await?;
        Ok(Served { listener, peer })
    }

    /// Serves what answers each request with its own body.
    pub(super) async fn serve_echo(&self) -> Result<Served> {
        self.serve(|mut request| async move { Ok(Response::new(request.take_body())) })
            .await
    }

    pub(super) async fn dial(&self, address: &str) -> Result<Arc<dyn Handler>> {
        self.transport.dial(&Node::new("node-1", address)).await
    }

    /// Waits for what should happen at once.
    pub(super) async fn soon<T>(
        &self,
        what: &str,
        future: impl Future<Output = T>,
    ) -> std::result::Result<T, Ending> {
        soon(self.traits.soon, what, future).await
    }

    /// Sends one message and waits for the one that answers it.
    pub(super) async fn call(
        &self,
        peer: &Arc<dyn Handler>,
        body: impl Into<Body>,
    ) -> std::result::Result<Result<Bytes>, Ending> {
        let answer = async {
            let response = peer.handle(request(body)).await?;
            response.body.single().await
        };
        self.soon("the answer", answer).await
    }
}

pub(super) fn request(body: impl Into<Body>) -> Request {
    Request::new("testkit", "Kit.Call", body)
}

/// A request that opens a stream.
pub(super) fn streaming(body: impl Into<Body>) -> Request {
    let mut request = request(body);
    request.kind = CallKind::Stream;
    request
}

/// A body that is fed through a channel; dropping the sender ends it.
pub(super) fn fed() -> (mpsc::Sender<Result<Bytes>>, Body) {
    let (sender, mut receiver) = mpsc::channel(1);
    (
        sender,
        Body::stream(stream::poll_fn(move |context| receiver.poll_recv(context))),
    )
}

/// A body of these messages.
pub(super) fn messages<I>(messages: I) -> Body
where
    I: IntoIterator<Item = Bytes>,
    I::IntoIter: Send + 'static,
{
    Body::stream(stream::iter(messages.into_iter().map(Ok)))
}

/// A number as a message.
pub(super) fn number(number: usize) -> Bytes {
    Bytes::from(number.to_string())
}

/// Reads a body to its end: its messages, and the error that ended it.
pub(super) async fn read_all(mut body: Body) -> (Vec<Bytes>, Option<Error>) {
    let mut messages = Vec::new();
    while let Some(message) = body.message().await {
        match message {
            Ok(message) => messages.push(message),
            Err(error) => return (messages, Some(error)),
        }
    }
    (messages, None)
}
