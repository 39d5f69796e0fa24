//! What members say to each other when nothing happens.

use std::time::Duration;

use micro_core::registry::{Node, RegisterOptions, Registry, ServiceRecord};

use crate::cluster::{config, until};
use micro_gossip::{GossipConfig, GossipKey, GossipRegistry};
use tokio::time::{Instant, sleep};

#[tokio::test]
async fn a_member_at_rest_speaks_a_bounded_number_of_times() {
    let with = |seeds: &[std::net::SocketAddr]| GossipConfig {
        interval: Duration::from_millis(500),
        failure_timeout: Duration::from_secs(5),
        ..config(seeds)
    };
    let mut members = vec![GossipRegistry::connect(with(&[])).await.unwrap()];
    for number in [2, 5] {
        let seed = members[0].local_address();
        while members.len() < number {
            members.push(GossipRegistry::connect(with(&[seed])).await.unwrap());
        }
        let before: Vec<u64> = members.iter().map(GossipRegistry::messages).collect();
        let began = Instant::now();
        sleep(Duration::from_secs(5)).await;
        // A busy machine may take longer, and then more is said.
        let said = members
            .iter()
            .zip(before)
            .map(|(member, before)| member.messages() - before);
        let most = said.max().unwrap() as f64 * 60.0 / began.elapsed().as_secs_f64();
        println!("{number} members: at most {most:.0} messages a minute, sent and received");
        // Each speaks with three others or a seed twice a second, and is spoken to as often; three messages each time.
        assert!(most < 2.0 * 60.0 * 3.0 * 8.0, "{most}");
    }
}

#[tokio::test]
async fn messages_that_just_fill_a_datagram_come_through_sealed() {
    let with = |seeds: &[std::net::SocketAddr]| GossipConfig {
        key: Some(GossipKey::new("k".repeat(32)).unwrap()),
        ..config(seeds)
    };
    let one = GossipRegistry::connect(with(&[])).await.unwrap();
    // Short entries, so that messages are filled to the last bytes.
    let ids: Vec<String> = (0..3_000).map(|number| format!("{number:04}")).collect();
    let nodes = ids.iter().map(|id| {
        let value: String = (0..fastrand::usize(60..100))
            .map(|_| fastrand::alphanumeric())
            .collect();
        Node::new(id, "127.0.0.1:1").with_metadata("value", value)
    });
    let record = ServiceRecord::new("greeter", "1").with_nodes(nodes.collect());
    one.register(&record, RegisterOptions::default()).await.unwrap();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let two = GossipRegistry::connect(with(&[one.local_address()]))
        .await
        .unwrap();
    until(&two, &ids).await;
}

#[tokio::test]
async fn more_than_a_datagram_holds_is_told_in_parts() {
    let one = GossipRegistry::connect(config(&[])).await.unwrap();
    for number in 0..20 {
        let value: String = (0..30_000).map(|_| fastrand::alphanumeric()).collect();
        let id = format!("{number:02}");
        let node = Node::new(id, "127.0.0.1:1").with_metadata("value", value);
        let record = ServiceRecord::new("greeter", "1").with_nodes(vec![node]);
        one.register(&record, RegisterOptions::default()).await.unwrap();
    }
    let ids: Vec<String> = (0..20).map(|number| format!("{number:02}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let began = Instant::now();
    let two = GossipRegistry::connect(config(&[one.local_address()]))
        .await
        .unwrap();
    until(&two, &ids).await;
    println!(
        "600 kB of random text were there {:?} after beginning to join",
        began.elapsed()
    );
}
