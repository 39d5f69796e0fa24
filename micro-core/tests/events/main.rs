//! A service and its events, with its neighbours in memory.

#![allow(clippy::unwrap_used, reason = "tests")]

mod dead_letters;
mod formats;
mod handling;
mod publishing;
mod records;
mod requests;
mod stopping;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use micro_core::broker::http::HttpBrokerConfig;
use micro_core::broker::{HttpBroker, MemoryBroker, Message as BrokerMessage};
use micro_core::client::CallOptions;
use micro_core::codec::{Encoding, JSON, Message, PROTOBUF, Payload, ProtobufSlot, ProtobufView, Slot};
use micro_core::handler::{Context, endpoint_fn, handler_fn, wrapper_fn};
use micro_core::registry::MemoryRegistry;
use micro_core::server::{Subscriber, subscriber, subscriber_plain};
use micro_core::service::RunningService;
use micro_core::transport::http::HttpConfig;
use micro_core::transport::{HttpTransport, MemoryTransport};
use micro_core::{
    Broker, Client, Error, ErrorKind, Handler, Registry, Request, Response, Service, ServiceBuilder,
    Transport,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};

/// Fails a test that hangs.
async fn within<F: Future>(future: F) -> F::Output {
    let patience = Duration::from_secs(20);
    tokio::time::timeout(patience, future)
        .await
        .expect("done within 20 s")
}

/// What services and their callers share.
struct House {
    registry: Arc<dyn Registry>,
    transport: Arc<dyn Transport>,
    broker: Arc<dyn Broker>,
}

impl House {
    fn new() -> Self {
        Self::over(Arc::new(MemoryBroker::new()))
    }

    fn over(broker: Arc<dyn Broker>) -> Self {
        Self {
            registry: Arc::new(MemoryRegistry::new()),
            transport: Arc::new(MemoryTransport::new()),
            broker,
        }
    }

    /// With the HTTP broker, whose subscriptions end soon.
    fn http() -> Self {
        let registry = Arc::new(MemoryRegistry::new());
        let config = HttpBrokerConfig {
            notice: Duration::from_millis(50),
            ..HttpBrokerConfig::default()
        };
        Self {
            broker: Arc::new(HttpBroker::new(registry.clone(), config).unwrap()),
            registry,
            transport: Arc::new(MemoryTransport::new()),
        }
    }

    fn service(&self, name: &str) -> ServiceBuilder {
        let mut builder = Service::builder(name)
            .registry(self.registry.clone())
            .transport(self.transport.clone())
            .broker(self.broker.clone())
            .address("127.0.0.1:0");
        builder.options_mut().notice = Duration::from_millis(1);
        builder
    }

    async fn subscribed(&self, subscriber: Subscriber) -> RunningService {
        start(self.service("subscribed").subscriber(subscriber)).await
    }

    fn client(&self) -> Client {
        Client::builder(self.registry.clone(), self.transport.clone())
            .broker(self.broker.clone())
            .build()
    }

    async fn publish(&self, event: u64) {
        within(self.client().publish_plain("orders", event))
            .await
            .unwrap();
    }
}

async fn start(builder: ServiceBuilder) -> RunningService {
    within(builder.build().unwrap().start()).await.unwrap()
}

/// A subscriber to `orders` that notes the numbers it gets, and the other end of its notes.
fn noting() -> (Subscriber, mpsc::Receiver<u64>) {
    let (noted, events) = mpsc::channel(4096);
    let subscriber = subscriber_plain("orders", move |_: Context, number: u64| {
        let _ = noted.try_send(number);
        async { Ok(()) }
    });
    (subscriber, events)
}
