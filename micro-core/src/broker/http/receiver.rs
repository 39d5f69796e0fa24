//! The listening end: this process's subscriptions, and the messages posted to them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderValue, Method, StatusCode, header};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{BROADCAST, HttpBrokerConfig, SERVICE};
use crate::broker::{Acknowledge, Event, Message, SubscribeOptions, Subscription, envelope};
use crate::error::BROKER;
use crate::registry::{Node, ServiceRecord};
use crate::service::{Registration, advertised};
use crate::transport::http::{HttpLimits, Route};
use crate::transport::{HttpTransport, Listener};
use crate::wire::TOPIC;
use crate::{Body, Error, Registry, Result, Text};

/// How long a registry may take to take out what was perhaps registered.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct Receiver {
    registry: Arc<dyn Registry>,
    config: HttpBrokerConfig,
    transport: HttpTransport,
    incoming: Arc<Incoming>,
    // A lock of tokio's, because listening is awaited under it.
    listener: tokio::sync::Mutex<Option<Arc<dyn Listener>>>,
    /// Subscriptions that are being taken out of the registry.
    leaving: Arc<Mutex<JoinSet<()>>>,
}

/// This process's subscriptions, by node id.
#[derive(Default)]
struct Subscriptions(Mutex<HashMap<Text, Subscribed>>);

#[derive(Clone)]
struct Subscribed {
    topic: Text,
    arrivals: mpsc::Sender<Arrival>,
}

/// A posted message, and where it is said that it was handled.
struct Arrival {
    message: Message,
    handled: oneshot::Sender<()>,
}

impl Receiver {
    pub(super) fn new(
        registry: Arc<dyn Registry>,
        config: HttpBrokerConfig,
        transport: HttpTransport,
    ) -> Self {
        Self {
            registry,
            transport,
            incoming: Arc::new(Incoming {
                subscriptions: Arc::default(),
                limits: config.http.limits,
            }),
            config,
            listener: tokio::sync::Mutex::default(),
            leaving: Arc::default(),
        }
    }

    pub(super) async fn subscribe(&self, topic: &str, options: SubscribeOptions) -> Result<Subscription> {
        let listener = self.listen().await?;
        let address = advertised(listener.address(), self.config.advertise.as_deref())?;
        // Shorter than Go Micro's, which ends with a UUID: mDNS has room for 63 bytes behind the last dot.
        let id = Text::from(format!("{topic}-{:016x}", fastrand::u64(..)));
        let record = self.record(&id, topic, &address, options.queue.as_deref())?;
        let (sender, arrivals) = mpsc::channel(options.concurrency.clamp(1, 1024));
        let subscribed = Subscribed {
            topic: topic.into(),
            arrivals: sender,
        };
        let mut place = Place {
            id: id.clone(),
            subscriptions: self.incoming.subscriptions.clone(),
            registered: Registered::Perhaps(self.registry.clone(), record.clone()),
            leaving: Arc::downgrade(&self.leaving),
            _listener: listener,
        };
        // In place before the registry knows it, so that the first message finds it.
        place.subscriptions.lock().insert(id, subscribed.clone());
        let registration = Registration::start(self.registry.clone(), record, self.config.registration).await;
        // Who failed to register has taken it back already.
        place.registered = Registered::Not;
        place.registered = Registered::Surely(registration?);
        let (shared, notice) = (Arc::new(Mutex::new(Some(place))), self.config.notice);
        let events = Events {
            arrivals,
            topic: topic.into(),
            _place: shared.clone(),
        };
        let events = stream::unfold(events, |mut events| async move {
            let event = events.next().await?;
            Some((Ok(event), events))
        });
        let arrivals = subscribed.arrivals;
        Ok(Subscription::new(events).on_drain(move || {
            let place = shared.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(place) = place {
                place.leave(notice, arrivals);
            }
        }))
    }

    /// Listens, if nobody did yet.
    async fn listen(&self) -> Result<Arc<dyn Listener>> {
        let mut listener = self.listener.lock().await;
        if let Some(listener) = &*listener {
            return Ok(listener.clone());
        }
        let new = self
            .transport
            .serve(&self.config.address, self.incoming.clone())
            .await?;
        tracing::info!(broker = "http", "listening on {}", new.address());
        let new: Arc<dyn Listener> = new.into();
        *listener = Some(new.clone());
        Ok(new)
    }

    fn record(&self, id: &str, topic: &str, address: &str, queue: Option<&str>) -> Result<ServiceRecord> {
        if queue == Some(BROADCAST) {
            return Err(Error::bad_request(
                BROKER,
                format!("the queue {BROADCAST:?} means no queue on the wire; give it another name"),
            ));
        }
        let mut node = Node::new(id, address);
        let tls = self.config.http.tls.as_ref();
        let is_secure = tls.is_some_and(|tls| tls.identity.is_some());
        node.metadata = [
            ("broker", "http"),
            ("secure", if is_secure { "true" } else { "false" }),
            ("topic", topic),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        Ok(ServiceRecord::new(SERVICE, queue.unwrap_or(BROADCAST)).with_nodes(vec![node]))
    }
}

/// A subscription's place in the registry and among this process's subscriptions, until it is dropped.
struct Place {
    id: Text,
    subscriptions: Arc<Subscriptions>,
    registered: Registered,
    leaving: Weak<Mutex<JoinSet<()>>>,
    /// Stays open while there is a subscription.
    _listener: Arc<dyn Listener>,
}

/// What the registry knows of a subscription.
enum Registered {
    /// Registering has begun.
    Perhaps(Arc<dyn Registry>, ServiceRecord),
    Surely(Registration),
    Not,
}

impl Registered {
    async fn end(self) {
        match self {
            Self::Perhaps(registry, record) => {
                // Who does not answer now lets the record lapse.
                let _ = timeout(PATIENCE, registry.deregister(&record)).await;
            }
            Self::Surely(registration) => registration.stop().await,
            Self::Not => {}
        }
    }

    fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Not)
    }
}

impl Place {
    /// Leaves the registry, and the process's subscriptions when publishers can have noticed, or nobody wants the
    /// messages any more.
    fn leave(mut self, notice: Duration, arrivals: mpsc::Sender<Arrival>) {
        let (registered, leaving) = (self.registered.take(), self.leaving.clone());
        spawn(&leaving, async move {
            registered.end().await;
            let _ = timeout(notice, arrivals.closed()).await;
            drop(self);
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.subscriptions.lock().remove(&self.id);
        if !matches!(self.registered, Registered::Not) {
            spawn(&self.leaving, self.registered.take().end());
        }
    }
}

/// Runs what ends a subscription while its broker lives.
fn spawn(leaving: &Weak<Mutex<JoinSet<()>>>, end: impl Future<Output = ()> + Send + 'static) {
    let Some(leaving) = leaving.upgrade() else { return };
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    let mut leaving = leaving.lock().unwrap_or_else(PoisonError::into_inner);
    while leaving.try_join_next().is_some() {}
    leaving.spawn_on(end, &runtime);
}

/// What a subscription gives out.
struct Events {
    /// Ends when the subscription has left its place and the last message under way has arrived.
    arrivals: mpsc::Receiver<Arrival>,
    topic: Text,
    /// Empty once the subscription drains.
    _place: Arc<Mutex<Option<Place>>>,
}

impl Events {
    async fn next(&mut self) -> Option<Event> {
        loop {
            let Arrival { message, handled } = self.arrivals.recv().await?;
            // Whose publisher went away was offered elsewhere, or will be offered again.
            if !handled.is_closed() {
                let handled = Handled(handled);
                return Some(Event::new(self.topic.clone(), message).with_acknowledge(handled));
            }
        }
    }
}

/// Answers the publisher. Dropped, it lets it offer the message elsewhere.
struct Handled(oneshot::Sender<()>);

#[async_trait]
impl Acknowledge for Handled {
    async fn acknowledge(self: Box<Self>) -> Result<()> {
        // Who published and did not wait will offer it again, which nobody here can change.
        let _ = self.0.send(());
        Ok(())
    }

    /// As in Go Micro, whose publishers are told nothing of it.
    async fn reject(self: Box<Self>, _: &Error) -> Result<()> {
        self.acknowledge().await
    }
}

impl Subscriptions {
    fn lock(&self) -> MutexGuard<'_, HashMap<Text, Subscribed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What publishers post to.
struct Incoming {
    subscriptions: Arc<Subscriptions>,
    limits: HttpLimits,
}

/// An HTTP status and what is wrong.
type Refusal = (StatusCode, Error);

impl Incoming {
    async fn receive(&self, request: http::Request<Body>) -> Result<(), Refusal> {
        if request.method() != Method::POST {
            let error = Error::bad_request(BROKER, "Method not allowed: messages are posted");
            return Err((StatusCode::METHOD_NOT_ALLOWED, error));
        }
        let id = request.uri().query().and_then(id_of);
        let body = timeout(
            self.limits.body_timeout,
            whole(request.into_body(), self.limits.message_size),
        );
        let body = body.await.unwrap_or_else(|_| {
            let limit = self.limits.body_timeout;
            let detail = format!("the body took longer than {limit:?}, the limit body_timeout");
            Err((StatusCode::REQUEST_TIMEOUT, Error::timeout(BROKER, detail)))
        })?;
        // The status that Go Micro gives.
        let unreadable = |error| (StatusCode::INTERNAL_SERVER_ERROR, error);
        let message = envelope::decode(&body).map_err(unreadable)?;
        let Some(topic) = message.header.get(TOPIC).filter(|topic| !topic.is_empty()) else {
            return Err(unreadable(Error::internal(
                BROKER,
                "Topic not found: the message has no header Micro-Topic",
            )));
        };
        let unknown = |topic: &str| {
            let id = id.as_deref().unwrap_or_default();
            let detail = format!("subscription {id:?} of {topic}: not here; it has ended");
            (StatusCode::NOT_FOUND, Error::not_found(BROKER, detail))
        };
        let subscribed = id
            .as_deref()
            .and_then(|id| self.subscriptions.lock().get(id).cloned());
        let subscribed = subscribed
            .filter(|subscribed| *subscribed.topic == *topic)
            .ok_or_else(|| unknown(topic))?;
        let (handled, answer) = oneshot::channel();
        let sent = subscribed.arrivals.send(Arrival { message, handled }).await;
        sent.map_err(|_| unknown(&subscribed.topic))?;
        drop(subscribed);
        answer.await.map_err(|_| {
            let error = Error::unavailable(
                BROKER,
                "the subscriber went away before it had handled the message",
            );
            (StatusCode::SERVICE_UNAVAILABLE, error)
        })
    }
}

#[async_trait]
impl Route for Incoming {
    async fn serve(&self, request: http::Request<Body>) -> http::Response<Body> {
        match self.receive(request).await {
            Ok(()) => http::Response::new(Body::empty()),
            Err((status, error)) => {
                tracing::debug!(%status, %error, "a posted message was not taken");
                let mut response = http::Response::new(Body::from(Bytes::from(error.to_json())));
                *response.status_mut() = status;
                let json = HeaderValue::from_static("application/json");
                response.headers_mut().insert(header::CONTENT_TYPE, json);
                response
            }
        }
    }
}

async fn whole(mut body: Body, limit: usize) -> Result<Bytes, Refusal> {
    let mut bytes = BytesMut::new();
    while let Some(piece) = body.message().await {
        let piece = piece.map_err(|error| (StatusCode::BAD_REQUEST, error))?;
        if bytes.len() + piece.len() > limit {
            let detail = format!("the message exceeds {limit} bytes, the limit message_size");
            return Err((StatusCode::PAYLOAD_TOO_LARGE, Error::too_large(BROKER, detail)));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}

/// The value of `id` in a query.
fn id_of(query: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("id="))?;
    let mut decoded = Vec::with_capacity(value.len());
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_found_in_a_query_however_it_is_written() {
        assert_eq!(id_of("id=a%20b%26%c3%bc").as_deref(), Some("a b&ü"));
        assert_eq!(id_of("x=1&id=a+b").as_deref(), Some("a b"));
        for wrong in ["", "id", "x=id=1", "id=%", "id=%f", "id=%zz", "id=%ff"] {
            assert_eq!(id_of(wrong), None, "{wrong}");
        }
    }
}
