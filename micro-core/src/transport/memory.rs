//! A transport inside this process: for tests, and for services that live together.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use super::{Listener, Transport};
use crate::registry::Node;
use crate::wire::travelling;
use crate::{Error, Handler, Metadata, Request, Response, Result};

/// A transport inside this process. Clones reach each other's listeners; other instances do not.
#[derive(Clone, Default)]
pub struct MemoryTransport(Arc<Shared>);

#[derive(Default)]
struct Shared {
    listeners: Mutex<HashMap<String, Arc<Served>>>,
    next_port: AtomicU64,
}

struct Served {
    handler: Arc<dyn Handler>,
    /// How many calls run; the listener waits for zero.
    running: watch::Sender<usize>,
    /// Set when the listener is cut off; calls that run end then.
    cut: watch::Sender<bool>,
}

impl MemoryTransport {
    /// A transport that nobody listens on yet.
    pub fn new() -> Self {
        Self::default()
    }
}

impl std::fmt::Debug for MemoryTransport {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("MemoryTransport")
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Served>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Transport for MemoryTransport {
    fn name(&self) -> &str {
        "memory"
    }

    fn protocol(&self) -> &str {
        crate::wire::PROTOCOL
    }

    async fn dial(&self, node: &Node) -> Result<Arc<dyn Handler>> {
        Ok(Arc::new(Peer {
            shared: self.0.clone(),
            address: node.address.clone(),
        }))
    }

    async fn listen(&self, address: &str, handler: Arc<dyn Handler>) -> Result<Box<dyn Listener>> {
        let mut listeners = self.0.lock();
        let address = match address.strip_suffix(":0").or(address.is_empty().then_some("")) {
            Some(host) => {
                let host = if host.is_empty() { "memory" } else { host };
                format!(
                    "{host}:{}",
                    10_000 + self.0.next_port.fetch_add(1, Ordering::Relaxed)
                )
            }
            None => address.to_owned(),
        };
        if listeners.contains_key(&address) {
            return Err(Error::conflict(
                "go.micro.transport",
                format!(
                    "address {address} is taken in this memory transport; listen on port 0 for a free one"
                ),
            ));
        }
        let served = Arc::new(Served {
            handler,
            running: watch::channel(0).0,
            cut: watch::channel(false).0,
        });
        listeners.insert(address.clone(), served.clone());
        drop(listeners);
        Ok(Box::new(MemoryListener {
            shared: self.0.clone(),
            address,
            served,
        }))
    }
}

struct Peer {
    shared: Arc<Shared>,
    address: String,
}

#[async_trait]
impl Handler for Peer {
    async fn handle(&self, request: Request) -> Result<Response> {
        let served = self.shared.lock().get(&self.address).cloned();
        let Some(served) = served else {
            return Err(Error::unavailable(
                "go.micro.client",
                format!(
                    "connection error: nobody listens at {} in this memory transport",
                    self.address
                ),
            )
            .never_started());
        };
        let running = Running::new(&served);
        let mut cut = served.cut.subscribe();
        let mut response = tokio::select! {
            response = served.handler.handle(as_carried(request)) => response.map_err(as_from_afar)?,
            _ = cut.wait_for(|cut| *cut) => return Err(self.gone()),
        };
        response.metadata = travelled(response.metadata);
        if response.body.is_stream() {
            response.body = cuttable(response.body, cut, self.gone());
        }
        response.body = response.body.guard(running);
        Ok(response)
    }
}

impl Peer {
    fn gone(&self) -> Error {
        Error::unavailable(
            "go.micro.client",
            format!("connection error: {} went away during the call", self.address),
        )
        .unanswered()
    }
}

/// A request as it would arrive over a wire: what is this side's own stays here.
fn as_carried(request: Request) -> Request {
    let mut parts = request.into_parts();
    parts.extensions.clear();
    parts.idempotent = false;
    parts.peer = None;
    parts.metadata = travelled(parts.metadata);
    Request::from_parts(parts)
}

fn travelled(metadata: Metadata) -> Metadata {
    if travelling(&metadata).count() == metadata.len() {
        return metadata;
    }
    let mut kept = Metadata::new();
    for (name, value) in travelling(&metadata) {
        kept.insert(name, value);
    }
    kept
}

/// What a peer answered says nothing about this side's knowledge or causes.
fn as_from_afar(error: Error) -> Error {
    Error::from_wire(&crate::wire::error_text(&error))
}

fn cuttable(mut body: crate::Body, mut cut: watch::Receiver<bool>, gone: Error) -> crate::Body {
    let mut gone = Some(gone);
    let mut cut = Box::pin(async move {
        let _ = cut.wait_for(|cut| *cut).await;
    });
    crate::Body::stream(futures_util::stream::poll_fn(move |context| {
        if gone.is_none() {
            return std::task::Poll::Ready(None);
        }
        if cut.as_mut().poll(context).is_ready() {
            return std::task::Poll::Ready(gone.take().map(Err));
        }
        body.poll_message(context)
            .map(|message| message.map(|message| message.map_err(as_from_afar)))
    }))
}

/// Counts a call for as long as it lives.
struct Running(Arc<Served>);

impl Running {
    fn new(served: &Arc<Served>) -> Self {
        served.running.send_modify(|running| *running += 1);
        Self(served.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.send_modify(|running| *running -= 1);
    }
}

struct MemoryListener {
    shared: Arc<Shared>,
    address: String,
    served: Arc<Served>,
}

#[async_trait]
impl Listener for MemoryListener {
    fn address(&self) -> &str {
        &self.address
    }

    async fn close(self: Box<Self>, grace: Duration) {
        self.leave();
        let mut running = self.served.running.subscribe();
        let _ = tokio::time::timeout(grace, running.wait_for(|running| *running == 0)).await;
    }
}

impl MemoryListener {
    /// Frees the address, unless somebody else listens there by now.
    fn leave(&self) {
        let mut listeners = self.shared.lock();
        if listeners
            .get(&self.address)
            .is_some_and(|served| Arc::ptr_eq(served, &self.served))
        {
            listeners.remove(&self.address);
        }
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        self.leave();
        self.served.cut.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};

    use super::*;
    use crate::Body;
    use crate::handler::handler_fn;

    #[tokio::test]
    async fn only_what_a_wire_carries_arrives() {
        let handler = handler_fn(|request: Request| async move {
            assert!(request.extensions.is_empty() && !request.idempotent && request.peer.is_none());
            assert_eq!(request.metadata.iter().collect::<Vec<_>>(), [("Foo", "bar")]);
            Ok(Response::new("done"))
        });
        let transport = MemoryTransport::new();
        let listener = transport.listen("", Arc::new(handler)).await.unwrap();
        let peer = transport
            .dial(&Node::new("node-1", listener.address()))
            .await
            .unwrap();
        let mut request = Request::new("a", "B.C", "");
        request.idempotent = true;
        request.extensions.insert(1_u8);
        request.metadata.insert("Foo", "bar");
        request.metadata.insert("Micro-Service", "forged");
        assert_eq!(
            peer.handle(request).await.unwrap().body.single().await.unwrap(),
            "done"
        );
    }

    #[tokio::test]
    async fn a_cut_stream_may_be_asked_again() {
        let (cut, is_cut) = watch::channel(false);
        let body = Body::stream(stream::iter([Ok("1".into())]).chain(stream::pending()));
        let mut body = cuttable(body, is_cut, Error::unavailable("", "gone"));
        assert!(body.message().await.unwrap().is_ok());
        cut.send_replace(true);
        assert!(body.message().await.unwrap().is_err());
        assert!(body.message().await.is_none());
        assert!(body.message().await.is_none());
    }
}
