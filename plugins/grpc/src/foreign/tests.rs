use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;

use micro_core::handler::handler_fn;
use micro_core::registry::{Action, Change, MemoryRegistry, Node};
use micro_core::{Request, Response};
use tokio::time::{Instant, timeout};

use super::*;
use crate::transport::AUTHORITY;
use crate::{GrpcConfig, GrpcTransport};

/// What a name's addresses are just now; no address is an error.
#[derive(Clone, Default)]
struct Zone {
    addresses: Arc<Mutex<Vec<SocketAddr>>>,
    asked: Arc<Mutex<Vec<Instant>>>,
}

impl Zone {
    fn of(addresses: &[&str]) -> Self {
        let zone = Self::default();
        zone.set(addresses);
        zone
    }

    fn set(&self, addresses: &[&str]) {
        *self.addresses.lock().unwrap() = addresses.iter().map(|address| address.parse().unwrap()).collect();
    }

    fn services(&self) -> ForeignServices {
        let mut services = ForeignServices::new();
        services.resolve = Arc::new(self.clone());
        services.at("helloworld", ["dns:greeter.example:1"]).unwrap()
    }

    fn asked(&self) -> Vec<Duration> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|at| at.duration_since(asked[0])).collect()
    }
}

#[async_trait]
impl Resolve for Zone {
    async fn resolve(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        assert_eq!(name, "greeter.example:1");
        self.asked.lock().unwrap().push(Instant::now());
        let addresses = self.addresses.lock().unwrap().clone();
        match addresses.is_empty() {
            true => Err(io::Error::other("no such host")),
            false => Ok(addresses),
        }
    }
}

async fn addresses(services: &ForeignServices) -> Vec<String> {
    let records = services.get_service("helloworld").await.unwrap();
    records[0].nodes.iter().map(|node| node.address.clone()).collect()
}

async fn next(watcher: &mut Watcher) -> (Action, String) {
    let Change { action, service } = timeout(Duration::from_secs(3600), watcher.next())
        .await
        .expect("nothing changes")
        .unwrap();
    (action, service.nodes[0].id.clone())
}

#[tokio::test]
async fn a_name_stands_for_all_addresses_of_one_kind() {
    let zone = Zone::of(&["[::1]:1", "10.0.0.2:1", "10.0.0.1:1", "10.0.0.2:1"]);
    let records = zone.services().get_service("helloworld").await.unwrap();
    let node = |ip: &str| {
        Node::new(format!("greeter.example:1/{ip}"), format!("{ip}:1"))
            .with_metadata(AUTHORITY, "greeter.example:1")
    };
    assert_eq!(records[0].nodes, [node("10.0.0.1"), node("10.0.0.2")]);
    zone.set(&["[::1]:1"]);
    assert_eq!(addresses(&zone.services()).await, ["[::1]:1"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_looks_names_up_again_after_the_interval() {
    let zone = Zone::of(&["10.0.0.1:1"]);
    let mut watcher = zone.services().watch(Some("helloworld")).await.unwrap();
    zone.set(&["10.0.0.2:1"]);
    let mut seen = [next(&mut watcher).await, next(&mut watcher).await];
    seen.sort_by_key(|(_, id)| id.clone());
    assert_eq!(seen[0], (Action::Delete, "greeter.example:1/10.0.0.1".to_owned()));
    assert_eq!(seen[1], (Action::Create, "greeter.example:1/10.0.0.2".to_owned()));
    assert_eq!(zone.asked()[1].as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_be_reached_has_its_name_looked_up_at_once_but_not_twice_a_second() {
    let zone = Zone::of(&["10.0.0.1:1"]);
    let services = zone.services();
    let mut watcher = services.watch(Some("helloworld")).await.unwrap();
    zone.set(&["10.0.0.1:1", "10.0.0.2:1"]);
    services.note_unreached("helloworld");
    services.note_unreached("helloworld");
    services.note_unreached("another");
    assert_eq!(next(&mut watcher).await.1, "greeter.example:1/10.0.0.2");
    assert_eq!(zone.asked().len(), 2);
    assert_eq!(zone.asked()[1].as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn nodes_of_a_name_that_cannot_be_looked_up_stay() {
    let zone = Zone::of(&["10.0.0.1:1"]);
    let mut watcher = zone.services().watch(Some("helloworld")).await.unwrap();
    zone.set(&[]);
    let quiet = timeout(Duration::from_secs(100), watcher.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    assert!(zone.asked().len() > 3);
    let error = zone.services().get_service("helloworld").await.unwrap_err();
    assert!(
        error.code() == 503
            && error
                .detail()
                .contains("greeter.example:1 cannot be looked up: no such host"),
        "{error}"
    );
}

#[tokio::test]
async fn records_of_others_lose_what_is_not_meant_for_transports() {
    let registry = Arc::new(MemoryRegistry::new());
    let node = Node::new("a", "127.0.0.1:1")
        .with_metadata("protocol", "http2")
        .with_metadata("transport", "tcp")
        .with_metadata("zone", "north");
    let record = ServiceRecord::new("greeter-svc", "3").with_nodes(vec![node]);
    registry
        .register(&record, RegisterOptions::default())
        .await
        .unwrap();
    let services = ForeignServices::new().registered("helloworld", registry.clone(), "greeter-svc");
    let expected = ServiceRecord::new("helloworld", "3")
        .with_nodes(vec![Node::new("a", "127.0.0.1:1").with_metadata("zone", "north")]);
    assert_eq!(
        services.get_service("helloworld").await.unwrap(),
        std::slice::from_ref(&expected)
    );
    let mut watcher = services.watch(Some("helloworld")).await.unwrap();
    registry.deregister(&record).await.unwrap();
    let change = watcher.next().await.unwrap();
    assert_eq!(
        (change.action, &*change.service.name),
        (Action::Delete, "helloworld")
    );
}

#[tokio::test]
async fn what_is_not_known_or_not_possible_is_said_so() {
    let services = ForeignServices::new().at("helloworld", ["127.0.0.1:1"]).unwrap();
    let error = services.get_service("goodbye").await.unwrap_err();
    assert!(
        error.code() == 404 && error.detail().contains("helloworld"),
        "{error}"
    );
    let record = ServiceRecord::new("helloworld", "1");
    let error = services
        .register(&record, RegisterOptions::default())
        .await
        .unwrap_err();
    assert!(error.code() == 405 && !services.takes_registrations(), "{error}");
    assert_eq!(services.watch(None).await.unwrap_err().code(), 405);
    let none: [&str; 0] = [];
    assert_eq!(services.clone().at("x", none).unwrap_err().code(), 400);
    let error = services.at("x", ["nowhere"]).unwrap_err();
    assert!(
        error.detail().contains("\"x\"") && error.detail().contains("\"nowhere\""),
        "{error}"
    );
}

#[tokio::test]
async fn a_call_that_reaches_nobody_has_the_name_looked_up_again() {
    let echo = handler_fn(|mut request: Request| async move { Ok(Response::new(request.take_body())) });
    let transport = GrpcTransport::new(GrpcConfig::default()).unwrap();
    let listener = transport.listen("127.0.0.1:0", Arc::new(echo)).await.unwrap();
    let gone = transport.listen(
        "127.0.0.1:0",
        Arc::new(handler_fn(|_| async { Ok(Response::default()) })),
    );
    let nobody = gone.await.unwrap().address().to_owned();

    let zone = Zone::of(&[&nobody]);
    let services = zone.services().refresh_interval(Duration::from_secs(3600));
    let client = services.client(Arc::new(transport)).build();
    let call = || client.request(Request::new("helloworld", "Greeter.SayHello", "x"));
    let error = call().await.unwrap_err();
    assert!(error.is_never_started() && error.code() == 503, "{error}");
    zone.set(&[listener.address()]);
    let moved = async { while call().await.is_err() {} };
    timeout(Duration::from_secs(30), moved)
        .await
        .expect("nobody looks it up");
}
