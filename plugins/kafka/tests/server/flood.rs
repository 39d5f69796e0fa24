//! Many events through a restart and cut connections: nothing that was confirmed is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use micro_core::broker::SubscribeOptions;
use micro_kafka::{KafkaConfig, NewTopics};

use crate::kafka::{Proxied, connect, name, publish, queue, subscribe};

const EVENTS: usize = 10_000;
const PUBLISHERS: usize = 50;
const CUTS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_events_survive_a_restart_and_five_cuts() {
    let Some(mut kafka) = Proxied::start().await else {
        return;
    };
    let config = KafkaConfig {
        create_topics: Some(NewTopics {
            partitions: Some(4),
            replication: None,
        }),
        ..kafka.config()
    };
    let (broker, topic) = (connect(config).await, name("flood"));
    let options = SubscribeOptions {
        concurrency: 16,
        ..queue("workers")
    };
    let mut subscription = subscribe(&broker, &topic, options).await;
    let next_number = AtomicUsize::new(0);
    let publishing = join_all((0..PUBLISHERS).map(|_| async {
        let mut confirmed = Vec::new();
        loop {
            let number = next_number.fetch_add(1, Ordering::Relaxed);
            if number >= EVENTS {
                return confirmed;
            }
            if publish(&broker, &topic, &number.to_string()).await.is_ok() {
                confirmed.push(number);
            }
            // So that the trouble meets events.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }));
    let trouble = async {
        for step in 1..=CUTS + 1 {
            while next_number.load(Ordering::Relaxed) < EVENTS * step / (CUTS + 2) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            if step == (CUTS + 1) / 2 {
                kafka.server.start_again().await.unwrap();
            } else {
                kafka.proxy.cut().await;
                tokio::time::sleep(Duration::from_millis(200)).await;
                kafka.proxy.mend().await.unwrap();
            }
        }
    };
    let handled: Arc<Mutex<BTreeMap<usize, usize>>> = Arc::default();
    let noted = handled.clone();
    let handling = tokio::spawn(async move {
        while let Some(event) = subscription.next().await {
            let Ok(event) = event else { continue };
            let number = std::str::from_utf8(&event.message().body)
                .unwrap()
                .parse()
                .unwrap();
            *noted.lock().unwrap().entry(number).or_default() += 1;
            // One that Kafka cannot be told of comes again.
            let _ = event.acknowledge().await;
        }
    });
    let begun = Instant::now();
    let (confirmed, ()) = tokio::join!(publishing, trouble);
    let confirmed: BTreeSet<usize> = confirmed.into_iter().flatten().collect();
    println!(
        "{} of {EVENTS} confirmed after {:?}",
        confirmed.len(),
        begun.elapsed()
    );
    let arrived = || {
        let handled = handled.lock().unwrap();
        confirmed.iter().all(|number| handled.contains_key(number))
    };
    while !arrived() && begun.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("all handled after {:?}", begun.elapsed());
    handling.abort();
    let handled = handled.lock().unwrap();
    let missing: Vec<&usize> = confirmed
        .iter()
        .filter(|number| !handled.contains_key(number))
        .collect();
    let again: usize = handled.values().map(|count| count - 1).sum();
    let unconfirmed = handled
        .keys()
        .filter(|number| !confirmed.contains(number))
        .count();
    println!(
        "{} handled, {unconfirmed} of them unconfirmed, {again} duplicates",
        handled.len()
    );
    assert!(
        missing.is_empty(),
        "{} are missing, such as {:?}",
        missing.len(),
        missing.first()
    );
    assert!(
        confirmed.len() > EVENTS / 2,
        "only {} were confirmed",
        confirmed.len()
    );
}
