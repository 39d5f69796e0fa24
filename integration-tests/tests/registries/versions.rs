//! Two versions of a service side by side.

use micro::client::CallOptions;
use micro::selector::Filter;

use crate::calls::who;
use crate::network::{Network, unique, until};
use crate::peer::Peer;

pub(crate) async fn versions_live_side_by_side(registry: &str) {
    let network = Network::shared(registry).await;
    let service = unique("versions");
    let old = Peer::start(&network, &service, "one", &["--server_version=1.0.0"]).await;
    let new = Peer::start(&network, &service, "two", &["--server_version=2.0.0"]).await;
    let here = network.registry().await;
    until("both versions are found", || async {
        let found = here.get_service(&service).await.unwrap_or_default();
        found.len() == 2 && found.iter().all(|record| record.nodes.len() == 1)
    })
    .await;
    let client = network.client().await;
    for (version, id) in ["1.0.0", "2.0.0"].into_iter().zip(["one", "two"]) {
        for _ in 0..10 {
            let options = CallOptions {
                filters: Filter::version(version).into(),
                ..CallOptions::default()
            };
            let answer = who(&client, &service, options).await.unwrap();
            assert_eq!(answer, format!("{version} {id}"));
        }
    }
    old.stop().await;
    new.stop().await;
}
