//! What is kept for subscribers that do not take it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use micro_core::broker::http::HttpBrokerConfig;
use micro_core::broker::{Broker, HttpBroker, Message};
use micro_core::registry::ServiceRecord;
use micro_core::{ErrorKind, Registry};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Notify, mpsc};
use tokio_util::task::AbortOnDropHandle;

use super::{BROADCAST, House, body_of, go_subscriber, take_all};
use crate::raw::{Raw, bounded, within};
use crate::registries::Moody;

const TOPIC: &str = "interop.notice";

/// An address that refuses connections until it listens. Nobody else gets it meanwhile.
struct Address {
    socket: TcpSocket,
    address: String,
}

impl Address {
    fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap().to_string();
        Self { socket, address }
    }

    fn subscriber(&self, version: &str) -> ServiceRecord {
        go_subscriber(TOPIC, version, &self.address, "one")
    }

    /// Takes all messages from now on.
    fn come_back(self) -> (AbortOnDropHandle<()>, mpsc::Receiver<String>) {
        let listener = self.socket.listen(64).unwrap();
        let (sender, taken) = mpsc::channel(4096);
        let task = tokio::spawn(accept(listener, sender));
        (AbortOnDropHandle::new(task), taken)
    }
}

async fn accept(listener: TcpListener, taken: mpsc::Sender<String>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.spawn(take_all(Raw::new(stream), taken.clone()));
    }
}

async fn assert_taken(taken: &mut mpsc::Receiver<String>, bodies: &[&str]) {
    for body in bodies {
        assert_eq!(within(taken.recv()).await.unwrap(), *body);
    }
    assert!(taken.try_recv().is_err(), "each once");
}

#[tokio::test]
async fn a_subscriber_that_comes_back_gets_all_in_order() {
    bounded(async {
        for version in [BROADCAST, "workers"] {
            let house = House::new();
            let address = Address::new();
            house.register(&address.subscriber(version)).await;
            for (number, body) in ["1", "2", "3", "4", "5"].into_iter().enumerate() {
                house.publish(TOPIC, body).await.unwrap();
                assert_eq!(house.waiting(), [(number + 1, 0)]);
            }
            let backlog = house.broker.backlog();
            assert_eq!(backlog[0].topic, TOPIC);
            let name = if version == BROADCAST { "one" } else { version };
            assert_eq!(backlog[0].subscriber, name);
            let (_server, mut taken) = address.come_back();
            house.publish(TOPIC, "6").await.unwrap();
            within(house.broker.flush()).await.unwrap();
            assert_eq!(house.waiting(), []);
            house.publish(TOPIC, "7").await.unwrap();
            assert_taken(&mut taken, &["1", "2", "3", "4", "5", "6", "7"]).await;
        }
    })
    .await;
}

#[tokio::test]
async fn nobody_needs_to_flush_or_publish_for_a_backlog_to_go_out() {
    bounded(async {
        let house = House::new();
        let address = Address::new();
        house.register(&address.subscriber(BROADCAST)).await;
        house.publish(TOPIC, "1").await.unwrap();
        let (_server, mut taken) = address.come_back();
        assert_taken(&mut taken, &["1"]).await;
        house.until_nothing_waits().await;
    })
    .await;
}

#[tokio::test]
async fn a_full_queue_refuses_by_name() {
    bounded(async {
        let house = House::with(|config| config.backlog = 3);
        let address = Address::new();
        house.register(&address.subscriber("workers")).await;
        for body in ["1", "2", "3"] {
            house.publish(TOPIC, body).await.unwrap();
        }
        for _ in 0..2 {
            let error = house.publish(TOPIC, "4").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            for said in [TOPIC, "queue workers", "3 wait", "the limit backlog"] {
                assert!(error.detail().contains(said), "{error}");
            }
        }
        assert_eq!(house.waiting(), [(3, 0)]);
        let (_server, mut taken) = address.come_back();
        within(house.broker.flush()).await.unwrap();
        house.publish(TOPIC, "5").await.unwrap();
        assert_taken(&mut taken, &["1", "2", "3", "5"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_full_subscription_loses_its_oldest_and_counts() {
    bounded(async {
        let house = House::with(|config| config.backlog = 3);
        let address = Address::new();
        house.register(&address.subscriber(BROADCAST)).await;
        for body in ["1", "2", "3", "4", "5"] {
            house.publish(TOPIC, body).await.unwrap();
        }
        assert_eq!(house.waiting(), [(3, 2)]);
        let (_server, mut taken) = address.come_back();
        within(house.broker.flush()).await.unwrap();
        assert_taken(&mut taken, &["3", "4", "5"]).await;
    })
    .await;
}

#[tokio::test]
async fn nothing_is_kept_where_no_backlog_is_wanted() {
    bounded(async {
        let house = House::with(|config| config.backlog = 0);
        let (alone, queue) = (Address::new(), Address::new());
        house.register(&alone.subscriber(BROADCAST)).await;
        house.publish(TOPIC, "1").await.unwrap();
        assert_eq!(house.waiting(), []);
        house.register(&queue.subscriber("workers")).await;
        let error = within(async {
            loop {
                if let Err(error) = house.publish(TOPIC, "2").await {
                    return error;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert!(error.detail().contains("queue workers"), "{error}");
        assert_eq!(house.waiting(), []);
        within(house.broker.flush()).await.unwrap();
    })
    .await;
}

/// What is lost when a backlog overflows while it is delivered is what waits longest, not what is under way.
#[tokio::test]
async fn what_is_under_way_is_not_what_is_lost() {
    bounded(async {
        let house = House::with(|config| config.backlog = 1);
        let address = Address::new();
        house.register(&address.subscriber(BROADCAST)).await;
        house.publish(TOPIC, "1").await.unwrap();
        let listener = address.socket.listen(64).unwrap();
        let (stream, _) = within(listener.accept()).await.unwrap();
        let mut connection = Raw::new(stream);
        assert_eq!(body_of(&within(connection.message()).await.unwrap()), "1");
        for body in ["2", "3"] {
            house.publish(TOPIC, body).await.unwrap();
        }
        assert_eq!(
            house.waiting(),
            [(2, 1)],
            "one under way, one behind it, one lost"
        );
        let (sender, mut taken) = mpsc::channel(4096);
        connection
            .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await;
        let _server = AbortOnDropHandle::new(tokio::spawn(take_all(connection, sender)));
        within(house.broker.flush()).await.unwrap();
        assert_taken(&mut taken, &["3"]).await;
    })
    .await;
}

#[tokio::test]
async fn the_backlog_of_a_subscriber_goes_with_it() {
    bounded(async {
        let house = House::new();
        let address = Address::new();
        let subscriber = address.subscriber(BROADCAST);
        house.register(&subscriber).await;
        house.publish(TOPIC, "1").await.unwrap();
        house.deregister(&subscriber).await;
        within(house.broker.flush()).await.unwrap();
        assert_eq!(house.waiting(), []);
        house.publish(TOPIC, "2").await.unwrap();
        assert_eq!(house.waiting(), []);
    })
    .await;
}

#[tokio::test]
async fn the_backlog_of_a_queue_waits_for_its_next_member() {
    bounded(async {
        let house = House::new();
        let (gone, next) = (Address::new(), Address::new());
        let subscriber = gone.subscriber("workers");
        house.register(&subscriber).await;
        for body in ["1", "2"] {
            house.publish(TOPIC, body).await.unwrap();
        }
        house.deregister(&subscriber).await;
        let member = go_subscriber(TOPIC, "workers", &next.address, "two");
        let (_server, mut taken) = next.come_back();
        house.register(&member).await;
        assert_taken(&mut taken, &["1", "2"]).await;
    })
    .await;
}

/// However long its members refused, a queue is deserted only from the moment on when it has none.
#[tokio::test]
async fn the_age_of_a_backlog_counts_from_the_departure_of_the_last_member() {
    bounded(async {
        let age = Duration::from_millis(800);
        let house = House::with(|config| config.backlog_age = age);
        let (gone, next) = (Address::new(), Address::new());
        let subscriber = gone.subscriber("workers");
        house.register(&subscriber).await;
        house.publish(TOPIC, "1").await.unwrap();
        // Time is what this test is about: the message has waited for long when the queue is deserted.
        tokio::time::sleep(age + Duration::from_millis(100)).await;
        house.deregister(&subscriber).await;
        let deserted = Instant::now();
        within(house.broker.flush()).await.unwrap();
        assert!(deserted.elapsed() >= age, "{:?}", deserted.elapsed());

        house.register(&subscriber).await;
        within(async {
            while house.waiting().is_empty() {
                house.publish(TOPIC, "2").await.unwrap();
                tokio::task::yield_now().await;
            }
        })
        .await;
        let (_server, mut taken) = next.come_back_as(&house, "workers").await;
        assert_eq!(within(taken.recv()).await.unwrap(), "2");
    })
    .await;
}

impl Address {
    /// Takes all messages as another member of the queue.
    async fn come_back_as(
        self,
        house: &House,
        version: &str,
    ) -> (AbortOnDropHandle<()>, mpsc::Receiver<String>) {
        let member = go_subscriber(TOPIC, version, &self.address, "two");
        let (server, taken) = self.come_back();
        house.register(&member).await;
        (server, taken)
    }
}

#[tokio::test]
async fn a_subscriber_that_does_not_answer_holds_up_nobody_for_long() {
    bounded(async {
        let house = House::with(|config| config.delivery_timeout = Duration::from_millis(100));
        let address = Address::new();
        let (sound, mut taken) = {
            let sound = Address::new();
            let record = go_subscriber(TOPIC, BROADCAST, &sound.address, "sound");
            house.register(&record).await;
            sound.come_back()
        };
        house.register(&address.subscriber(BROADCAST)).await;
        let listener = address.socket.listen(64).unwrap();
        let asked = Instant::now();
        house.publish(TOPIC, "1").await.unwrap();
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
        house.publish(TOPIC, "2").await.unwrap();
        assert_taken(&mut taken, &["1", "2"]).await;
        assert_eq!(house.waiting(), [(2, 0)]);
        // It is tried again, on a new connection, until it answers.
        for _ in 0..2 {
            let (stream, _) = within(listener.accept()).await.unwrap();
            let mut connection = Raw::new(stream);
            assert_eq!(body_of(&within(connection.message()).await.unwrap()), "1");
            assert_eq!(within(connection.rest()).await, b"", "given up");
        }
        let (sender, mut late) = mpsc::channel(4096);
        let _server = AbortOnDropHandle::new(tokio::spawn(accept(listener, sender)));
        within(house.broker.flush()).await.unwrap();
        assert_taken(&mut late, &["1", "2"]).await;
        drop(sound);
    })
    .await;
}

#[tokio::test]
async fn a_dead_member_of_a_queue_is_passed_over_at_once() {
    bounded(async {
        let house = House::new();
        let (dead, sound) = (Address::new(), Address::new());
        house.register(&dead.subscriber("workers")).await;
        let (_server, mut taken) = sound.come_back_as(&house, "workers").await;
        let began = Instant::now();
        for number in 0..50 {
            house.publish(TOPIC, "x").await.unwrap();
            assert_eq!(within(taken.recv()).await.unwrap(), "x", "{number}");
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        assert_eq!(house.waiting(), []);
    })
    .await;
}

#[tokio::test]
async fn publishing_goes_on_without_the_registry() {
    bounded(async {
        let registry = Moody::new();
        let broker = HttpBroker::new(registry.clone(), HttpBrokerConfig::default()).unwrap();
        let (refusing, sound) = (Address::new(), Address::new());
        for (address, id) in [(&refusing, "refusing"), (&sound, "sound")] {
            let record = go_subscriber(TOPIC, BROADCAST, &address.address, id);
            registry.put(&record).await;
        }
        let (_server, mut taken) = sound.come_back();
        broker.publish(TOPIC, Message::new("1")).await.unwrap();
        registry.go_down();
        for body in ["2", "3"] {
            within(broker.publish(TOPIC, Message::new(body))).await.unwrap();
        }
        assert_taken(&mut taken, &["1", "2", "3"]).await;
        assert!(registry.list_services().await.is_err(), "the registry is down");
        // Nor is what is kept forgotten.
        let (_server, mut late) = refusing.come_back();
        within(broker.flush()).await.unwrap();
        assert_taken(&mut late, &["1", "2", "3"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_first_publish_without_the_registry_fails_by_name() {
    bounded(async {
        let registry = Moody::new();
        registry.go_down();
        let broker = HttpBroker::new(registry.clone(), HttpBrokerConfig::default()).unwrap();
        let error = within(broker.publish(TOPIC, Message::new("1")))
            .await
            .unwrap_err();
        assert!(
            error.detail().contains(TOPIC) && error.detail().contains("connection refused"),
            "{error}"
        );
        let error = within(broker.subscribe(TOPIC, Default::default()))
            .await
            .unwrap_err();
        assert!(
            error.detail().contains(TOPIC) && error.detail().contains("moody"),
            "{error}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_publisher_that_stops_waiting_does_no_harm() {
    bounded(async {
        let house = House::new();
        let address = Address::new();
        house.register(&address.subscriber(BROADCAST)).await;
        let listener = address.socket.listen(64).unwrap();
        let arrived = Arc::new(Notify::new());
        tokio::select! {
            _ = house.publish(TOPIC, "1") => panic!("nobody answers"),
            () = async {
                let (stream, _) = listener.accept().await.unwrap();
                Raw::new(stream).message().await.unwrap();
                arrived.notify_one();
            } => {}
        }
        within(arrived.notified()).await;
        assert_eq!(house.waiting(), [], "whether it was handled, nobody knows");
        let (sender, mut taken) = mpsc::channel(4096);
        let _server = AbortOnDropHandle::new(tokio::spawn(accept(listener, sender)));
        house.publish(TOPIC, "2").await.unwrap();
        assert_taken(&mut taken, &["2"]).await;
    })
    .await;
}
