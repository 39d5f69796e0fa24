//! The HTTP broker over TLS.

use micro_core::broker::http::HttpBrokerConfig;
use micro_core::broker::{Broker, HttpBroker, Message};
use micro_core::transport::http::{HttpConfig, Identity, Tls};

use super::{House, Inbox};
use crate::encryption::Authority;
use crate::raw::{bounded, within};

const TOPIC: &str = "interop.notice";

fn secure(authority: &Authority, identity: Option<Identity>) -> HttpConfig {
    HttpConfig {
        tls: Some(Tls {
            identity,
            ..authority.believed()
        }),
        ..HttpConfig::default()
    }
}

#[tokio::test]
async fn messages_are_encrypted_where_the_subscriber_says_so() {
    bounded(async {
        let authority = Authority::new();
        let identity = authority.identity("127.0.0.1");
        let house = House::with(|config| config.http = secure(&authority, Some(identity)));
        let mut inbox = Inbox::of(house.subscribe(TOPIC).await);
        let registered = house.registered().await;
        assert_eq!(registered[0].1.metadata["secure"], "true");
        let publish_only = HttpBrokerConfig {
            http: secure(&authority, None),
            ..HttpBrokerConfig::default()
        };
        let publisher = HttpBroker::new(house.registry.clone(), publish_only).unwrap();
        for _ in 0..2 {
            within(publisher.publish(TOPIC, Message::new("secret")))
                .await
                .unwrap();
            assert_eq!(inbox.next().await.body, "secret");
        }
        house.publish(TOPIC, "to itself").await.unwrap();
        assert_eq!(inbox.next().await.body, "to itself");
        inbox.assert_empty();
    })
    .await;
}

#[tokio::test]
async fn a_broker_with_tls_publishes_to_plain_subscribers_too() {
    bounded(async {
        let house = House::new();
        let mut inbox = Inbox::of(house.subscribe(TOPIC).await);
        let config = HttpBrokerConfig {
            http: secure(&Authority::new(), None),
            ..HttpBrokerConfig::default()
        };
        let publisher = HttpBroker::new(house.registry.clone(), config).unwrap();
        within(publisher.publish(TOPIC, Message::new("plain")))
            .await
            .unwrap();
        assert_eq!(inbox.next().await.body, "plain");
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_delivered_for_want_of_trust_is_kept() {
    bounded(async {
        let authority = Authority::new();
        let identity = authority.identity("127.0.0.1");
        let house = House::with(|config| config.http = secure(&authority, Some(identity)));
        let mut inbox = Inbox::of(house.subscribe(TOPIC).await);
        let stranger = HttpBrokerConfig {
            http: secure(&Authority::new(), None),
            ..HttpBrokerConfig::default()
        };
        let stranger = HttpBroker::new(house.registry.clone(), stranger).unwrap();
        let plain = HttpBroker::with_defaults(house.registry.clone());
        for publisher in [stranger, plain] {
            within(publisher.publish(TOPIC, Message::new("x"))).await.unwrap();
            assert_eq!(publisher.backlog()[0].waiting, 1);
        }
        inbox.assert_empty();
    })
    .await;
}

#[tokio::test]
async fn who_only_knows_whom_to_trust_listens_without_encryption_and_says_so() {
    bounded(async {
        let house = House::with(|config| config.http = secure(&Authority::new(), None));
        let mut inbox = Inbox::of(house.subscribe(TOPIC).await);
        assert_eq!(house.registered().await[0].1.metadata["secure"], "false");
        house.publish(TOPIC, "plain").await.unwrap();
        assert_eq!(inbox.next().await.body, "plain");
    })
    .await;
}
