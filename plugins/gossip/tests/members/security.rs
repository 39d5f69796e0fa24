//! Strangers, and bad input.

use std::time::Duration;

use chitchat::transport::UdpTransport;
use chitchat::{ChitchatConfig, ChitchatId, FailureDetectorConfig, ProtocolVersion, spawn_chitchat};
use micro_core::registry::Registry;
use micro_gossip::{GossipConfig, GossipKey, GossipRegistry};
use tokio::net::UdpSocket;

use crate::cluster::{config, member, nodes, register, until};

fn key(text: &str) -> Option<GossipKey> {
    Some(GossipKey::new(text.repeat(32)).unwrap())
}

#[tokio::test]
async fn who_has_no_key_or_another_one_neither_hears_nor_is_heard() {
    let with = |key, seeds: &[std::net::SocketAddr]| GossipConfig {
        key,
        join_timeout: Duration::from_millis(500),
        ..config(seeds)
    };
    let one = GossipRegistry::connect(with(key("a"), &[])).await.unwrap();
    register(&one, "one").await;
    let seeds = [one.local_address()];
    let friend = GossipRegistry::connect(with(key("a"), &seeds)).await.unwrap();
    let other = GossipRegistry::connect(with(key("b"), &seeds)).await.unwrap();
    let none = GossipRegistry::connect(with(None, &seeds)).await.unwrap();
    register(&other, "other").await;
    register(&none, "none").await;
    register(&friend, "friend").await;
    until(&friend, &["one", "friend"]).await;
    until(&one, &["one", "friend"]).await;
    assert_eq!(nodes(&other).await.len(), 1);
    assert_eq!(nodes(&none).await.len(), 1);
}

#[tokio::test]
async fn any_bytes_are_no_harm() {
    for key in [None, key("a")] {
        let one = GossipRegistry::connect(GossipConfig {
            key: key.clone(),
            ..config(&[])
        })
        .await
        .unwrap();
        register(&one, "one").await;
        let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        for length in 0..500_usize {
            let mut bytes: Vec<u8> = (0..length * 3).map(|_| fastrand::u8(..)).collect();
            // Half of them begin as messages do.
            if length % 2 == 0 {
                let head = [
                    &45_139_u16.to_le_bytes()[..],
                    &[(length % 3) as u8, (length % 5) as u8],
                ]
                .concat();
                let head_length = head.len().min(bytes.len());
                bytes[..head_length].copy_from_slice(&head[..head_length]);
            }
            stranger.send_to(&bytes, one.local_address()).await.unwrap();
            if length % 50 == 0 {
                tokio::task::yield_now().await;
            }
        }
        let two = GossipRegistry::connect(GossipConfig {
            key,
            ..config(&[one.local_address()])
        })
        .await
        .unwrap();
        until(&two, &["one"]).await;
    }
}

/// A member of another make, with these entries.
async fn stranger(seed: std::net::SocketAddr, entries: &[(&str, &str)]) -> chitchat::ChitchatHandle {
    let reserved = std::net::UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let config = ChitchatConfig {
        chitchat_id: ChitchatId::new("stranger", 1, reserved),
        cluster_id: "micro".to_owned(),
        gossip_interval: Duration::from_millis(50),
        listen_addr: reserved,
        seed_nodes: vec![seed.to_string()],
        failure_detector_config: FailureDetectorConfig::default(),
        marked_for_deletion_grace_period: Duration::from_secs(60),
        catchup_callback: None,
        extra_liveness_predicate: None,
        protocol_version: ProtocolVersion::V1,
    };
    let entries = entries
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    spawn_chitchat(config, entries.collect(), &UdpTransport)
        .await
        .unwrap()
}

#[tokio::test]
async fn entries_that_are_no_records_are_left_out() {
    let one = member(&[]).await;
    let record = serde_json::to_string(&crate::cluster::record("good")).unwrap();
    let entries = [
        ("s/greeter/1/good", record.as_str()),
        ("s/greeter/1/liar", record.as_str()),
        ("s/greeter/1/broken", "{"),
        ("s/greeter/1", record.as_str()),
        ("s/greeter/1/2/3", record.as_str()),
        ("other", "x"),
    ];
    let stranger = stranger(one.local_address(), &entries).await;
    until(&one, &["good"]).await;
    assert!(one.list_services().await.is_ok());
    stranger.shutdown().await.unwrap();
}

/// Hands datagrams on to a member, with some bytes exchanged, and its answers back.
async fn relay(
    member: std::net::SocketAddr,
    from: &'static [u8],
    to: &'static [u8],
) -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
    let front = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let back = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = front.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (mut asked, mut answered) = (vec![0; 65_507], vec![0; 65_507]);
        let mut peer = member;
        loop {
            tokio::select! {
                Ok((length, who)) = front.recv_from(&mut asked) => {
                    peer = who;
                    if let Some(at) = asked[..length].windows(from.len()).position(|window| window == from) {
                        asked[at..at + to.len()].copy_from_slice(to);
                    }
                    let _ = back.send_to(&asked[..length], member).await;
                }
                Ok((length, _)) = back.recv_from(&mut answered) => {
                    let _ = front.send_to(&answered[..length], peer).await;
                }
            }
        }
    });
    (address, task)
}

#[tokio::test]
async fn gossip_that_a_stranger_brought_down_is_begun_anew_with_what_was_registered() {
    let one = member(&[]).await;
    let two = member(&[one.local_address()]).await;
    register(&one, "one").await;
    until(&two, &["one"]).await;
    let mut watcher = one.watch(Some("greeter")).await.unwrap();
    // chitchat looks at the first byte of a key, which is not the whole first letter of this one.
    let relay = relay(one.local_address(), b"qzqz", "üqz".as_bytes()).await;
    let stranger = stranger(relay.0, &[("qzqz", "x")]).await;
    let has_begun_anew = async {
        let lives = |chitchat: &mut chitchat::Chitchat| {
            let members = chitchat.node_states().keys();
            members
                .filter(|member| member.gossip_advertise_addr == one.local_address())
                .count()
        };
        while stranger.with_chitchat(lives).await < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(crate::cluster::PATIENCE, has_begun_anew)
        .await
        .unwrap();
    relay.1.abort();
    stranger.shutdown().await.unwrap();
    register(&two, "two").await;
    until(&one, &["one", "two"]).await;
    until(&two, &["one", "two"]).await;
    let told = async {
        loop {
            if let Ok(change) = watcher.next().await
                && change.service.nodes[0].id == "two"
            {
                return;
            }
        }
    };
    tokio::time::timeout(crate::cluster::PATIENCE, told)
        .await
        .unwrap();
}
