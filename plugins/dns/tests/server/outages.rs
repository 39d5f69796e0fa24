//! Name servers that are away, slow, or answer nonsense.

use std::net::SocketAddr;
use std::time::Duration;

use micro_core::ErrorKind;
use micro_core::registry::{Action, Registry};
use micro_dns::{DnsConfig, DnsRegistry};
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use crate::zone::{PATIENCE, Zone, config, found};

/// Answers each datagram by a function, until dropped.
struct Fake(SocketAddr, AbortHandle);

impl Fake {
    async fn start(answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                for answer in answer(&buffer[..length]) {
                    let _ = socket.send_to(&answer, from).await;
                }
            }
        });
        Self(address, task.abort_handle())
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.1.abort();
    }
}

/// An answer with that code, and no records.
fn coded(question: &[u8], code: u8) -> Vec<u8> {
    let mut answer = question.to_vec();
    answer[2] |= 0x80;
    answer[3] = 0x80 | code;
    answer
}

fn is_about(question: &[u8], kind: u8) -> bool {
    // The type stands behind the name, which ends with a zero.
    let end = question[12..].iter().position(|byte| *byte == 0).unwrap() + 12;
    question[end + 2] == kind
}

const SRV: u8 = 33;

#[tokio::test]
async fn a_server_that_is_away_is_named_and_a_watcher_goes_on_when_it_is_back() {
    let mut zone = Zone::start().await;
    zone.srv("greeter", 0, 80, "one").await;
    zone.host("one", "192.0.2.1").await;
    let registry = zone.registry().await;
    let mut watcher = registry.watch(Some("greeter")).await.unwrap();
    zone.stop().await;
    let error = registry.get_service("greeter").await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout),
        "{error}"
    );
    assert!(
        error.detail().contains(&zone.address.to_string()) && error.detail().contains("greeter"),
        "{error}"
    );
    let trouble = timeout(PATIENCE, watcher.next()).await.unwrap().unwrap_err();
    assert!(
        trouble.detail().contains("the watch of greeter in DNS"),
        "{trouble}"
    );
    zone.srv("greeter", 0, 81, "one").await;
    zone.run().await;
    let change = timeout(PATIENCE, watcher.next()).await.unwrap().unwrap();
    assert_eq!(
        (change.action, change.service.nodes[0].address.as_str()),
        (Action::Create, "192.0.2.1:81")
    );
    assert_eq!(found(&registry, "greeter").await[0].nodes.len(), 2);
    let error = {
        zone.stop().await;
        DnsRegistry::connect(zone.config()).await.unwrap_err()
    };
    assert!(error.detail().contains(&zone.address.to_string()), "{error}");
}

#[tokio::test]
async fn a_silent_server_is_given_up_in_time() {
    let fake = Fake::start(|question| match is_about(question, SRV) {
        true => vec![],
        false => vec![coded(question, 3)],
    })
    .await;
    let registry = DnsRegistry::connect(config(fake.0)).await.unwrap();
    let began = Instant::now();
    let error = registry.get_service("greeter").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(error.detail().contains(&fake.0.to_string()), "{error}");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_server_that_refuses_is_quoted() {
    for (code, word) in [(2, "SERVFAIL"), (5, "REFUSED"), (1, "FORMERR"), (4, "NOTIMP")] {
        let fake = Fake::start(move |question| vec![coded(question, code)]).await;
        let registry = DnsRegistry::connect(config(fake.0)).await.unwrap();
        for error in [
            registry.get_service("greeter").await.unwrap_err(),
            registry.watch(Some("greeter")).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            assert!(error.detail().contains(word), "{error}");
        }
    }
}

#[tokio::test]
async fn nonsense_is_an_error_and_no_harm() {
    let fake = Fake::start(|question| {
        if !is_about(question, SRV) {
            return vec![coded(question, 3)];
        }
        let mut lies = coded(question, 0);
        // Counts of records that are not there.
        lies[6..12].fill(0xff);
        let mut loops = coded(question, 0);
        loops[7] = 1;
        // A name that points to itself.
        let at = loops.len() as u8;
        loops.extend([
            0xc0,
            at,
            0,
            SRV,
            0,
            1,
            0,
            0,
            0,
            9,
            0,
            8,
            0,
            0,
            0,
            0,
            0,
            80,
            0xc0,
            at + 16,
        ]);
        vec![vec![], question[..5].to_vec(), vec![0xff; 600], lies, loops]
    })
    .await;
    let registry = DnsRegistry::connect(config(fake.0)).await.unwrap();
    let error = registry.get_service("greeter").await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout),
        "{error}"
    );
    assert!(error.detail().contains(&fake.0.to_string()), "{error}");
}

#[tokio::test]
async fn random_bytes_are_no_harm() {
    let fake = Fake::start(|question| {
        if !is_about(question, SRV) {
            return vec![coded(question, 3)];
        }
        (0..20)
            .map(|round| {
                let mut answer = coded(question, 0);
                answer[7] = 1 + round % 3;
                answer.extend((0..u16::from(round) * 7).map(|at| (at as u8).wrapping_mul(31) ^ round));
                answer
            })
            .collect()
    })
    .await;
    let config = DnsConfig {
        request_timeout: Duration::from_millis(500),
        ..config(fake.0)
    };
    let registry = DnsRegistry::connect(config).await.unwrap();
    let _ = timeout(PATIENCE, registry.get_service("greeter")).await.unwrap();
}

#[tokio::test]
async fn one_host_that_cannot_be_asked_for_leaves_the_others_alone() {
    // One target's name is in a zone that this server does not have: it is refused.
    let zone = Zone::start().await;
    zone.srv("greeter", 0, 80, "one").await;
    zone.srv("greeter", 0, 80, "two.elsewhere.example.").await;
    zone.srv("lonely", 0, 80, "two.elsewhere.example.").await;
    zone.host("one", "192.0.2.1").await;
    let registry = zone.registry().await;
    assert_eq!(found(&registry, "greeter").await[0].nodes.len(), 1);
    let error = registry.get_service("lonely").await.unwrap_err();
    assert!(error.detail().contains("REFUSED"), "{error}");
}
