//! What nsqds refuse, and what does not suffer from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use micro_core::Broker;
use micro_nsq::NsqConfig;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::fake::{Peer, TERMS, frame, speak};
use crate::nsq::{Nsqd, PATIENCE, body, config, connect, publish, queue};

#[tokio::test]
async fn an_nsqd_that_refuses_keeps_no_messages_of_the_others() {
    let (change, changed) = watch::channel(false);
    let (told, mut heard) = mpsc::channel(8);
    let nsqd = |refuses: bool| {
        let (changed, told) = (changed.clone(), told.clone());
        speak(move |mut peer: Peer| {
            let (mut changed, told) = (changed.clone(), told.clone());
            async move {
                peer.meet(TERMS.as_bytes()).await;
                let subscribed = peer.expect(b"SUB orders workers\n");
                // The first connection is for publishing.
                if timeout(Duration::from_millis(300), subscribed).await.is_err() {
                    return;
                }
                if !*changed.borrow() {
                    peer.say(&frame(0, b"OK")).await;
                    let _ = changed.changed().await;
                    return;
                }
                if refuses {
                    peer.say(&frame(1, b"E_UNAUTHORIZED no longer")).await;
                    return;
                }
                peer.say(&frame(0, b"OK")).await;
                let _ = told.send(peer.until_gone().await).await;
            }
        })
    };
    let ((good, serving), (bad, refusing)) = (nsqd(false).await, nsqd(true).await);
    let broker = connect(config(&[good, bad])).await;
    let mut member = broker.subscribe("orders", queue("workers", 4)).await.unwrap();
    change.send_replace(true);
    let error = timeout(PATIENCE, member.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap_err();
    assert!(error.detail().contains("E_UNAUTHORIZED"), "{error}");
    let said = timeout(PATIENCE / 4, heard.recv()).await.unwrap().unwrap();
    assert_eq!(
        said, "",
        "nothing is asked of the other before all are subscribed to"
    );
    drop(member);
    serving.abort();
    refusing.abort();
}

#[tokio::test]
async fn a_message_that_is_refused_for_now_is_not_sent_without_end() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let (address, task) = speak(move |mut peer: Peer| {
        let counted = counted.clone();
        async move {
            peer.meet(TERMS.as_bytes()).await;
            peer.expect(b"PUB orders\n").await;
            counted.fetch_add(1, Ordering::Relaxed);
            peer.say(&frame(1, b"E_PUB_FAILED PUB failed")).await;
        }
    })
    .await;
    let broker = connect(NsqConfig {
        publish_timeout: Duration::from_secs(1),
        ..config(&[address])
    })
    .await;
    let error = publish(&broker, "orders", "x").await.unwrap_err();
    assert!(error.detail().contains("E_PUB_FAILED"), "{error}");
    let count = count.load(Ordering::Relaxed);
    assert!((2..10).contains(&count), "it was sent {count} times");
    task.abort();
}

#[tokio::test]
async fn as_many_as_there_can_be_may_be_on_their_way() {
    let Some(nsqd) = Nsqd::start().await else { return };
    let broker = connect(NsqConfig {
        max_pending: usize::MAX,
        ..nsqd.config()
    })
    .await;
    let mut member = broker.subscribe("orders", queue("workers", 1)).await.unwrap();
    publish(&broker, "orders", "x").await.unwrap();
    assert_eq!(body(&mut member).await, "x");
}
