//! A process that is killed disappears by itself.

use std::time::Duration;

use micro::registry::Action;
use tokio::time::timeout;

use crate::network::{Network, node_of, nodes, unique, until};
use crate::peer::Peer;

/// What the record lives at most after its process; servers take their time on top of the time to live.
const GONE_WITHIN: Duration = Duration::from_secs(30);

pub(crate) async fn a_killed_process_disappears(registry: &str) {
    let network = Network::shared(registry).await;
    let service = unique("killed");
    let ids = ["dies", "lives"].map(|id| node_of(&service, id));
    let short = ["--register_ttl=4", "--register_interval=1"];
    let here = network.registry().await;
    let mut watcher = here.watch(Some(&service)).await.unwrap();
    let dies = Peer::start(&network, &service, "dies", &short).await;
    let lives = Peer::start(&network, &service, "lives", &short).await;
    until("both are found", || async { nodes(&here, &service).await == ids }).await;
    dies.kill().await;
    let told = timeout(GONE_WITHIN, async {
        loop {
            let change = watcher.next().await.unwrap();
            if change.action == Action::Delete {
                return change.service;
            }
        }
    });
    let told = told.await.expect("the watcher is told of the death");
    assert_eq!(told.nodes[0].id, ids[0]);
    until("look-ups agree", || async {
        nodes(&here, &service).await == ids[1..]
    })
    .await;
    lives.stop().await;
}
