//! The bytes between this side and an nsqd, and what is no NSQ at all.

use std::time::Duration;

use micro_core::broker::Message;
use micro_core::{Broker, ErrorKind};
use micro_nsq::{NsqBroker, NsqConfig};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::fake::{Peer, TERMS, frame, speak};
use crate::nsq::{Nsqd, PATIENCE, config, connect, next, publish, queue};

/// As Go Micro's plugin publishes it.
const CAPTURED: &str = r#"{"Header":{"Content-Type":"application/json","Micro-ID":"dcc7494c-a6d6-4401-909d-7987dbd10dc2","Micro-Topic":"t.one"},"Body":"eyJpZCI6Im4wIiwidGV4dCI6IndvcmxkIiwidW5peE5hbm9zIjoiMTc5NTIzNjM5MTcxNDI4MjA1OCJ9Cg=="}"#;

fn captured() -> Message {
    Message::new("{\"id\":\"n0\",\"text\":\"world\",\"unixNanos\":\"1795236391714282058\"}\n")
        .with_header("Content-Type", "application/json")
        .with_header("Micro-Topic", "t.one")
        .with_header("Micro-ID", "dcc7494c-a6d6-4401-909d-7987dbd10dc2")
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

#[tokio::test]
async fn publishing_says_what_go_micro_says() {
    let (told, mut heard) = mpsc::channel(1);
    let (address, task) = speak(move |mut peer: Peer| {
        let told = told.clone();
        async move {
            let introduction = peer.meet(TERMS.as_bytes()).await;
            peer.say(&frame(0, b"_heartbeat_")).await;
            peer.expect(b"NOP\n").await;
            peer.expect(&[b"PUB t.one\n", &sized(CAPTURED.as_bytes())[..]].concat())
                .await;
            peer.say(&frame(0, b"OK")).await;
            told.send(introduction).await.unwrap();
            peer.until_gone().await;
        }
    })
    .await;
    let broker = connect(config(&[address])).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    broker.publish("t.one", captured()).await.unwrap();
    let introduction = timeout(PATIENCE, heard.recv()).await.unwrap().unwrap();
    for part in [
        r#""feature_negotiation":true"#,
        r#""heartbeat_interval":2000"#,
        r#""tls_v1":false"#,
    ] {
        assert!(introduction.contains(part), "{introduction}");
    }
    drop(broker);
    task.abort();
}

#[tokio::test]
async fn subscribing_takes_what_go_micro_published() {
    let (address, task) = speak(|mut peer: Peer| async move {
        peer.meet(TERMS.as_bytes()).await;
        // The first connection is for publishing.
        let mut line =
            tokio::time::timeout(Duration::from_millis(300), peer.expect(b"SUB t.one workers\n")).await;
        if line.is_err() {
            return;
        }
        peer.say(&frame(0, b"OK")).await;
        peer.expect(b"RDY 7\n").await;
        let head = [&[0; 8][..], &[0, 2], b"0123456789abcdef"].concat();
        peer.say(&frame(2, &[&head[..], CAPTURED.as_bytes()].concat()))
            .await;
        peer.expect(b"FIN 0123456789abcdef\n").await;
        peer.say(&frame(1, b"E_FIN_FAILED FIN 0123456789abcdef failed"))
            .await;
        let head = [&[0; 8][..], &[0, 1], b"fedcba9876543210"].concat();
        peer.say(&frame(2, &[&head[..], b"no message"].concat())).await;
        peer.expect(b"FIN fedcba9876543210\n").await;
        peer.say(&frame(2, &[&head[..], CAPTURED.as_bytes()].concat()))
            .await;
        peer.expect(b"REQ fedcba9876543210 100\n").await;
        peer.expect(b"CLS\n").await;
        peer.say(&frame(0, b"CLOSE_WAIT")).await;
        line = Ok(());
        drop(line);
        peer.until_gone().await;
    })
    .await;
    let broker = connect(config(&[address])).await;
    let mut member = broker.subscribe("t.one", queue("workers", 7)).await.unwrap();
    let event = next(&mut member).await;
    assert_eq!(event.deliveries(), Some(2));
    assert_eq!(event.message().body, captured().body);
    assert_eq!(event.message().header.get("micro-topic"), Some("t.one"));
    event.acknowledge().await.unwrap();
    let event = next(&mut member).await;
    let error = micro_core::Error::internal("test", "no");
    event.reject(&error).await.unwrap();
    member.drain();
    assert!(timeout(PATIENCE, member.next()).await.unwrap().is_none());
    drop(member);
    task.abort();
}

#[tokio::test]
async fn what_is_no_nsqd_is_told_and_bounds_its_work() {
    let sayings: [&[u8]; 6] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        &[0xff; 64],
        &[0, 0, 0, 1, 0],
        &frame(9, b"x"),
        &frame(0, b"{"),
        &frame(2, &[0; 40]),
    ];
    for saying in sayings {
        let saying = saying.to_vec();
        let (address, task) = speak(move |mut peer: Peer| {
            let saying = saying.clone();
            async move {
                peer.say(&saying).await;
                peer.until_gone().await;
            }
        })
        .await;
        let error = timeout(PATIENCE, NsqBroker::connect(config(&[address])))
            .await
            .unwrap()
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.detail().contains(&address.to_string()), "{error}");
        task.abort();
    }
}

#[tokio::test]
async fn names_and_sizes_that_nsq_does_not_take_are_refused_by_name() {
    let Some(nsqd) = Nsqd::start_with(&["-max-msg-size=2000"]).await else {
        return;
    };
    let broker = connect(NsqConfig {
        max_message: 100_000,
        ..nsqd.config()
    })
    .await;
    for wrong in ["a b", "grüße", ""] {
        let error = publish(&broker, wrong, "x").await.unwrap_err();
        assert!(error.detail().contains(&format!("{wrong:?}")), "{error}");
        let error = broker.subscribe("orders", queue(wrong, 1)).await.unwrap_err();
        assert!(error.detail().contains(&format!("{wrong:?}")), "{error}");
    }
    let error = publish(&broker, "orders", &"x".repeat(200_000))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    assert!(
        error.detail().contains("max_message") && error.detail().contains("orders"),
        "{error}"
    );
    // What nsqd itself refuses does no harm to what is published together with it.
    let mut member = broker.subscribe("orders", queue("workers", 10)).await.unwrap();
    let large = "x".repeat(10_000);
    let publishing = (0..20).map(|number| {
        let (broker, large) = (&broker, &large);
        async move {
            match number {
                7 => publish(broker, "orders", large).await,
                number => publish(broker, "orders", &number.to_string()).await,
            }
        }
    });
    let results = futures_util::future::join_all(publishing).await;
    for (number, result) in results.into_iter().enumerate() {
        match number {
            7 => {
                let error = result.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
                assert!(error.detail().contains("-max-msg-size"), "{error}");
            }
            _ => result.unwrap(),
        }
    }
    let mut seen = std::collections::BTreeMap::new();
    let numbers: Vec<usize> = (0..20).filter(|number| *number != 7).collect();
    crate::nsq::until_all(&mut member, &numbers, &mut seen).await;
}
