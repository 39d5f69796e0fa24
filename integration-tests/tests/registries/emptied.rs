//! The registry's server comes back without its data, and everybody is there again.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::calls::Calls;
use crate::network::{Network, node_of, nodes, unique, until};
use crate::peer::Peer;

/// How often each node registers.
const INTERVAL: Duration = Duration::from_secs(2);
/// How much later a busy machine may be.
const SLACK: Duration = Duration::from_secs(10);

pub(crate) async fn everybody_registers_again_with_an_emptied_server(registry: &str) {
    let Some(mut network) = Network::own(registry).await else {
        return;
    };
    let service = unique("emptied");
    let ids = ["a", "b", "c"];
    let registered = ids.map(|id| node_of(&service, id));
    let interval = format!("--register_interval={}", INTERVAL.as_secs());
    let mut peers = Vec::new();
    for id in ids {
        peers.push(Peer::start(&network, &service, id, &["--register_ttl=6", &interval]).await);
    }
    let calls = Calls::begin(network.client().await, &service);
    for id in ids {
        calls.until_answered_by(&format!("latest {id}")).await;
    }
    network.server().kill().await.unwrap();
    sleep(INTERVAL).await;
    network.start_empty().await;
    let back = Instant::now();
    let here = network.registry().await;
    until("all are registered again", || async {
        nodes(&here, &service).await == registered
    })
    .await;
    let took = back.elapsed();
    assert!(
        took < INTERVAL * 2 + SLACK,
        "registered again only after {took:?}"
    );
    for id in ids {
        calls.until_answered_by(&format!("latest {id}")).await;
    }
    calls.assert_none_failed();
    for peer in peers {
        peer.stop().await;
    }
}
