//! What a message costs this process beside the bare client. Run by hand, in release:
//! `cargo test --release -p micro-redis --test speed -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use futures_util::future::join_all;
use micro_core::Broker;
use micro_core::broker::{Message, SubscribeOptions, envelope};
use micro_redis::{RedisBroker, RedisConfig};
use servers::{Kind, Server};
use tokio::time::Instant;

const MESSAGES: usize = 50_000;
const PUBLISHERS: usize = 64;

fn message() -> Message {
    Message::new(vec![b'x'; 256]).with_header("Content-Type", "application/json")
}

/// The processor time of this process so far.
fn used() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

async fn measured(what: &str, work: impl Future<Output = ()>) {
    let (begun, before) = (Instant::now(), used());
    work.await;
    let (taken, spent) = (begun.elapsed(), used() - before);
    let count = u32::try_from(MESSAGES).unwrap();
    println!(
        "{what:32} {:>8.0}/s {:>6.2} µs of processor time each",
        f64::from(count) / taken.as_secs_f64(),
        spent.as_secs_f64() * 1e6 / f64::from(count)
    );
}

async fn bare(server: &Server) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(format!("redis://{}", server.address())).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

async fn publish_bare(connection: redis::aio::MultiplexedConnection) {
    join_all((0..PUBLISHERS).map(|_| {
        let mut connection = connection.clone();
        tokio::spawn(async move {
            for _ in 0..MESSAGES / PUBLISHERS {
                let mut command = redis::cmd("XADD");
                command.arg("bare").arg("*").arg("message");
                command.arg(&envelope::encode(&message())[..]);
                connection.send_packed_command(&command).await.unwrap();
            }
        })
    }))
    .await;
}

async fn publish(broker: RedisBroker) {
    join_all((0..PUBLISHERS).map(|_| {
        let broker = broker.clone();
        tokio::spawn(async move {
            for _ in 0..MESSAGES / PUBLISHERS {
                broker.publish("broker", message()).await.unwrap();
            }
        })
    }))
    .await;
}

/// Ids, and names and values.
type Entries = Vec<(String, Vec<Vec<u8>>)>;

async fn consume_bare(server: &Server, most: usize) {
    let mut reads = bare(server).await;
    let acknowledges = bare(server).await;
    let mut left = MESSAGES / PUBLISHERS * PUBLISHERS;
    while left > 0 {
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg("workers").arg("me");
        command.arg("COUNT").arg(most).arg("STREAMS").arg("bare").arg(">");
        let answer = reads.send_packed_command(&command).await.unwrap();
        let answer: Vec<(String, Entries)> = redis::from_redis_value(answer).unwrap();
        let entries = answer.into_iter().flat_map(|(_, entries)| entries);
        let handled = entries.map(|(id, fields)| {
            let mut acknowledges = acknowledges.clone();
            async move {
                envelope::decode(&fields[1]).unwrap();
                let mut command = redis::cmd("XACK");
                command.arg("bare").arg("workers").arg(id);
                acknowledges.send_packed_command(&command).await.unwrap();
            }
        });
        left -= join_all(handled).await.len();
    }
}

async fn consume(broker: &RedisBroker, most: usize) {
    let options = SubscribeOptions {
        queue: Some("workers".into()),
        concurrency: most,
    };
    let mut member = broker.subscribe("broker", options).await.unwrap();
    let mut handling = tokio::task::JoinSet::new();
    for _ in 0..MESSAGES / PUBLISHERS * PUBLISHERS {
        let event = member.next().await.unwrap().unwrap();
        handling.spawn(async move { event.acknowledge().await.unwrap() });
        while handling.try_join_next().is_some() {}
    }
    handling.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn what_a_message_costs() {
    let server = Server::start_with(Kind::Redis, &["--appendonly", "no"])
        .await
        .unwrap();
    let config = RedisConfig::from_addresses(&[server.address().to_string()]).unwrap();
    let broker = RedisBroker::connect(config).await.unwrap();
    let mut connection = bare(&server).await;
    for key in ["bare", "micro:broker"] {
        let mut command = redis::cmd("XGROUP");
        command
            .arg("CREATE")
            .arg(key)
            .arg("workers")
            .arg("0")
            .arg("MKSTREAM");
        connection.send_packed_command(&command).await.unwrap();
    }
    for _ in 0..2 {
        measured("publishing, bare", publish_bare(connection.clone())).await;
        measured("publishing", publish(broker.clone())).await;
        measured("64 at once, bare", consume_bare(&server, 64)).await;
        measured("64 at once", consume(&broker, 64)).await;
    }
}
