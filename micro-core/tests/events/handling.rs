//! The way of events into a service: how many at once, to whom, and what goes wrong.

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use micro_core::broker::{Acknowledge, Event, SubscribeOptions, Subscription};

use super::*;

#[tokio::test]
async fn one_of_a_queue_gets_an_event_and_everyone_else_gets_it_too() {
    for house in [House::new(), House::http()] {
        let ((one, mut first), (two, mut second), (all, mut third)) = (noting(), noting(), noting());
        let services = [
            house.subscribed(one.queue("billing")).await,
            house.subscribed(two.queue("billing")).await,
            house.subscribed(all).await,
        ];
        let everything: BTreeSet<u64> = (0..50).collect();
        for number in 0..50 {
            house.publish(number).await;
        }
        for service in services {
            service.stop().await.unwrap();
        }
        let mut shared = Vec::new();
        let mut alone = Vec::new();
        while let Ok(number) = first.try_recv().or_else(|_| second.try_recv()) {
            shared.push(number);
        }
        while let Ok(number) = third.try_recv() {
            alone.push(number);
        }
        assert_eq!(shared.len(), 50, "each once: {shared:?}");
        assert_eq!(BTreeSet::from_iter(shared), everything);
        assert_eq!(alone, Vec::from_iter(0..50), "in order");
    }
}

#[tokio::test]
async fn so_many_events_are_handled_at_once_and_no_more() {
    for concurrency in [0, 1, 3] {
        let house = House::new();
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (begun, mut begins) = mpsc::channel(4096);
        let go_on = Arc::new(tokio::sync::Semaphore::new(0));
        let seen = (running.clone(), most.clone(), go_on.clone());
        let handler = move |_: Context, number: u64| {
            let (running, most, go_on) = seen.clone();
            let begun = begun.clone();
            async move {
                most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                let _ = begun.try_send(number);
                go_on.acquire().await.unwrap().forget();
                running.fetch_sub(1, SeqCst);
                Ok(())
            }
        };
        let subscriber = subscriber_plain("orders", handler).concurrency(concurrency);
        let service = house.subscribed(subscriber).await;
        for number in 0..10 {
            house.publish(number).await;
        }
        let at_once = concurrency.max(1);
        let mut order = Vec::new();
        for _ in 0..at_once {
            order.push(within(begins.recv()).await.unwrap());
        }
        // Were there one more, it would begin now.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert!(begins.try_recv().is_err());
        go_on.add_permits(10);
        for _ in at_once..10 {
            order.push(within(begins.recv()).await.unwrap());
        }
        assert_eq!(order, Vec::from_iter(0..10), "they begin in order");
        service.stop().await.unwrap();
        assert_eq!(most.load(SeqCst), at_once);
    }
}

#[tokio::test]
async fn what_goes_wrong_with_one_event_does_not_hold_up_the_next() {
    for house in [House::new(), House::http()] {
        let (noted, mut events) = mpsc::channel(4096);
        let handler = move |_: Context, number: u64| {
            let _ = noted.try_send(number);
            async move {
                match number {
                    1 => Err(Error::conflict("test", "as asked")),
                    2 => panic!("on purpose"),
                    _ => Ok(()),
                }
            }
        };
        let failed = Arc::new(Mutex::new(Vec::new()));
        let failures = failed.clone();
        let note = wrapper_fn(move |request: Request, next: Arc<dyn Handler>| {
            let failures = failures.clone();
            async move {
                let result = next.handle(request).await;
                if let Err(error) = &result {
                    failures.lock().unwrap().push(error.detail().to_owned());
                }
                result
            }
        });
        let service = house
            .service("failing")
            .subscriber(subscriber_plain("orders", handler))
            .wrap_subscribers(note);
        let service = start(service).await;
        let client = house.client();
        for number in [0, 1, 2, 3] {
            house.publish(number).await;
            assert_eq!(within(events.recv()).await.unwrap(), number);
        }
        for (content_type, body) in [
            (JSON, "no json"),
            (JSON, "\"seven\""),
            ("text/x-unknown".into(), "7"),
        ] {
            within(client.publish_encoded("orders", content_type, body))
                .await
                .unwrap();
        }
        house.publish(4).await;
        assert_eq!(within(events.recv()).await.unwrap(), 4);
        service.stop().await.unwrap();
        assert!(events.recv().await.is_none(), "nothing twice");
        let failed = failed.lock().unwrap();
        assert_eq!(failed.len(), 4, "the panic goes through it: {failed:?}");
        assert_eq!(failed[0], "as asked");
        for failure in &failed[1..] {
            assert!(failure.contains("orders"), "says which event: {failure}");
        }
        assert!(failed[3].contains("text/x-unknown"), "{failed:?}");
    }
}

/// A broker that gives out what it is told to and notes what becomes of it.
struct Scripted {
    script: Mutex<Vec<micro_core::Result<&'static str>>>,
    outcomes: mpsc::Sender<String>,
}

/// Notes what becomes of an event.
struct Noted {
    body: &'static str,
    outcomes: mpsc::Sender<String>,
    is_decided: bool,
}

impl Noted {
    fn note(&mut self, outcome: &str) {
        self.is_decided = true;
        let _ = self.outcomes.try_send(format!("{} {outcome}", self.body));
    }
}

#[async_trait]
impl Acknowledge for Noted {
    async fn acknowledge(mut self: Box<Self>) -> micro_core::Result<()> {
        self.note("acknowledged");
        Err(Error::unavailable("scripted", "the backend was not told"))
    }

    async fn reject(mut self: Box<Self>, reason: &Error) -> micro_core::Result<()> {
        self.note(&format!("rejected: {}", reason.detail()));
        Ok(())
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        if !self.is_decided {
            self.note("dropped");
        }
    }
}

#[async_trait]
impl Broker for Scripted {
    fn name(&self) -> &str {
        "scripted"
    }

    async fn publish(&self, _: &str, _: BrokerMessage) -> micro_core::Result<()> {
        Ok(())
    }

    async fn subscribe(&self, topic: &str, _: SubscribeOptions) -> micro_core::Result<Subscription> {
        let (topic, outcomes) = (topic.to_owned(), self.outcomes.clone());
        let script = std::mem::take(&mut *self.script.lock().unwrap());
        let events = stream::iter(script).map(move |step| {
            let body = step?;
            let message = BrokerMessage::new(body).with_header("Content-Type", "application/json");
            let noted = Noted {
                body,
                outcomes: outcomes.clone(),
                is_decided: false,
            };
            Ok(Event::new(topic.clone(), message).with_acknowledge(noted))
        });
        Ok(Subscription::new(events.chain(stream::pending())))
    }
}

#[tokio::test(start_paused = true)]
async fn the_broker_learns_what_became_of_each_event() {
    let (outcomes, mut noted) = mpsc::channel(4096);
    let trouble = Error::unavailable("scripted", "connection lost");
    let script = vec![
        Ok("0"),
        Ok("1"),
        Err(trouble),
        Ok("2"),
        Ok("nonsense"),
        Ok("3"),
        Ok("99"),
    ];
    let house = House::over(Arc::new(Scripted {
        script: Mutex::new(script),
        outcomes,
    }));
    let handler = |_: Context, number: u64| async move {
        match number {
            1 => Err(Error::conflict("test", "as asked")),
            2 => panic!("on purpose"),
            99 => std::future::pending().await,
            _ => Ok(()),
        }
    };
    let service = house.subscribed(subscriber_plain("orders", handler)).await;
    let mut next = async || within(noted.recv()).await.unwrap();
    assert_eq!(next().await, "0 acknowledged");
    assert_eq!(next().await, "1 rejected: as asked");
    let panicked = next().await;
    assert!(
        panicked.starts_with("2 rejected: ") && panicked.contains("on purpose"),
        "{panicked}"
    );
    let undecodable = next().await;
    assert!(
        undecodable.starts_with("nonsense rejected: orders"),
        "says which topic: {undecodable}"
    );
    assert_eq!(next().await, "3 acknowledged");
    service.stop().await.unwrap();
    assert_eq!(next().await, "99 dropped", "what was cut off is given back");
}
