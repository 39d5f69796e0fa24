//! What an event costs, beside the bare client library: `cargo test --release -p micro-nats --test speed -- --ignored
//! --nocapture --test-threads=1`, with a NATS at 127.0.0.1:4222.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::try_join_all;
use micro_core::Broker;
use micro_core::broker::{Message, SubscribeOptions};
use micro_nats::{JetStream, NatsBroker, NatsConfig, Storage};

const EVENTS: usize = 100_000;
const PUBLISHERS: usize = 64;
const BODY: &[u8] = &[7; 256];

/// The processor time that this process has used.
fn used() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split(' ').collect();
    let ticks: u64 = fields[12].parse::<u64>().unwrap() + fields[13].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn tell(what: &str, begun: (Instant, Duration)) {
    let (took, cost) = (begun.0.elapsed(), used() - begun.1);
    let events = EVENTS as f64;
    println!(
        "{what:<28} {:>8.0} events/s   {:>6.2} µs of processor time an event",
        events / took.as_secs_f64(),
        cost.as_secs_f64() * 1e6 / events
    );
}

fn topic() -> String {
    format!("speed.{:08x}", fastrand::u32(..))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn bare_client() {
    let client = async_nats::connect("127.0.0.1:4222").await.unwrap();
    let topic = topic();
    let mut subscriber = client.subscribe(topic.clone()).await.unwrap();
    let payload = micro_core::broker::envelope::encode(&Message::new(BODY));
    let begun = (Instant::now(), used());
    let publishers = (0..PUBLISHERS).map(|_| {
        let (client, topic, payload) = (client.clone(), topic.clone(), payload.clone());
        tokio::spawn(async move {
            for _ in 0..EVENTS / PUBLISHERS {
                client.publish(topic.clone(), payload.clone()).await.unwrap();
                client.flush().await.unwrap();
            }
        })
    });
    let publishing = try_join_all(publishers);
    let hearing = async {
        for _ in 0..EVENTS / PUBLISHERS * PUBLISHERS {
            subscriber.next().await.unwrap();
        }
    };
    let (published, ()) = tokio::join!(publishing, hearing);
    published.unwrap();
    tell("bare, published and flushed", begun);
}

async fn through(broker: NatsBroker, options: SubscribeOptions, what: &str) {
    let topic = topic();
    let mut subscription = broker.subscribe(&topic, options).await.unwrap();
    let begun = (Instant::now(), used());
    let publishers = (0..PUBLISHERS).map(|_| {
        let (broker, topic) = (broker.clone(), topic.clone());
        tokio::spawn(async move {
            for _ in 0..EVENTS / PUBLISHERS {
                broker.publish(&topic, Message::new(BODY)).await.unwrap();
            }
        })
    });
    let publishing = try_join_all(publishers);
    let hearing = async {
        for _ in 0..EVENTS / PUBLISHERS * PUBLISHERS {
            let event = subscription.next().await.unwrap().unwrap();
            event.acknowledge().await.unwrap();
        }
    };
    let (published, ()) = tokio::join!(publishing, hearing);
    published.unwrap();
    tell(what, begun);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn broker() {
    let broker = NatsBroker::connect(NatsConfig::default()).await.unwrap();
    through(broker, SubscribeOptions::default(), "micro-nats").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn broker_with_jetstream() {
    let jetstream = JetStream {
        stream: "conformance".to_owned(),
        storage: Storage::Memory,
        ..JetStream::default()
    };
    let config = NatsConfig {
        jetstream: Some(jetstream),
        ..NatsConfig::default()
    };
    let options = SubscribeOptions {
        queue: Some("workers".into()),
        concurrency: 256,
    };
    let broker = NatsBroker::connect(config).await.unwrap();
    through(broker, options, "micro-nats, JetStream").await;
}
