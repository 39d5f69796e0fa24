//! What publishing and receiving cost beside bare librdkafka: `cargo test --release -p micro-kafka --test measure --
//! --ignored --nocapture`.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use micro_core::Broker;
use micro_core::broker::{Message, SubscribeOptions, envelope};
use micro_kafka::{KafkaBroker, KafkaConfig};
use rdkafka::ClientConfig;
use rdkafka::Message as _;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::producer::{FutureProducer, FutureRecord};

const EVENTS: usize = 100_000;
const PUBLISHERS: usize = 100;

/// The processor's time that this process has used, in all its threads.
fn used() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

async fn measured(what: &str, work: impl Future<Output = ()>) {
    let (begun, before) = (Instant::now(), used());
    work.await;
    let cpu = (used() - before).as_secs_f64() * 1e6 / EVENTS as f64;
    let wall = begun.elapsed().as_secs_f64() * 1e6 / EVENTS as f64;
    println!("{what:<30} {cpu:>8.2} µs of processor, {wall:>8.2} µs each");
}

fn message() -> Message {
    Message::new("x".repeat(64))
        .with_header("Content-Type", "application/json")
        .with_header("Micro-Topic", "measured")
        .with_header("Micro-ID", "d7638041-bc0b-4a6b-a2dc-3c3b7ad5ba42")
}

fn client() -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", "127.0.0.1:9092")
        .set("enable.idempotence", "true")
        .set("queue.buffering.max.ms", "0")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.offset.store", "true");
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn beside_bare_librdkafka() {
    let broker = KafkaBroker::connect(KafkaConfig::default()).await.unwrap();
    let bare: FutureProducer = client().create().unwrap();
    for round in 0..3 {
        let topics = [0, 1].map(|number| format!("measured-{:08x}-{number}", fastrand::u32(..)));
        for topic in &topics {
            broker.publish(topic, message()).await.unwrap();
        }
        let value = envelope::encode(&message());
        let publish_bare = join_all((0..PUBLISHERS).map(|_| async {
            for _ in 0..EVENTS / PUBLISHERS {
                let record = FutureRecord::<(), [u8]>::to(&topics[0]).payload(&value);
                bare.send(record, Duration::from_secs(10)).await.unwrap();
            }
        }));
        let publish = join_all((0..PUBLISHERS).map(|_| async {
            for _ in 0..EVENTS / PUBLISHERS {
                broker.publish(&topics[1], message()).await.unwrap();
            }
        }));
        let options = SubscribeOptions {
            queue: Some(topics[1].as_str().into()),
            concurrency: 1,
        };
        let mut subscription = broker.subscribe(&topics[1], options).await.unwrap();
        println!("round {round}");
        measured("publishing, bare", async { drop(publish_bare.await) }).await;
        measured("publishing", async { drop(publish.await) }).await;
        let mut config = client();
        let consumer: StreamConsumer = config.set("group.id", &topics[0]).create().unwrap();
        consumer.subscribe(&[&topics[0]]).unwrap();
        measured("receiving, bare", async {
            for _ in 0..EVENTS {
                let record = consumer.recv().await.unwrap();
                envelope::decode(record.payload().unwrap()).unwrap();
            }
        })
        .await;
        drop(consumer);
        measured("receiving", async {
            for _ in 0..EVENTS {
                let event = subscription.next().await.unwrap().unwrap();
                event.acknowledge().await.unwrap();
            }
        })
        .await;
    }
}
