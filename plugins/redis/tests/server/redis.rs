//! A Redis process on a port of its own, and what the tests ask of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use micro_core::broker::{Event, Message, SubscribeOptions, Subscription};
use micro_core::{Broker, Result};
use micro_redis::{RedisBroker, RedisConfig};
use servers::{Kind, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Redis(pub(crate) Server);

impl Redis {
    /// Starts one and waits until it serves. None: the machine has none, and the test is left out.
    pub(crate) async fn start() -> Option<Self> {
        servers::start_or_skip(Kind::Redis).await.map(Self)
    }

    pub(crate) fn config(&self) -> RedisConfig {
        config(self.0.address())
    }

    pub(crate) async fn connect(&self) -> RedisBroker {
        RedisBroker::connect(self.config()).await.unwrap()
    }

    /// Says a line of commands as anybody may.
    pub(crate) async fn say(&self, line: &str) -> String {
        say(self.0.address(), line).await
    }
}

pub(crate) async fn say(address: SocketAddr, line: &str) -> String {
    let said = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(format!("{line}\r\nQUIT\r\n").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    timeout(PATIENCE, said).await.unwrap()
}

pub(crate) fn config(address: SocketAddr) -> RedisConfig {
    RedisConfig {
        address: address.to_string(),
        ..RedisConfig::default()
    }
}

pub(crate) fn queue(name: &str, concurrency: usize) -> SubscribeOptions {
    SubscribeOptions {
        queue: Some(name.into()),
        concurrency,
    }
}

pub(crate) async fn publish(broker: &RedisBroker, topic: &str, body: &str) -> Result<()> {
    broker.publish(topic, Message::new(body.to_owned())).await
}

/// The next event, whatever trouble is told before.
pub(crate) async fn next(subscription: &mut Subscription) -> Event {
    let next = async {
        loop {
            match subscription.next().await {
                Some(Ok(event)) => return event,
                Some(Err(_)) => {}
                None => panic!("the subscription ended"),
            }
        }
    };
    timeout(PATIENCE, next).await.expect("no event arrived")
}

pub(crate) async fn body(subscription: &mut Subscription) -> String {
    let mut event = next(subscription).await;
    let body = event.take_message().body;
    event.acknowledge().await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

/// Publishes numbers until it is told to stop. Returns those that were confirmed.
pub(crate) async fn publish_until(
    broker: RedisBroker,
    topic: &'static str,
    stop: Arc<AtomicBool>,
) -> Vec<usize> {
    let mut confirmed = Vec::new();
    for number in 0.. {
        if stop.load(Ordering::Acquire) {
            break;
        }
        if publish(&broker, topic, &number.to_string()).await.is_ok() {
            confirmed.push(number);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    confirmed
}

/// Takes and acknowledges events until all these numbers have come. Returns how often each did.
pub(crate) async fn until_all(
    subscription: &mut Subscription,
    numbers: &[usize],
    seen: &mut BTreeMap<usize, usize>,
) {
    while !numbers.iter().all(|number| seen.contains_key(number)) {
        let number = body(subscription).await.parse().unwrap();
        *seen.entry(number).or_default() += 1;
    }
}
