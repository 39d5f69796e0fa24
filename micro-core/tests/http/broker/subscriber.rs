//! What a subscription answers to those who post to it.

use std::time::Duration;

use super::{House, Inbox, go_body, go_head, go_post};
use crate::raw::{Message, Raw, bounded, within};

const TOPIC: &str = "interop.notice";

async fn post(address: &str, request: impl AsRef<[u8]>) -> Message {
    within(async { Raw::connect(address).await.exchange(request).await }).await
}

fn assert_refused(answer: &Message, status: u16, said: &str) {
    assert_eq!(answer.json()["id"], "go.micro.broker", "{answer:?}");
    assert_error(answer, status, said);
}

fn assert_error(answer: &Message, status: u16, said: &str) {
    assert_eq!(answer.status(), status, "{answer:?}");
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    let error = answer.json();
    assert!(error["detail"].as_str().unwrap().contains(said), "{error}");
}

fn chunked(body: &str, size: usize) -> String {
    let mut out = String::new();
    for piece in body.as_bytes().chunks(size) {
        let piece = std::str::from_utf8(piece).unwrap();
        out.push_str(&format!("{:x}\r\n{piece}\r\n", piece.len()));
    }
    out + "0\r\n\r\n"
}

#[tokio::test]
async fn what_go_posts_is_delivered_however_it_is_cut() {
    bounded(async {
        let house = House::new();
        let mut inbox = Inbox::of(house.subscribe(TOPIC).await);
        let (address, id) = house.place().await;
        let body = go_body(TOPIC);
        let whole = go_post(&address, &id, &body);
        let head = go_head(&address, &id);
        let in_chunks = format!("{head}Transfer-Encoding: chunked\r\n\r\n{}", chunked(&body, 7));
        let mut kept = Raw::connect(&address).await;
        for request in [&whole, &in_chunks] {
            for size in [request.len(), 1, 100] {
                kept.send_in(request.as_bytes().chunks(size)).await;
                let answer = within(kept.message()).await.unwrap();
                assert_eq!((answer.status(), answer.text()), (200, ""));
                let message = inbox.next().await;
                let header = |name| message.header.get(name);
                assert_eq!(header("Micro-Topic"), Some(TOPIC));
                assert_eq!(header("Content-Type"), Some("application/json"));
                assert_eq!(header("Micro-ID"), Some("d7638041-bc0b-4a6b-a2dc-3c3b7ad5ba42"));
                assert_eq!(&message.body[..], b"{\"id\":\"n0\"}\n");
            }
        }
        inbox.assert_empty();
    })
    .await;
}

#[tokio::test]
async fn messages_are_posted_and_nothing_else() {
    bounded(async {
        let house = House::new();
        let mut inbox = Inbox::of(house.subscribe(TOPIC).await);
        let (address, id) = house.place().await;
        for method in ["GET", "PUT", "DELETE"] {
            for target in ["/".to_owned(), format!("/?id={id}")] {
                let request = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\n\r\n");
                let answer = post(&address, request).await;
                assert_refused(&answer, 405, "Method not allowed");
            }
        }
        inbox.assert_empty();
    })
    .await;
}

#[tokio::test]
async fn what_is_no_message_is_refused_and_the_connection_goes_on() {
    bounded(async {
        let house = House::new();
        let mut inbox = Inbox::of(house.subscribe(TOPIC).await);
        let (address, id) = house.place().await;
        let mut kept = Raw::connect(&address).await;
        for (body, said) in [
            ("", "not a broker message"),
            ("{", "not a broker message"),
            ("hello", "not a broker message"),
            (
                r#"{"Header":{"Micro-Topic":"interop.notice"},"Body":"%"}"#,
                "base64",
            ),
            (r#"{"Header":{},"Body":"eA=="}"#, "Micro-Topic"),
            (r#"{"Header":{"Micro-Topic":""},"Body":"eA=="}"#, "Micro-Topic"),
            (r#"{"Body":"eA=="}"#, "Micro-Topic"),
        ] {
            let answer = within(kept.exchange(go_post(&address, &id, body))).await;
            assert_refused(&answer, 500, said);
        }
        let answer = within(kept.exchange(go_post(&address, &id, &go_body(TOPIC)))).await;
        assert_eq!(answer.status(), 200);
        inbox.next().await;
        inbox.assert_empty();
    })
    .await;
}

/// In Go Micro 200, which nobody reads there. Here the publisher is to offer the message elsewhere.
#[tokio::test]
async fn a_message_for_nobody_here_is_not_found() {
    bounded(async {
        let house = House::new();
        let mut inbox = Inbox::of(house.subscribe(TOPIC).await);
        let (address, id) = house.place().await;
        let gone = go_post(&address, "interop.notice-gone", &go_body(TOPIC));
        assert_refused(&post(&address, gone).await, 404, "interop.notice-gone");
        let other = go_post(&address, &id, &go_body("interop.other"));
        assert_refused(&post(&address, other).await, 404, "interop.other");
        let body = go_body(TOPIC);
        for target in ["/", "/?", "/?x=1"] {
            let nobody = format!(
                "POST {target} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            assert_refused(&post(&address, nobody).await, 404, TOPIC);
        }
        inbox.assert_empty();
    })
    .await;
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_by_its_name() {
    bounded(async {
        let house = House::with(|config| config.http.limits.message_size = 1000);
        let mut inbox = Inbox::of(house.subscribe(TOPIC).await);
        let (address, id) = house.place().await;
        let large = " ".repeat(1001);
        // A length that is announced is refused before the broker hears of it.
        let answer = post(&address, go_post(&address, &id, &large)).await;
        assert_error(&answer, 413, "1000 bytes, the limit message_size");
        let head = go_head(&address, &id);
        let in_chunks = format!("{head}Transfer-Encoding: chunked\r\n\r\n{}", chunked(&large, 200));
        let answer = post(&address, in_chunks).await;
        assert_refused(&answer, 413, "1000 bytes, the limit message_size");
        let announced = format!("{head}Content-Length: 1000000000000\r\n\r\n");
        let answer = post(&address, announced + &large).await;
        assert_error(&answer, 413, "1000 bytes, the limit message_size");
        inbox.assert_empty();
    })
    .await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for_longer_than_the_limit() {
    bounded(async {
        let house = House::with(|config| config.http.limits.body_timeout = Duration::from_millis(100));
        let mut inbox = Inbox::of(house.subscribe(TOPIC).await);
        let (address, id) = house.place().await;
        let mut slow = Raw::connect(&address).await;
        slow.send(format!("{}Content-Length: 100\r\n\r\n{{", go_head(&address, &id)))
            .await;
        let answer = within(slow.message()).await.unwrap();
        assert_refused(&answer, 408, "the limit body_timeout");
        assert_eq!(within(slow.rest()).await, b"", "and the connection is closed");
        inbox.assert_empty();
    })
    .await;
}

#[tokio::test]
async fn an_event_that_is_dropped_is_given_back_and_a_rejected_one_is_not() {
    bounded(async {
        let house = House::new();
        let mut subscription = house.subscribe(TOPIC).await;
        let (address, id) = house.place().await;
        let request = go_post(&address, &id, &go_body(TOPIC));
        let (answer, ()) = tokio::join!(post(&address, &request), async {
            drop(within(subscription.next()).await.unwrap().unwrap());
        });
        assert_refused(&answer, 503, "went away");
        let (answer, ()) = tokio::join!(post(&address, &request), async {
            let event = within(subscription.next()).await.unwrap().unwrap();
            let reason = micro_core::Error::internal("test", "no");
            event.reject(&reason).await.unwrap();
        });
        assert_eq!((answer.status(), answer.text()), (200, ""));
        let (answer, ()) = tokio::join!(post(&address, &request), async {
            let event = within(subscription.next()).await.unwrap().unwrap();
            drop(subscription);
            event.acknowledge().await.unwrap();
        });
        assert_eq!(
            (answer.status(), answer.text()),
            (200, ""),
            "handled, though after its subscription"
        );
    })
    .await;
}

#[tokio::test]
async fn what_waits_for_a_subscription_that_is_dropped_is_answered() {
    bounded(async {
        let house = House::new();
        let subscription = house.subscribe(TOPIC).await;
        let (address, id) = house.place().await;
        let request = go_post(&address, &id, &go_body(TOPIC));
        let mut connections = Vec::new();
        for _ in 0..3 {
            let mut connection = Raw::connect(&address).await;
            connection.send(&request).await;
            connections.push(connection);
        }
        // Some have arrived by now, others have not.
        tokio::task::yield_now().await;
        drop(subscription);
        for connection in &mut connections {
            let answer = within(connection.message()).await.unwrap();
            assert!(matches!(answer.status(), 404 | 503), "{answer:?}");
        }
    })
    .await;
}
