//! The HTTP broker against bytes: those that Go Micro sends and answers with, and bad ones.

mod backlog;
mod encrypted;
mod publisher;
mod subscriber;
mod subscriptions;

use std::sync::Arc;
use std::time::Duration;

use micro_core::broker::http::HttpBrokerConfig;
use micro_core::broker::{Broker, HttpBroker, Message, SubscribeOptions, Subscription};
use micro_core::registry::{MemoryRegistry, Node, ServiceRecord};
use micro_core::{Registry, Result};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::raw::{Raw, within};

/// What all subscriptions are registered as.
const SERVICE: &str = "micro.http.broker";
const BROADCAST: &str = "ff.http.broadcast";

/// A broker and its registry.
struct House {
    registry: Arc<MemoryRegistry>,
    broker: HttpBroker,
}

impl House {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut HttpBrokerConfig)) -> Self {
        let mut config = HttpBrokerConfig {
            notice: Duration::from_millis(1),
            ..HttpBrokerConfig::default()
        };
        change(&mut config);
        let registry = Arc::new(MemoryRegistry::new());
        Self {
            broker: HttpBroker::new(registry.clone(), config).unwrap(),
            registry,
        }
    }

    async fn subscribe(&self, topic: &str) -> Subscription {
        let subscribed = self.broker.subscribe(topic, SubscribeOptions::default());
        within(subscribed).await.unwrap()
    }

    async fn publish(&self, topic: &str, body: &'static str) -> Result<()> {
        within(self.broker.publish(topic, Message::new(body))).await
    }

    /// All subscriptions that the registry knows.
    async fn registered(&self) -> Vec<(ServiceRecord, Node)> {
        let records = self.registry.get_service(SERVICE).await.unwrap_or_default();
        let nodes = records.into_iter().flat_map(|record| {
            let nodes = record.nodes.clone();
            nodes.into_iter().map(move |node| (record.clone(), node))
        });
        nodes.collect()
    }

    /// Where the only subscription listens, and its id.
    async fn place(&self) -> (String, String) {
        let registered = self.registered().await;
        let [(_, node)] = registered.as_slice() else {
            panic!("one subscription: {registered:?}");
        };
        (node.address.clone(), node.id.clone())
    }

    /// Registers a subscriber as Go Micro does.
    async fn register(&self, subscriber: &ServiceRecord) {
        self.registry
            .register(subscriber, Default::default())
            .await
            .unwrap();
    }

    async fn deregister(&self, subscriber: &ServiceRecord) {
        self.registry.deregister(subscriber).await.unwrap();
    }

    /// How many messages wait, and how many were lost, for each subscriber.
    fn waiting(&self) -> Vec<(usize, u64)> {
        let backlog = self.broker.backlog().into_iter();
        backlog.map(|backlog| (backlog.waiting, backlog.lost)).collect()
    }

    async fn until_nothing_waits(&self) {
        within(async {
            while !self.broker.backlog().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }
}

/// A subscription's record as Go Micro registers it. The version is the queue.
fn go_subscriber(topic: &str, version: &str, address: &str, id: &str) -> ServiceRecord {
    let mut node = Node::new(id, address);
    for (key, value) in [("broker", "http"), ("secure", "false"), ("topic", topic)] {
        node.metadata.insert(key.to_owned(), value.to_owned());
    }
    ServiceRecord::new(SERVICE, version).with_nodes(vec![node])
}

/// A subscription whose events are acknowledged and noted.
struct Inbox {
    messages: mpsc::Receiver<Message>,
    _task: AbortOnDropHandle<()>,
}

impl Inbox {
    fn of(mut subscription: Subscription) -> Self {
        let (sender, messages) = mpsc::channel(4096);
        let task = tokio::spawn(async move {
            while let Some(event) = subscription.next().await {
                let event = event.unwrap();
                let _ = sender.try_send(event.message().clone());
                event.acknowledge().await.unwrap();
            }
        });
        Self {
            messages,
            _task: AbortOnDropHandle::new(task),
        }
    }

    async fn next(&mut self) -> Message {
        within(self.messages.recv()).await.unwrap()
    }

    fn assert_empty(&mut self) {
        assert!(self.messages.try_recv().is_err(), "nothing more has arrived");
    }
}

/// What Go Micro posts, to a subscription of this id.
fn go_body(topic: &str) -> String {
    format!(
        "{{\"Header\":{{\"Content-Type\":\"application/json\",\"Micro-ID\":\"d7638041-bc0b-4a6b-a2dc-3c3b7ad5ba42\",\
         \"Micro-Topic\":\"{topic}\"}},\"Body\":\"eyJpZCI6Im4wIn0K\"}}"
    )
}

fn go_head(address: &str, id: &str) -> String {
    format!(
        "POST /?id={id} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: Go-http-client/1.1\r\n\
         Content-Type: application/json\r\nAccept-Encoding: gzip\r\n"
    )
}

fn go_post(address: &str, id: &str, body: &str) -> String {
    let head = go_head(address, id);
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// Answers each request with 200, as Go Micro does, and notes the bodies of the messages.
async fn take_all(mut connection: Raw, taken: mpsc::Sender<String>) {
    while let Some(request) = connection.message().await {
        let _ = taken.try_send(body_of(&request));
        connection
            .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await;
    }
}

/// The body of the message that a request carries.
fn body_of(request: &crate::raw::Message) -> String {
    let message = micro_core::broker::envelope::decode(&request.body).unwrap();
    String::from_utf8(message.body.to_vec()).unwrap()
}
