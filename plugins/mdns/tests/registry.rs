//! Registries that meet over the loopback interface. Each test has a port of its own, so that they can run side by
//! side.
#![allow(clippy::unwrap_used, reason = "the helpers of tests, too")]

use std::time::{Duration, Instant};

use micro_core::ErrorKind;
use micro_core::registry::{
    Action, Change, Endpoint, Node, RegisterOptions, Registry, ServiceRecord, Watcher,
};
use micro_mdns::{Interfaces, MdnsConfig, MdnsRegistry};
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// Long enough for the busiest machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A UDP port that nobody else uses while this process lives.
async fn free_port() -> u16 {
    let socket: &UdpSocket = Box::leak(Box::new(UdpSocket::bind("127.0.0.1:0").await.unwrap()));
    socket.local_addr().unwrap().port()
}

fn on(port: u16) -> MdnsConfig {
    MdnsConfig {
        interfaces: Interfaces::Only(vec!["127.0.0.1".into()]),
        port,
        ..MdnsConfig::default()
    }
}

async fn connect(port: u16) -> MdnsRegistry {
    MdnsRegistry::connect(on(port)).await.unwrap()
}

fn greeter(version: &str, node: &str, port: u16) -> ServiceRecord {
    let node = Node::new(node, format!("127.0.0.1:{port}")).with_metadata("protocol", "mucp");
    let mut record = ServiceRecord::new("greeter", version).with_nodes(vec![node]);
    record.endpoints.push(Endpoint {
        name: "Greeter.Hello".into(),
        ..Endpoint::default()
    });
    record
}

fn ttl(seconds: u64) -> RegisterOptions {
    RegisterOptions {
        ttl: Some(Duration::from_secs(seconds)),
    }
}

async fn next(watcher: &mut Watcher) -> Change {
    timeout(PATIENCE, watcher.next())
        .await
        .expect("a change")
        .unwrap()
}

async fn find(registry: &MdnsRegistry, nodes: usize) -> Vec<ServiceRecord> {
    let look = async {
        loop {
            match registry.get_service("greeter").await {
                Ok(found) if found.iter().map(|record| record.nodes.len()).sum::<usize>() == nodes => {
                    return found;
                }
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
            }
        }
    };
    timeout(PATIENCE, look).await.expect("all nodes")
}

#[tokio::test]
async fn a_registered_node_is_found_by_another_registry_as_it_was_registered() {
    let port = free_port().await;
    let (server, client) = (connect(port).await, connect(port).await);
    let record = greeter("1", "greeter-1", 9101);
    server
        .register(&record, RegisterOptions::default())
        .await
        .unwrap();
    assert_eq!(find(&client, 1).await, std::slice::from_ref(&record));
    assert_eq!(
        find(&server, 1).await,
        std::slice::from_ref(&record),
        "it finds its own as well"
    );
    server.deregister(&record).await.unwrap();
    for registry in [&server, &client] {
        let error = registry.get_service("greeter").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.detail().contains("greeter"), "{error}");
    }
    server.deregister(&record).await.unwrap();
}

#[tokio::test]
async fn versions_stay_apart_even_with_one_node_id() {
    let port = free_port().await;
    let (server, client) = (connect(port).await, connect(port).await);
    for record in [
        greeter("1", "a", 9101),
        greeter("2", "a", 9102),
        greeter("2", "b", 9103),
    ] {
        server
            .register(&record, RegisterOptions::default())
            .await
            .unwrap();
    }
    let found = find(&client, 3).await;
    let shape: Vec<_> = found
        .iter()
        .map(|record| (record.version.as_str(), record.nodes.len()))
        .collect();
    assert_eq!(shape, [("1", 1), ("2", 2)]);
}

#[tokio::test]
async fn services_are_listed_once_a_version() {
    let port = free_port().await;
    let (one, other) = (connect(port).await, connect(port).await);
    assert!(other.list_services().await.unwrap().is_empty());
    for record in [
        greeter("1", "a", 9101),
        greeter("1", "b", 9102),
        greeter("2", "c", 9103),
    ] {
        one.register(&record, RegisterOptions::default()).await.unwrap();
    }
    let counter =
        ServiceRecord::new("counter.of-things", "").with_nodes(vec![Node::new("x.1", "[::1]:9104")]);
    other
        .register(&counter, RegisterOptions::default())
        .await
        .unwrap();
    for registry in [&one, &other] {
        let listed = timeout(PATIENCE, async {
            loop {
                let listed = registry.list_services().await.unwrap();
                if listed.len() >= 3 {
                    return listed;
                }
            }
        });
        let listed = listed.await.unwrap();
        let names: Vec<_> = listed
            .iter()
            .map(|record| (record.name.as_str(), record.version.as_str()))
            .collect();
        assert_eq!(
            names,
            [("counter.of-things", ""), ("greeter", "1"), ("greeter", "2")]
        );
    }
    assert_eq!(one.get_service("counter.of-things").await.unwrap(), [counter]);
}

#[tokio::test]
async fn a_watcher_hears_at_once_what_comes_changes_and_goes() {
    let port = free_port().await;
    let (server, client) = (connect(port).await, connect(port).await);
    server
        .register(&greeter("1", "before", 9100), RegisterOptions::default())
        .await
        .unwrap();
    let mut watcher = client.watch(Some("greeter")).await.unwrap();
    let mut of_all = client.watch(None).await.unwrap();
    let mut own = server.watch(Some("greeter")).await.unwrap();
    let record = greeter("1", "greeter-1", 9101);
    let changed = greeter("1", "greeter-1", 9102);
    let mut slowest = Duration::ZERO;
    let steps = [
        (&record, Action::Create),
        (&changed, Action::Update),
        (&changed, Action::Delete),
    ];
    for (record, action) in steps {
        let began = Instant::now();
        match action {
            Action::Delete => server.deregister(record).await.unwrap(),
            _ => server.register(record, ttl(90)).await.unwrap(),
        }
        for watcher in [&mut watcher, &mut of_all, &mut own] {
            let service = record.clone();
            assert_eq!(next(watcher).await, Change { action, service });
        }
        slowest = slowest.max(began.elapsed());
    }
    println!("a watcher heard within {slowest:?}");
    // Repeated announcements and goodbyes are no news.
    assert!(
        timeout(Duration::from_millis(1500), watcher.next())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_killed_node_is_gone_after_its_ttl_and_a_living_one_stays() {
    let port = free_port().await;
    let (killed, living, client) = (connect(port).await, connect(port).await, connect(port).await);
    let mut watcher = client.watch(Some("greeter")).await.unwrap();
    killed
        .register(&greeter("1", "killed", 9101), ttl(2))
        .await
        .unwrap();
    assert_eq!(next(&mut watcher).await.service, greeter("1", "killed", 9101));
    living
        .register(&greeter("1", "living", 9102), RegisterOptions::default())
        .await
        .unwrap();
    assert_eq!(next(&mut watcher).await.service, greeter("1", "living", 9102));
    let began = Instant::now();
    killed.kill().await;
    let gone = next(&mut watcher).await;
    assert_eq!(
        (gone.action, gone.service.nodes[0].id.as_str()),
        (Action::Delete, "killed")
    );
    println!(
        "a killed node with a ttl of 2 s was gone after {:?}",
        began.elapsed()
    );
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!(find(&client, 1).await, [greeter("1", "living", 9102)]);
    assert!(
        killed
            .get_service("greeter")
            .await
            .unwrap_err()
            .detail()
            .contains("closed")
    );
}

#[tokio::test]
async fn a_node_that_is_not_registered_again_lapses_and_one_that_is_stays() {
    let port = free_port().await;
    let (server, client) = (connect(port).await, connect(port).await);
    let mut watcher = client.watch(Some("greeter")).await.unwrap();
    server
        .register(&greeter("1", "stays", 9101), ttl(1))
        .await
        .unwrap();
    assert_eq!(next(&mut watcher).await.action, Action::Create);
    let refresh = async {
        loop {
            tokio::time::sleep(Duration::from_millis(250)).await;
            server
                .register(&greeter("1", "stays", 9101), ttl(1))
                .await
                .unwrap();
        }
    };
    let watch = async {
        assert!(
            timeout(Duration::from_secs(3), watcher.next()).await.is_err(),
            "nothing happens"
        );
        server
            .register(&greeter("1", "lapses", 9102), ttl(1))
            .await
            .unwrap();
        assert_eq!(next(&mut watcher).await.action, Action::Create);
        let gone = next(&mut watcher).await;
        assert_eq!(
            (gone.action, gone.service.nodes[0].id.as_str()),
            (Action::Delete, "lapses")
        );
    };
    tokio::select! {
        () = refresh => {}
        () = watch => {}
    }
}

#[tokio::test]
async fn dropping_the_last_clone_says_goodbye_and_ends_watchers() {
    let port = free_port().await;
    let (server, client) = (connect(port).await, connect(port).await);
    let mut watcher = client.watch(None).await.unwrap();
    server
        .register(&greeter("1", "a", 9101), RegisterOptions::default())
        .await
        .unwrap();
    assert_eq!(next(&mut watcher).await.action, Action::Create);
    drop(server.clone());
    let mut own = server.watch(None).await.unwrap();
    drop(server);
    assert_eq!(next(&mut watcher).await.action, Action::Delete);
    let stopped = timeout(PATIENCE, own.next()).await.unwrap().unwrap_err();
    assert!(stopped.detail().contains("watcher stopped"), "{stopped}");
    client.close().await;
    assert!(timeout(PATIENCE, watcher.next()).await.unwrap().is_err());
    assert!(client.watch(None).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_nodes_of_several_registries_are_all_found() {
    let port = free_port().await;
    let client = connect(port).await;
    let mut watcher = client.watch(Some("greeter")).await.unwrap();
    let mut servers = Vec::new();
    for server in 0..10 {
        let registry = connect(port).await;
        for node in 0..5 {
            let record = greeter("1", &format!("node-{server}-{node}"), 9000 + server * 10 + node);
            registry
                .register(&record, RegisterOptions::default())
                .await
                .unwrap();
        }
        servers.push(registry);
    }
    for _ in 0..50 {
        assert_eq!(next(&mut watcher).await.action, Action::Create);
    }
    find(&client, 50).await;
    let fresh = connect(port).await;
    let began = Instant::now();
    let found = fresh.get_service("greeter").await.unwrap();
    println!(
        "a fresh client found {} of 50 nodes in {:?}",
        found[0].nodes.len(),
        began.elapsed()
    );
    let found = fresh.get_service("greeter").await.unwrap();
    assert_eq!(found[0].nodes.len(), 50, "known nodes are waited for");
}

#[tokio::test]
async fn the_first_lookup_of_a_fresh_client_is_quick() {
    let port = free_port().await;
    let server = connect(port).await;
    server
        .register(&greeter("1", "a", 9101), RegisterOptions::default())
        .await
        .unwrap();
    let mut times = Vec::new();
    for _ in 0..21 {
        let client = connect(port).await;
        let began = Instant::now();
        find(&client, 1).await;
        times.push(began.elapsed());
    }
    times.sort();
    println!("first lookup: p50 {:?}, worst {:?}", times[10], times[20]);
    assert!(times[10] < Duration::from_millis(100), "{times:?}");
    let began = Instant::now();
    assert!(server.get_service("nobody").await.is_err());
    println!("not found after {:?}", began.elapsed());
}

#[tokio::test]
async fn lookups_of_one_service_share_one_question() {
    let port = free_port().await;
    let (server, client) = (connect(port).await, connect(port).await);
    server
        .register(&greeter("1", "a", 9101), RegisterOptions::default())
        .await
        .unwrap();
    let lookups = (0..100).map(|_| client.get_service("greeter"));
    let began = Instant::now();
    for found in futures_util::future::join_all(lookups).await {
        assert_eq!(found.unwrap()[0].nodes.len(), 1);
    }
    println!("a hundred lookups at once took {:?}", began.elapsed());
    // One that is dropped does not spoil the others.
    let (dropped, kept) = (client.get_service("greeter"), client.get_service("greeter"));
    let dropped = timeout(Duration::from_millis(1), dropped);
    let (dropped, kept) = tokio::join!(dropped, kept);
    assert!(dropped.is_err() && kept.is_ok());
}

#[tokio::test]
async fn a_lookup_right_after_a_watch_began_returns_what_that_found_and_obeys_goodbyes() {
    let port = free_port().await;
    let (killed, leaving) = (connect(port).await, connect(port).await);
    for (server, node) in [(&killed, "killed"), (&leaving, "leaving")] {
        let record = greeter("1", node, 9101);
        server
            .register(&record, RegisterOptions::default())
            .await
            .unwrap();
    }
    // What is just now shall last for the whole test.
    let quiet = Duration::from_secs(3600);
    let client = MdnsRegistry::connect(MdnsConfig { quiet, ..on(port) })
        .await
        .unwrap();
    let mut watcher = client.watch(Some("greeter")).await.unwrap();
    let nodes = async || {
        let found = client.get_service("greeter").await.unwrap();
        let nodes = found.into_iter().flat_map(|version| version.nodes);
        let mut ids: Vec<_> = nodes.map(|node| node.id).collect();
        ids.sort();
        ids
    };
    assert_eq!(nodes().await, ["killed", "leaving"]);
    killed.kill().await;
    assert_eq!(nodes().await, ["killed", "leaving"], "nobody was asked");
    leaving.deregister(&greeter("1", "leaving", 9101)).await.unwrap();
    assert_eq!(next(&mut watcher).await.action, Action::Delete);
    assert_eq!(nodes().await, ["killed"]);
    drop(watcher);
    assert!(
        client.get_service("greeter").await.is_err(),
        "without a watch, the network is asked"
    );
}

#[tokio::test]
async fn large_records_travel_and_too_large_ones_are_refused_by_name() {
    let port = free_port().await;
    let (server, client) = (connect(port).await, connect(port).await);
    let noise = |bytes: usize| -> String {
        let mut state = 1_u64;
        let mut letter = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'!' + (state >> 33) as u8 % 90)
        };
        (0..bytes).map(|_| letter()).collect()
    };
    let mut large = greeter("1", "large", 9101);
    large.nodes[0].metadata.insert("noise".into(), noise(35_000));
    large.nodes[0]
        .metadata
        .insert("even".into(), "a".repeat(1_000_000));
    server.register(&large, RegisterOptions::default()).await.unwrap();
    assert_eq!(find(&client, 1).await, [large]);
    let mut too_large = greeter("1", "too-large", 9102);
    too_large.nodes[0].metadata.insert("noise".into(), noise(60_000));
    let error = server
        .register(&too_large, RegisterOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(
        error.detail().contains("greeter") && error.detail().contains("too-large"),
        "{error}"
    );
    assert!(error.detail().contains("65507"), "{error}");
    too_large.nodes[0]
        .metadata
        .insert("noise".into(), "a".repeat(3_000_000));
    let error = server
        .register(&too_large, RegisterOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
}

#[tokio::test]
async fn names_that_dns_cannot_carry_are_refused_and_never_found() {
    let server = connect(free_port().await).await;
    let long = "x".repeat(64);
    let longer = ["y".repeat(60), "y".repeat(60), "y".repeat(60), "y".repeat(60)].join(".");
    for (name, node, expected) in [
        (long.as_str(), "a", "63"),
        ("greeter", long.as_str(), "63"),
        (longer.as_str(), "a", "255"),
        ("", "a", "empty"),
        ("a..b", "a", "empty"),
        ("greeter", "", "empty"),
        ("_services", "a", "_services"),
    ] {
        let record = ServiceRecord::new(name, "1").with_nodes(vec![Node::new(node, "127.0.0.1:1")]);
        let error = server
            .register(&record, RegisterOptions::default())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadRequest);
        assert!(
            error.detail().contains(expected) && error.detail().contains(name),
            "{error}"
        );
        server.deregister(&record).await.unwrap();
        assert_eq!(
            server.get_service(name).await.unwrap_err().kind(),
            ErrorKind::NotFound
        );
    }
}

#[tokio::test]
async fn addresses_that_nobody_can_call_are_refused() {
    let server = connect(free_port().await).await;
    for address in [
        "0.0.0.0:80",
        "[::]:80",
        "localhost:80",
        "127.0.0.1",
        "127.0.0.1:0",
        "",
        "224.0.0.1:1",
    ] {
        let record = ServiceRecord::new("greeter", "1").with_nodes(vec![Node::new("a", address)]);
        let error = server
            .register(&record, RegisterOptions::default())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadRequest);
        assert!(
            error.detail().contains(address) && error.detail().contains("greeter"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn names_of_any_letters_work() {
    let port = free_port().await;
    let (server, client) = (connect(port).await, connect(port).await);
    for name in [
        "grüße.数",
        "with space",
        "back\\slash",
        "a/b:c*d(e)\"f\";@",
        "UPPER",
        "upper",
    ] {
        let record =
            ServiceRecord::new(name, "latest ü").with_nodes(vec![Node::new("nöde 1.x", "127.0.0.1:9101")]);
        server
            .register(&record, RegisterOptions::default())
            .await
            .unwrap();
        assert_eq!(client.get_service(name).await.unwrap(), [record], "{name}");
    }
    assert!(client.get_service("Upper").await.is_err());
}

#[tokio::test]
async fn an_interface_that_does_not_exist_is_named_with_those_that_do() {
    let config = MdnsConfig::from_addresses(&["nothing0".to_owned()]).unwrap();
    let error = MdnsRegistry::connect(config).await.unwrap_err();
    assert!(
        error.detail().contains("nothing0") && error.detail().contains("127.0.0.1"),
        "{error}"
    );
}
