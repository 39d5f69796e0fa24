//! For the tests that a broker has beside the cases: how they publish, and how they wait for what comes of it. All of it
//! panics when it is waited for in vain, as tests do.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use micro_core::broker::{Event, Message, SubscribeOptions, Subscription};
use micro_core::{Broker, Result};
use tokio::time::{sleep, timeout};

/// Long enough for the busiest machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How many more numbers arrive between one trouble and the next.
const BETWEEN: usize = 30;

/// Options of a member of a queue that handles so many events at once.
pub fn queue(name: &str, concurrency: usize) -> SubscribeOptions {
    SubscribeOptions {
        queue: Some(name.into()),
        concurrency,
    }
}

/// Publishes a body without headers.
///
/// # Errors
///
/// As [`Broker::publish`].
pub async fn publish(broker: &dyn Broker, topic: &str, body: impl Into<String>) -> Result<()> {
    broker.publish(topic, Message::new(body.into())).await
}

/// The next event, whatever trouble is told before.
pub async fn next(subscription: &mut Subscription) -> Event {
    let next = async {
        loop {
            match subscription.next().await {
                Some(Ok(event)) => return event,
                Some(Err(_)) => {}
                None => panic!("the subscription ended"),
            }
        }
    };
    match timeout(PATIENCE, next).await {
        Ok(event) => event,
        Err(_) => panic!("no event arrived within {PATIENCE:?}"),
    }
}

/// The body of the next event, which is acknowledged.
pub async fn body(subscription: &mut Subscription) -> String {
    let mut event = next(subscription).await;
    let body = event.take_message().body;
    if let Err(error) = event.acknowledge().await {
        panic!("{error}");
    }
    text(&body)
}

/// Takes and acknowledges events until all these numbers have come. Notes how often each did: one whose connection is
/// gone comes again.
pub async fn until_all(
    subscription: &mut Subscription,
    numbers: &[usize],
    seen: &mut BTreeMap<usize, usize>,
) {
    while !numbers.iter().all(|number| seen.contains_key(number)) {
        let mut event = next(subscription).await;
        let body = text(&event.take_message().body);
        let _ = event.acknowledge().await;
        let number = body.parse().unwrap_or_else(|_| panic!("{body:?} is no number"));
        *seen.entry(number).or_default() += 1;
    }
}

/// Publishes numbers while trouble is made so many times, and handles them. All that were confirmed arrive. Returns them.
pub async fn loses_nothing(
    broker: &dyn Broker,
    topic: &str,
    member: &mut Subscription,
    times: usize,
    mut trouble: impl AsyncFnMut(),
) -> Vec<usize> {
    let is_over = AtomicBool::new(false);
    let mut seen = BTreeMap::new();
    let handling = async {
        for _ in 0..times {
            until_all(member, &[seen.len() + BETWEEN], &mut seen).await;
            trouble().await;
        }
        is_over.store(true, Ordering::Release);
    };
    let (confirmed, ()) = tokio::join!(publish_until(broker, topic, &is_over), handling);
    until_all(member, &confirmed, &mut seen).await;
    let twice = seen.values().filter(|count| **count > 1).count();
    println!("{} confirmed, {twice} came twice", confirmed.len());
    confirmed
}

/// Publishes numbers until it is over. Returns those that were confirmed.
async fn publish_until(broker: &dyn Broker, topic: &str, is_over: &AtomicBool) -> Vec<usize> {
    let mut confirmed = Vec::new();
    for number in 0.. {
        if is_over.load(Ordering::Acquire) {
            break;
        }
        if publish(broker, topic, number.to_string()).await.is_ok() {
            confirmed.push(number);
        }
        sleep(Duration::from_millis(1)).await;
    }
    confirmed
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}
