//! Two services meet, and one leaves.

use micro::client::CallOptions;

use crate::calls::who;
use crate::network::{Network, nodes, unique, until};
use crate::peer::Peer;

pub(crate) async fn two_services_meet(registry: &str) {
    let network = Network::shared(registry).await;
    let service = unique("meet");
    let peer = Peer::start(&network, &service, "a", &[]).await;
    let client = network.client().await;
    let here = network.registry().await;
    until("the service is found", || async {
        who(&client, &service, CallOptions::default()).await.is_ok()
    })
    .await;
    until("it is listed", || async {
        let listed = here.list_services().await.unwrap_or_default();
        listed.iter().any(|record| record.name == service)
    })
    .await;
    peer.stop().await;
    until("who left in good order is gone", || async {
        nodes(&here, &service).await.is_empty()
    })
    .await;
}
