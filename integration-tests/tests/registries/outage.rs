//! A client whose registry is cut off, slow, and silent goes on calling, and learns afterwards what changed.

use std::time::Duration;

use tokio::time::sleep;

use crate::calls::Calls;
use crate::network::{Network, unique};
use crate::peer::Peer;
use crate::toxiproxy::Toxiproxy;

pub(crate) async fn calls_go_on_through_outages(registry: &str) {
    let network = Network::shared(registry).await;
    let service = unique("outage");
    let proxy = Toxiproxy::open(&service, network.address()).await;
    let first = Peer::start(&network, &service, "a", &[]).await;
    let client = network.at(proxy.address).client().await;
    let calls = Calls::begin(client, &service);
    calls.until_answered_by("latest a").await;

    proxy.delay(300).await;
    let second = Peer::start(&network, &service, "b", &[]).await;
    calls.until_answered_by("latest b").await;
    proxy.cure("latency").await;

    proxy.cut().await;
    let third = Peer::start(&network, &service, "c", &[]).await;
    // Who leaves meanwhile is not called any more, though the registry cannot say so.
    first.stop().await;
    sleep(Duration::from_secs(1)).await;
    calls.until_answered_by("latest b").await;
    proxy.mend().await;
    calls.until_answered_by("latest c").await;

    proxy.silence().await;
    let fourth = Peer::start(&network, &service, "d", &[]).await;
    sleep(Duration::from_secs(1)).await;
    second.stop().await;
    calls.until_answered_by("latest c").await;
    proxy.cure("timeout").await;
    calls.until_answered_by("latest d").await;

    calls.assert_none_failed();
    third.stop().await;
    fourth.stop().await;
    proxy.close().await;
}
