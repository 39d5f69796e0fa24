//! What a subscriber in Go gets from our publishers, and what it may answer.

use std::sync::Arc;

use micro_core::Client;
use micro_core::broker::{Broker, Message};
use micro_core::transport::MemoryTransport;
use tokio::sync::mpsc;

use super::{BROADCAST, House, go_subscriber};
use crate::raw::{Fake, Raw, bounded, within};

const TOPIC: &str = "interop.notice";

/// A subscriber that answers each request with these bytes, in pieces of that size, and tells of the requests.
async fn answering(answer: String, size: usize) -> (Fake, mpsc::Receiver<crate::raw::Message>) {
    let (seen, requests) = mpsc::channel(4096);
    let serve = move |_, mut connection: Raw| {
        let (answer, seen) = (answer.clone(), seen.clone());
        async move {
            while let Some(request) = connection.message().await {
                let _ = seen.try_send(request);
                connection.send_in(answer.as_bytes().chunks(size)).await;
                if answer.contains("Connection: close") {
                    return;
                }
            }
        }
    };
    (Fake::start(serve).await, requests)
}

const OK: &str = "HTTP/1.1 200 OK\r\nDate: Sat, 01 Jan 2000 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n";

#[tokio::test]
async fn a_subscriber_in_go_gets_what_go_would_have_sent() {
    bounded(async {
        let house = House::new();
        let (fake, mut requests) = answering(OK.to_owned(), OK.len()).await;
        let id = "a topic & more/grüße-1d31a560";
        house
            .register(&go_subscriber(TOPIC, BROADCAST, &fake.address, id))
            .await;
        let client = Client::builder(house.registry.clone(), Arc::new(MemoryTransport::new()))
            .broker(Arc::new(house.broker.clone()))
            .build();
        for _ in 0..2 {
            within(client.publish_plain(TOPIC, "hello".to_owned()))
                .await
                .unwrap();
            let request = requests.recv().await.unwrap();
            assert_eq!(
                request.first_line,
                "POST /?id=a%20topic%20%26%20more%2Fgr%C3%BC%C3%9Fe-1d31a560 HTTP/1.1"
            );
            assert_eq!(request.header("Host"), Some(&*fake.address));
            assert_eq!(request.header("Content-Type"), Some("application/json"));
            assert_eq!(
                request.header("Content-Length"),
                Some(&*request.body.len().to_string())
            );
            let posted = request.json();
            let id = posted["Header"]["Micro-ID"].as_str().unwrap();
            assert_eq!(id.len(), 36, "a UUID: {id}");
            let header = serde_json::json!({
                "Content-Type": "application/json", "Micro-ID": id, "Micro-Topic": TOPIC,
            });
            assert_eq!(
                posted,
                serde_json::json!({"Header": header, "Body": "ImhlbGxvIgo="}),
                "JSON with a line's end, in base64"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn names_of_headers_are_written_as_go_reads_them() {
    bounded(async {
        let house = House::new();
        let (fake, mut requests) = answering(OK.to_owned(), OK.len()).await;
        house
            .register(&go_subscriber(TOPIC, BROADCAST, &fake.address, "one"))
            .await;
        let message = Message::default()
            .with_header("micro-topic", "something else")
            .with_header("Tenant", "acme");
        within(house.broker.publish(TOPIC, message)).await.unwrap();
        let posted = requests.recv().await.unwrap().json();
        let header = serde_json::json!({"Micro-Topic": TOPIC, "Tenant": "acme"});
        assert_eq!(posted, serde_json::json!({"Header": header, "Body": null}));
    })
    .await;
}

#[tokio::test]
async fn a_subscriber_may_answer_in_any_form() {
    let chunked =
        "HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let closing = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
    let endless = "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nuntil the end";
    let empty = "HTTP/1.1 204 No Content\r\n\r\n";
    for answer in [OK, chunked, closing, endless, empty] {
        for size in [answer.len(), 1] {
            bounded(async {
                let house = House::new();
                let (fake, mut requests) = answering(answer.to_owned(), size).await;
                house
                    .register(&go_subscriber(TOPIC, BROADCAST, &fake.address, "one"))
                    .await;
                for body in ["1", "2", "3"] {
                    house.publish(TOPIC, body).await.unwrap();
                    assert_eq!(super::body_of(&requests.recv().await.unwrap()), body);
                }
                assert!(requests.try_recv().is_err(), "each just once");
                assert_eq!(house.broker.backlog(), []);
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_subscriber_that_refuses_is_told_of_and_not_asked_again() {
    for status in [
        "400 Bad Request",
        "405 Method Not Allowed",
        "413 Too Large",
        "500 Oops",
    ] {
        bounded(async {
            let house = House::new();
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 3\r\n\r\nwhy");
            let (fake, mut requests) = answering(answer, 1000).await;
            house
                .register(&go_subscriber(TOPIC, BROADCAST, &fake.address, "one"))
                .await;
            let error = house.publish(TOPIC, "x").await.unwrap_err();
            for said in [TOPIC, "one", &fake.address, &status[..3], "why"] {
                assert!(error.detail().contains(said), "{error}");
            }
            requests.recv().await.unwrap();
            assert_eq!(house.broker.backlog(), []);
        })
        .await;
    }
}

#[tokio::test]
async fn a_subscriber_that_is_going_gets_it_later_and_one_of_a_queue_passes_it_on() {
    for status in ["404 Not Found", "503 Service Unavailable"] {
        bounded(async {
            let house = House::new();
            let going = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            let (fake, _requests) = answering(going, 1000).await;
            let alone = go_subscriber(TOPIC, BROADCAST, &fake.address, "alone");
            house.register(&alone).await;
            house.publish(TOPIC, "x").await.unwrap();
            assert_eq!(house.waiting(), [(1, 0)]);
            house.deregister(&alone).await;
            house.until_nothing_waits().await;

            let house = House::new();
            let (sound, mut taken) = answering(OK.to_owned(), OK.len()).await;
            let (one, two) = (
                go_subscriber(TOPIC, "workers", &fake.address, "one"),
                go_subscriber(TOPIC, "workers", &sound.address, "two"),
            );
            house.register(&one).await;
            house.register(&two).await;
            for _ in 0..20 {
                house.publish(TOPIC, "y").await.unwrap();
                within(taken.recv()).await.unwrap();
            }
            assert_eq!(house.broker.backlog(), []);
        })
        .await;
    }
}

#[tokio::test]
async fn what_is_no_http_is_told_as_such() {
    bounded(async {
        let house = House::new();
        let (fake, _requests) = answering("SSH-2.0-OpenSSH_9.9\r\n\r\n".to_owned(), 1000).await;
        house
            .register(&go_subscriber(TOPIC, BROADCAST, &fake.address, "one"))
            .await;
        house.publish(TOPIC, "x").await.unwrap();
        assert_eq!(
            house.waiting(),
            [(1, 0)],
            "kept until whoever it is leaves the registry"
        );
    })
    .await;
}

#[tokio::test]
async fn who_is_no_http_subscriber_of_the_topic_gets_nothing() {
    bounded(async {
        let house = House::new();
        let (fake, mut requests) = answering(OK.to_owned(), OK.len()).await;
        let other_topic = go_subscriber("interop.other", BROADCAST, &fake.address, "one");
        let mut other_broker = go_subscriber(TOPIC, BROADCAST, &fake.address, "two");
        other_broker.nodes[0]
            .metadata
            .insert("broker".into(), "nats".into());
        let mut no_metadata = go_subscriber(TOPIC, BROADCAST, &fake.address, "three");
        no_metadata.nodes[0].metadata.clear();
        for record in [other_topic, other_broker, no_metadata] {
            house.register(&record).await;
        }
        house.publish(TOPIC, "x").await.unwrap();
        assert!(requests.try_recv().is_err());
        assert_eq!(house.broker.backlog(), []);

        // An address that is none keeps no message from the others.
        house
            .register(&go_subscriber(TOPIC, BROADCAST, "nowhere", "four"))
            .await;
        house
            .register(&go_subscriber(TOPIC, BROADCAST, &fake.address, "five"))
            .await;
        within(async {
            while requests.try_recv().is_err() {
                let _ = house.publish(TOPIC, "y").await;
                tokio::task::yield_now().await;
            }
        })
        .await;
    })
    .await;
}
