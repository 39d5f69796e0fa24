//! Several registries at once: the way from one to another, without a pause and without a failed call.

use tokio::time::Instant;

use crate::calls::Calls;
use crate::network::{Network, node_of, nodes, unique, until};
use crate::peer::Peer;

/// Everybody moves from one registry to the other, one process after the other, while calls go on.
pub(crate) async fn services_move_from_one_registry_to_another(old: &str, new: &str) {
    let (Some(mut old), Some(new)) = (Network::own(old).await, Network::own(new).await) else {
        return;
    };
    let both = old.and(&new);
    let service = unique("moves");
    let short = ["--register_ttl=6", "--register_interval=1"];

    // Two nodes and a caller that know the old registry alone, then nodes in both.
    let first = Peer::start(&old, &service, "old-1", &short).await;
    let second = Peer::start(&old, &service, "old-2", &short).await;
    let early = Calls::begin(old.client().await, &service);
    early.until_answered_by("latest old-1").await;
    let third = Peer::start(&both, &service, "both-1", &short).await;
    early.until_answered_by("latest both-1").await;
    first.stop().await;
    let fourth = Peer::start(&both, &service, "both-2", &short).await;
    second.stop().await;
    early.until_answered_by("latest both-2").await;

    // A caller in both finds what is in either.
    let late = Calls::begin(both.client().await, &service);
    let fifth = Peer::start(&new, &service, "new-1", &short).await;
    for node in ["both-1", "both-2", "new-1"] {
        late.until_answered_by(&format!("latest {node}")).await;
    }

    // The old registry is gone for good: those in both go on in the new one.
    early.assert_none_failed();
    drop(early);
    old.server().kill().await.unwrap();
    let gone = Instant::now();
    let here = new.registry().await;
    let ids = ["both-1", "both-2", "new-1"].map(|id| node_of(&service, id));
    while gone.elapsed().as_secs() < 8 {
        until("all are in the new registry", || async {
            nodes(&here, &service).await == ids
        })
        .await;
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    late.until_answered_by("latest both-1").await;
    third.stop().await;
    late.until_answered_by("latest new-1").await;
    late.assert_none_failed();
    fourth.stop().await;
    fifth.stop().await;
}
