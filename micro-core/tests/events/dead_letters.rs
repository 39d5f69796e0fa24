//! Events that cannot be handled, and are put aside.

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use micro_core::broker::{Acknowledge, Event, SubscribeOptions, Subscription};
use micro_core::server::DeadLetter;

use super::*;

/// A subscriber to `orders` that fails so many times for each odd number, and the attempts that it made.
fn failing(times: usize) -> (Subscriber, Arc<Mutex<Vec<u64>>>) {
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let seen = attempts.clone();
    let subscriber = subscriber_plain("orders", move |_: Context, number: u64| {
        let mut seen = seen.lock().unwrap();
        seen.push(number);
        let count = seen.iter().filter(|&&before| before == number).count();
        let fails = number % 2 == 1 && count <= times;
        async move {
            if fails {
                return Err(Error::internal("orders", format!("no stock for {number}")));
            }
            Ok(())
        }
    });
    (subscriber, attempts)
}

/// All that is put aside.
async fn aside(house: &House) -> Subscription {
    house
        .broker
        .subscribe("orders.dead", SubscribeOptions::default())
        .await
        .unwrap()
}

async fn next(subscription: &mut Subscription) -> BrokerMessage {
    let mut event = within(subscription.next()).await.unwrap().unwrap();
    let message = event.take_message();
    event.acknowledge().await.unwrap();
    message
}

#[tokio::test(start_paused = true)]
async fn what_fails_again_and_again_is_put_aside_with_the_reason_and_the_rest_goes_on_in_order() {
    let house = House::new();
    let mut put_aside = aside(&house).await;
    let (subscriber, attempts) = failing(usize::MAX);
    let service = house
        .subscribed(subscriber.queue("billing").dead_letter("orders.dead", 3))
        .await;
    for number in 0..3 {
        house.publish(number).await;
    }
    let message = next(&mut put_aside).await;
    let header = |name| message.header.get(name);
    assert_eq!(header(DeadLetter::TOPIC), Some("orders"));
    assert_eq!(header(DeadLetter::ATTEMPTS), Some("3"));
    let reason = header(DeadLetter::REASON).unwrap();
    assert!(reason.contains("no stock for 1"), "{reason}");
    assert_eq!(header("Micro-Topic"), Some("orders.dead"));
    assert_eq!(header("Content-Type"), Some("application/json"));
    assert_eq!(message.body, "1\n", "as it was published");
    service.stop().await.unwrap();
    assert_eq!(*attempts.lock().unwrap(), [0, 1, 1, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn what_succeeds_at_last_is_not_put_aside() {
    let house = House::new();
    let mut put_aside = aside(&house).await;
    let (subscriber, attempts) = failing(2);
    let service = house.subscribed(subscriber.dead_letter("orders.dead", 3)).await;
    house.publish(1).await;
    house.publish(2).await;
    // Nothing but this is there to be put aside.
    house
        .broker
        .publish("orders.dead", BrokerMessage::new("marker"))
        .await
        .unwrap();
    assert_eq!(next(&mut put_aside).await.body, "marker");
    while attempts.lock().unwrap().len() < 4 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    service.stop().await.unwrap();
    assert_eq!(*attempts.lock().unwrap(), [1, 1, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_put_aside_at_once() {
    let house = House::new();
    let mut put_aside = aside(&house).await;
    let (subscriber, attempts) = failing(0);
    let service = house.subscribed(subscriber.dead_letter("orders.dead", 5)).await;
    let nonsense = BrokerMessage::new("{").with_header("Content-Type", "application/json");
    house.broker.publish("orders", nonsense).await.unwrap();
    let message = next(&mut put_aside).await;
    assert_eq!(message.header.get(DeadLetter::ATTEMPTS), Some("1"));
    assert_eq!(message.body, "{");
    service.stop().await.unwrap();
    assert!(attempts.lock().unwrap().is_empty());
}

/// A broker that gives out what it is told to, takes what is put aside unless it refuses, and notes what it is told.
struct Scripted {
    /// How often each event was given out.
    events: Vec<u32>,
    refuses: bool,
    told: mpsc::Sender<String>,
}

struct Teller(mpsc::Sender<String>);

#[async_trait]
impl Acknowledge for Teller {
    async fn acknowledge(self: Box<Self>) -> micro_core::Result<()> {
        self.0.send("acknowledged".into()).await.unwrap();
        Ok(())
    }

    async fn reject(self: Box<Self>, reason: &Error) -> micro_core::Result<()> {
        self.0
            .send(format!("rejected: {}", reason.detail()))
            .await
            .unwrap();
        Ok(())
    }
}

#[async_trait]
impl Broker for Scripted {
    fn name(&self) -> &str {
        "scripted"
    }

    async fn publish(&self, topic: &str, message: BrokerMessage) -> micro_core::Result<()> {
        if self.refuses {
            return Err(Error::unavailable("scripted", "nobody takes it"));
        }
        let attempts = message.header.get(DeadLetter::ATTEMPTS).unwrap();
        self.told.send(format!("{topic} {attempts}")).await.unwrap();
        Ok(())
    }

    async fn subscribe(&self, topic: &str, _: SubscribeOptions) -> micro_core::Result<Subscription> {
        let events: Vec<_> = self
            .events
            .iter()
            .map(|&deliveries| {
                let message = BrokerMessage::new("1").with_header("Content-Type", "application/json");
                Ok(Event::new(topic, message)
                    .with_acknowledge(Teller(self.told.clone()))
                    .with_deliveries(deliveries))
            })
            .collect();
        Ok(Subscription::new(stream::iter(events).chain(stream::pending())))
    }
}

async fn told(events: &[u32], refuses: bool, attempts: u32) -> (Vec<String>, usize) {
    let (told, mut notes) = mpsc::channel(64);
    let scripted = Scripted {
        events: events.to_vec(),
        refuses,
        told,
    };
    let house = House::over(Arc::new(scripted));
    let (subscriber, seen) = failing(usize::MAX);
    let service = house
        .subscribed(subscriber.dead_letter("orders.dead", attempts))
        .await;
    let count = events.len() * if refuses { 1 } else { 2 };
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(within(notes.recv()).await.unwrap());
    }
    service.stop().await.unwrap();
    let handled = seen.lock().unwrap().len();
    (all, handled)
}

#[tokio::test(start_paused = true)]
async fn what_came_back_undecided_counts() {
    let (notes, handled) = told(&[3], false, 4).await;
    assert_eq!(notes, ["orders.dead 4", "acknowledged"]);
    assert_eq!(handled, 2, "two were not survived");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_survives_is_put_aside_without_another_attempt() {
    let (notes, handled) = told(&[5], false, 4).await;
    assert_eq!(notes, ["orders.dead 4", "acknowledged"]);
    assert_eq!(handled, 0);
}

#[tokio::test(start_paused = true)]
async fn what_came_back_for_a_restart_is_tried_all_the_same() {
    let (notes, handled) = told(&[2], false, 1).await;
    assert_eq!(notes, ["orders.dead 2", "acknowledged"]);
    assert_eq!(handled, 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_put_aside_is_rejected_and_so_not_lost() {
    let (notes, handled) = told(&[1], true, 2).await;
    assert_eq!(notes, ["rejected: no stock for 1"]);
    assert_eq!(handled, 2);
}
