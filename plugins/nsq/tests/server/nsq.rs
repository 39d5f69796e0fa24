//! An nsqd process on ports of its own, and what the tests ask of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use micro_core::broker::{Event, Message, SubscribeOptions, Subscription};
use micro_core::{Broker, Result};
use micro_nsq::{NsqBroker, NsqConfig};
use servers::{Kind, Server};
use tokio::time::{sleep, timeout};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Nsqd(pub(crate) Server);

impl Nsqd {
    /// Starts one and waits until it serves. None: the machine has none, and the test is left out.
    pub(crate) async fn start() -> Option<Self> {
        servers::start_or_skip(Kind::Nsq).await.map(Self)
    }

    /// Starts one with further arguments.
    pub(crate) async fn start_with(arguments: &[&str]) -> Option<Self> {
        servers::start_with_or_skip(Kind::Nsq, arguments).await.map(Self)
    }

    pub(crate) fn config(&self) -> NsqConfig {
        config(&[self.0.address()])
    }

    pub(crate) async fn connect(&self) -> NsqBroker {
        connect(self.config()).await
    }

    /// Waits until it says this of a topic.
    pub(crate) async fn until_says(&self, topic: &str, part: &str) {
        let path = format!("/stats?format=json&topic={topic}");
        let said = async {
            loop {
                let stats = servers::http(self.0.http_address(), "GET", &path, "").await;
                if stats.is_ok_and(|stats| stats.contains(part)) {
                    return;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, said)
            .await
            .unwrap_or_else(|_| panic!("nsqd never says {part} of {topic}"));
    }
}

pub(crate) fn config(addresses: &[SocketAddr]) -> NsqConfig {
    NsqConfig {
        nsqds: addresses.iter().map(SocketAddr::to_string).collect(),
        ..NsqConfig::default()
    }
}

pub(crate) async fn connect(config: NsqConfig) -> NsqBroker {
    NsqBroker::connect(config).await.unwrap()
}

pub(crate) fn queue(name: &str, concurrency: usize) -> SubscribeOptions {
    SubscribeOptions {
        queue: Some(name.into()),
        concurrency,
    }
}

pub(crate) async fn publish(broker: &NsqBroker, topic: &str, body: &str) -> Result<()> {
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
    // Where its connection is gone, it comes again.
    let _ = event.acknowledge().await;
    String::from_utf8(body.to_vec()).unwrap()
}

/// Publishes numbers until it is told to stop. Returns those that were confirmed.
pub(crate) async fn publish_until(
    broker: NsqBroker,
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
        sleep(Duration::from_millis(1)).await;
    }
    confirmed
}

/// Takes and acknowledges events until all these numbers have come. Notes how often each did.
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
