//! Many watches.

use micro_core::registry::{Action, Registry};
use micro_testkit::proxy::Proxy;

use crate::cluster::{Pod, address, connect};
use crate::told::{LONG, name, next, record};

#[tokio::test]
async fn many_watches_share_a_few_connections_and_all_are_told() {
    const WATCHERS: usize = 150;
    let pod = Pod::start().await;
    let proxy = Proxy::open(address()).await.unwrap();
    let mut config = pod.config();
    config.server = format!("https://{}", proxy.address());
    let registry = connect(config).await.unwrap();
    let name = name();
    let mut watchers = Vec::new();
    for _ in 0..WATCHERS {
        watchers.push(registry.watch(Some(&name)).await.unwrap());
    }
    assert!(proxy.connections() <= 4, "{} connections", proxy.connections());
    registry
        .register(&record(&name, "1", &["a"]), LONG)
        .await
        .unwrap();
    for watcher in &mut watchers {
        assert_eq!(next(watcher).await.action, Action::Create);
    }
}
