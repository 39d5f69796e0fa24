//! What a stranger on the network sees: bytes in, bytes out, over the loopback interface.
#![allow(clippy::unwrap_used, reason = "the helpers of tests, too")]

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use micro_core::registry::{Node, RegisterOptions, Registry, ServiceRecord};
use micro_mdns::{Interfaces, MdnsConfig, MdnsRegistry};
use tokio::net::UdpSocket;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);

/// A plain client, as Go's is: it asks the group from a port of its own.
struct Stranger {
    socket: UdpSocket,
    port: u16,
    /// Keeps the port from being given to another test.
    _reserved: UdpSocket,
}

impl Stranger {
    async fn new() -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        socket
            .bind(&std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
            .unwrap();
        let reserved = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        Self {
            socket: UdpSocket::from_std(socket.into()).unwrap(),
            port: reserved.local_addr().unwrap().port(),
            _reserved: reserved,
        }
    }

    async fn registry(&self) -> MdnsRegistry {
        let config = MdnsConfig {
            interfaces: Interfaces::Only(vec!["127.0.0.1".into()]),
            port: self.port,
            host: Some("vm".into()),
            ..MdnsConfig::default()
        };
        MdnsRegistry::connect(config).await.unwrap()
    }

    async fn send(&self, packet: &[u8]) {
        self.socket.send_to(packet, (GROUP, self.port)).await.unwrap();
    }

    async fn receive(&self) -> Vec<u8> {
        let mut buffer = vec![0; 65_536];
        let received = timeout(PATIENCE, self.socket.recv(&mut buffer))
            .await
            .expect("an answer");
        buffer.truncate(received.unwrap());
        buffer
    }

    async fn ask(&self, question: &[u8]) -> Vec<u8> {
        let mut query = b"\xf2\x6a\0\0\0\x01\0\0\0\0\0\0".to_vec();
        query.extend_from_slice(question);
        self.send(&query).await;
        self.receive().await
    }
}

async fn register(registry: &MdnsRegistry) {
    let nodes = vec![Node::new("interop.greeter-1", "127.0.0.1:9101")];
    let record = ServiceRecord::new("interop.greeter", "1").with_nodes(nodes);
    registry
        .register(&record, RegisterOptions::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_stranger_is_answered_by_unicast_with_its_question_copied() {
    let stranger = Stranger::new().await;
    let registry = stranger.registry().await;
    register(&registry).await;
    for class in [b"\0\x01", b"\x80\x01"] {
        let question = [&b"\x07interop\x07greeter\x05micro\0\0\x0c"[..], class].concat();
        let answer = stranger.ask(&question).await;
        assert!(
            answer.starts_with(b"\0\0\x84\0\0\x01\0\x04\0\0\0\0"),
            "{answer:x?}"
        );
        assert_eq!(answer[12..12 + question.len()], question);
    }
    let list = stranger.ask(b"\x09_services\x05micro\0\0\x0c\0\x01").await;
    assert_eq!(list.len(), 113);
    assert!(list.windows(11).any(|window| window == b"\x07interop\x07gr"));
    let browse = stranger
        .ask(b"\x09_services\x07_dns-sd\x04_udp\x05micro\0\0\x0c\0\x01")
        .await;
    assert!(browse.windows(8).any(|window| window == b"\x07greeter"));
    let node = stranger
        .ask(b"\x07interop\x09greeter-1\x07interop\x07greeter\x05micro\0\0\x21\0\x01")
        .await;
    assert!(node.starts_with(b"\0\0\x84\0\0\x01\0\x02\0\0\0\0"), "{node:x?}");
}

#[tokio::test]
async fn a_flood_of_garbage_neither_stops_nor_slows_the_registry_for_long() {
    let stranger = Stranger::new().await;
    let (server, client) = (stranger.registry().await, stranger.registry().await);
    register(&server).await;
    let mut state = 7_u64;
    for round in 0..3000_usize {
        let mut packet: Vec<u8> = (0..round % 700)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 40) as u8
            })
            .collect();
        if round % 3 == 0 {
            // A response that claims to be full of records, so that its reader goes on.
            packet.splice(0..0, *b"\0\0\x84\0\0\0\xff\xff\xff\xff\xff\xff");
        }
        stranger.send(&packet).await;
    }
    let began = Instant::now();
    let found = timeout(PATIENCE, async {
        loop {
            if let Ok(found) = client.get_service("interop.greeter").await {
                return found;
            }
        }
    });
    assert_eq!(found.await.unwrap()[0].nodes.len(), 1);
    println!("found {:?} after a flood of garbage", began.elapsed());
}

#[tokio::test]
async fn what_is_not_a_plain_query_is_not_answered() {
    let stranger = Stranger::new().await;
    let registry = stranger.registry().await;
    register(&registry).await;
    let question = b"\x07interop\x07greeter\x05micro\0\0\x0c\0\x01";
    for flags in [b"\x28\0", b"\x02\0", b"\0\x03"] {
        let mut query = [&b"\0\x01"[..], flags, b"\0\x01\0\0\0\0\0\0", question].concat();
        stranger.send(&query).await;
        // Cut short.
        query.truncate(20);
        stranger.send(&query).await;
    }
    // What is answered first is the next plain question.
    let answer = stranger.ask(b"\x09_services\x05micro\0\0\x0c\0\x01").await;
    assert_eq!(answer.len(), 113);
}
