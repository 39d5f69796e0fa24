//! How subscriptions are registered, and how they leave.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use micro_core::broker::{Broker, HttpBroker, SubscribeOptions};
use micro_core::registry::{MemoryRegistry, RegisterOptions, ServiceRecord, Watcher};
use micro_core::{ErrorKind, Registry, Result};

use super::{BROADCAST, House, Inbox, SERVICE, go_body, go_post};
use crate::raw::{Raw, bounded, within};

const TOPIC: &str = "interop.notice";

#[tokio::test]
async fn a_subscription_is_registered_as_go_does_it() {
    bounded(async {
        let house = House::new();
        let _all = house.subscribe(TOPIC).await;
        let options = SubscribeOptions {
            queue: Some("workers".into()),
            concurrency: 4,
        };
        let _one = house.broker.subscribe(TOPIC, options).await.unwrap();
        let registered = house.registered().await;
        assert_eq!(registered.len(), 2);
        let mut addresses = Vec::new();
        for (version, (record, node)) in [BROADCAST, "workers"].into_iter().zip(registered) {
            assert_eq!((&*record.name, &*record.version), (SERVICE, version));
            assert!(record.metadata.is_empty() && record.endpoints.is_empty());
            // Shorter than Go Micro's UUID, for mDNS's sake.
            let unique = node.id.strip_prefix("interop.notice-").unwrap();
            assert_eq!(unique.len(), 16, "{unique}");
            let metadata = [("broker", "http"), ("secure", "false"), ("topic", TOPIC)];
            let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
            assert_eq!(node.metadata, BTreeMap::from(metadata));
            let port = node.address.strip_prefix("127.0.0.1:").unwrap();
            assert_ne!(port.parse::<u16>().unwrap(), 0);
            addresses.push(node.address);
        }
        assert_eq!(addresses[0], addresses[1], "one listener for all");
    })
    .await;
}

#[tokio::test]
async fn another_address_can_be_registered() {
    bounded(async {
        let house = House::with(|config| config.advertise = Some("broker.example:7000".into()));
        let _all = house.subscribe(TOPIC).await;
        assert_eq!(house.place().await.0, "broker.example:7000");
        let house = House::with(|config| config.address = "nowhere".into());
        let error = house
            .broker
            .subscribe(TOPIC, SubscribeOptions::default())
            .await
            .unwrap_err();
        assert!(
            error.detail().contains(TOPIC) && error.detail().contains("nowhere"),
            "{error}"
        );
    })
    .await;
}

#[tokio::test]
async fn no_queue_can_have_the_name_that_means_none() {
    bounded(async {
        let house = House::new();
        let options = SubscribeOptions {
            queue: Some(BROADCAST.into()),
            ..SubscribeOptions::default()
        };
        let error = house.broker.subscribe(TOPIC, options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadRequest);
        assert!(error.detail().contains(BROADCAST), "{error}");
        assert!(house.registered().await.is_empty());
    })
    .await;
}

async fn until_none_is_registered(house: &House) {
    within(async {
        while !house.registered().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_dropped_subscription_leaves_the_registry() {
    bounded(async {
        let house = House::new();
        let subscription = house.subscribe(TOPIC).await;
        assert_eq!(house.registered().await.len(), 1);
        drop(subscription);
        until_none_is_registered(&house).await;
    })
    .await;
}

#[tokio::test]
async fn a_draining_subscription_leaves_the_registry_first_and_takes_what_still_comes() {
    bounded(async {
        let house = House::with(|config| config.notice = Duration::from_secs(1));
        let mut subscription = house.subscribe(TOPIC).await;
        let (address, id) = house.place().await;
        subscription.drain();
        // Though nobody asks it for events.
        until_none_is_registered(&house).await;
        let mut inbox = Inbox::of(subscription);
        let request = go_post(&address, &id, &go_body(TOPIC));
        let mut late = Raw::connect(&address).await;
        assert_eq!(within(late.exchange(&request)).await.status(), 200);
        inbox.next().await;
        assert!(within(inbox.messages.recv()).await.is_none(), "then it ends");
        assert_eq!(within(late.exchange(&request)).await.status(), 404);
    })
    .await;
}

#[tokio::test]
async fn dropping_ends_draining() {
    bounded(async {
        let house = House::with(|config| config.notice = Duration::from_secs(3600));
        let mut subscription = house.subscribe(TOPIC).await;
        let (address, id) = house.place().await;
        subscription.drain();
        until_none_is_registered(&house).await;
        drop(subscription);
        let request = go_post(&address, &id, &go_body(TOPIC));
        let answer = within(Raw::connect(&address).await.exchange(request)).await;
        assert_eq!(answer.status(), 404);
    })
    .await;
}

#[tokio::test]
async fn a_subscription_outlives_the_broker_that_gave_it() {
    bounded(async {
        let House { registry, broker } = House::new();
        let subscription = within(broker.subscribe(TOPIC, SubscribeOptions::default()))
            .await
            .unwrap();
        drop(broker);
        let other = HttpBroker::with_defaults(registry.clone());
        let house = House {
            registry,
            broker: other,
        };
        let mut inbox = Inbox::of(subscription);
        house.publish(TOPIC, "x").await.unwrap();
        assert_eq!(inbox.next().await.body, "x");
        assert_eq!(house.waiting(), []);
    })
    .await;
}

/// Registers, and does not say that it has.
struct Silent(MemoryRegistry);

#[async_trait]
impl Registry for Silent {
    fn name(&self) -> &str {
        "silent"
    }

    async fn register(&self, service: &ServiceRecord, options: RegisterOptions) -> Result<()> {
        self.0.register(service, options).await?;
        std::future::pending().await
    }

    async fn deregister(&self, service: &ServiceRecord) -> Result<()> {
        self.0.deregister(service).await
    }

    async fn get_service(&self, name: &str) -> Result<Vec<ServiceRecord>> {
        self.0.get_service(name).await
    }

    async fn list_services(&self) -> Result<Vec<ServiceRecord>> {
        self.0.list_services().await
    }

    async fn watch(&self, service: Option<&str>) -> Result<Watcher> {
        self.0.watch(service).await
    }
}

#[tokio::test]
async fn a_subscription_that_was_not_waited_for_leaves_nothing_registered() {
    bounded(async {
        let registry = Arc::new(MemoryRegistry::new());
        let silent = Arc::new(Silent((*registry).clone()));
        let broker = HttpBroker::with_defaults(silent);
        let house = House { registry, broker };
        tokio::select! {
            _ = house.broker.subscribe(TOPIC, SubscribeOptions::default()) => panic!("the registry is silent"),
            () = async {
                while house.registered().await.is_empty() {
                    tokio::task::yield_now().await;
                }
            } => {}
        }
        until_none_is_registered(&house).await;
    })
    .await;
}

#[tokio::test]
async fn as_many_events_are_given_out_at_once_as_are_asked_for() {
    bounded(async {
        let house = House::new();
        let options = SubscribeOptions {
            concurrency: 3,
            ..SubscribeOptions::default()
        };
        let mut subscription = house.broker.subscribe(TOPIC, options).await.unwrap();
        let publishers = (0..3).map(|_| house.publish(TOPIC, "x"));
        let handling = async {
            let mut events = Vec::new();
            for _ in 0..3 {
                events.push(within(subscription.next()).await.unwrap().unwrap());
            }
            for event in events {
                event.acknowledge().await.unwrap();
            }
        };
        let (published, ()) = tokio::join!(futures_util::future::join_all(publishers), handling);
        assert!(published.into_iter().all(|published| published.is_ok()));
    })
    .await;
}
