//! An API server of the test's own, which is killed and comes back, with its data and without.

use micro_config::ErrorKind;
use micro_kubernetes_config::ObjectKind;
use servers::Kind;

use crate::cluster::{Cluster, Object};
use crate::soon::{follow, soon, until};

/// Puts until the server takes it.
async fn put(object: &Object, number: u8) {
    let text = format!("number: {number}");
    let putting = async {
        while object.put(&[("app.yaml", text.as_str())]).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    soon(putting).await;
}

#[tokio::test]
async fn the_last_good_stays_when_the_server_goes_and_comes_back_with_its_data_or_without() {
    let Some(mut server) = servers::start_or_skip(Kind::Kubernetes).await else {
        return;
    };
    let object = Cluster::at(server.address()).object(ObjectKind::ConfigMap);
    put(&object, 1).await;
    let config = follow(object.source()).await;
    let mut watch = config.watch::<u8>("number");

    server.kill().await.unwrap();
    until(&config, |state| {
        state
            .error()
            .is_some_and(|error| error.kind() == ErrorKind::Unavailable)
    })
    .await;
    assert_eq!(config.get::<u8>("number").unwrap(), 1);
    let error = config.sources()[0].state.error().unwrap().to_string();
    assert!(error.contains(&server.address().to_string()), "{error}");
    server.start_again().await.unwrap();
    put(&object, 2).await;
    assert_eq!(soon(watch.next()).await.unwrap().unwrap(), 2);

    server.start_empty().await.unwrap();
    until(&config, |state| {
        state
            .error()
            .is_some_and(|error| error.kind() == ErrorKind::Missing)
    })
    .await;
    assert_eq!(config.get::<u8>("number").unwrap(), 2);
    put(&object, 3).await;
    assert_eq!(soon(watch.next()).await.unwrap().unwrap(), 3);
}
