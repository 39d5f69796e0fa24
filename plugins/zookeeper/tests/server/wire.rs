//! The paths and the bytes are those of Go Micro.

use micro_core::ErrorKind;
use micro_core::registry::{Action, Node, RegisterOptions, Registry, ServiceRecord};
use micro_zookeeper::ZookeeperRegistry;

use crate::zookeeper::{LONG, connect, greeter, ids, next, raw, shared};

const CAPTURED: &str = include_str!("../captured/greeter.json");

#[tokio::test]
async fn what_go_micro_wrote_is_read_and_what_is_written_has_the_same_bytes() {
    let config = shared();
    let (root, mut raw) = (config.path.clone(), raw().await);
    let registry = connect(config).await;
    let mut watcher = registry.watch(Some("interop.greeter")).await.unwrap();
    let directory = format!("{root}/interop.greeter");
    let path = format!("{directory}/interop.greeter-node-1");
    raw.create(&root, "").await;
    raw.create(&directory, "").await;
    raw.create(&path, CAPTURED).await;
    let told = next(&mut watcher).await;
    assert_eq!(told.action, Action::Create);
    let found = registry.get_service("interop.greeter").await.unwrap();
    assert_eq!(found, [told.service]);
    assert_eq!(found[0].endpoints.len(), 4);

    // Registering the same node makes it end with its process; a mere reader sees no difference.
    registry.register(&found[0], LONG).await.unwrap();
    let seen = raw.get(&path).await.unwrap();
    assert_eq!(seen.data, CAPTURED);
    assert_ne!(seen.owner, 0);
    registry.register(&found[0], LONG).await.unwrap();
    assert_eq!(
        raw.get(&path).await.unwrap(),
        seen,
        "what is there is not written again"
    );
    registry
        .register(&found[0], RegisterOptions::default())
        .await
        .unwrap();
    assert_eq!(
        raw.get(&path).await.unwrap().owner,
        0,
        "without a time to live it stays"
    );

    registry.deregister(&found[0]).await.unwrap();
    assert_eq!(
        raw.get(&directory).await,
        None,
        "an empty directory is taken away"
    );
    registry.register(&found[0], LONG).await.unwrap();
    assert_eq!(raw.get(&path).await.unwrap().data, CAPTURED);
    assert_eq!(raw.acl(&path).await, [(31, "world:anyone".to_owned())]);
    registry.deregister(&found[0]).await.unwrap();
    assert_eq!(raw.delete(&root).await, 0, "nothing is left behind");
}

#[tokio::test]
async fn slashes_become_dashes_and_nobody_loses_a_node_by_it() {
    let config = shared();
    let (root, mut raw) = (config.path.clone(), raw().await);
    let registry = connect(config).await;
    let slash = ServiceRecord::new("a/b", "1").with_nodes(vec![Node::new("n/1", "127.0.0.1:1")]);
    let dash = ServiceRecord::new("a-b", "1").with_nodes(vec![Node::new("n-1", "127.0.0.1:2")]);
    registry.register(&slash, LONG).await.unwrap();
    let error = registry.register(&dash, LONG).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(
        error.detail().contains(&format!("{root}/a-b/n-1")) && error.detail().contains("a/b"),
        "{error}"
    );
    registry.deregister(&dash).await.unwrap();
    assert_eq!(ids(&registry.get_service("a/b").await.unwrap()), ["n/1"]);
    assert!(registry.get_service("a-b").await.is_err());
    registry.register(&slash, LONG).await.unwrap();
    registry.deregister(&slash).await.unwrap();
    registry.register(&dash, LONG).await.unwrap();
    registry.deregister(&dash).await.unwrap();
    raw.delete(&root).await;
}

#[tokio::test]
async fn what_is_no_record_harms_nobody() {
    let config = shared();
    let (root, mut raw) = (config.path.clone(), raw().await);
    let registry = connect(config).await;
    let mut watcher = registry.watch(None).await.unwrap();
    let odd = ["x", "y", "z", "z/deeper", "a"].map(|name| format!("{root}/greeter/{name}"));
    raw.create(&root, "").await;
    raw.create(&format!("{root}/empty"), "").await;
    raw.create(&format!("{root}/greeter"), "").await;
    for (path, data) in odd.iter().zip(["garbage", "", "[[[[", "{}", "{}"]) {
        raw.create(path, data).await;
    }
    registry.register(&greeter("a"), LONG).await.unwrap();
    assert_eq!(next(&mut watcher).await.service, greeter("a"));
    assert_eq!(registry.list_services().await.unwrap(), [greeter("a")]);
    assert_eq!(registry.get_service("greeter").await.unwrap(), [greeter("a")]);
    registry.deregister(&greeter("a")).await.unwrap();
    for path in odd.iter().rev() {
        raw.delete(path).await;
    }
    for path in ["/empty", "/greeter", ""] {
        raw.delete(&format!("{root}{path}")).await;
    }
}

#[tokio::test]
async fn names_that_zookeeper_refuses_are_refused_by_name_and_are_not_found() {
    let registry = connect(shared()).await;
    for name in ["", ".", "..", "a\0", "new\nline", "🚀"] {
        let record = ServiceRecord::new(name, "1").with_nodes(vec![Node::new("a", "127.0.0.1:1")]);
        let error = registry.register(&record, LONG).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadRequest);
        assert!(error.detail().contains(&format!("{name:?}")), "{error}");
        let error = registry.get_service(name).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(registry.watch(Some(name)).await.is_err());
        registry.deregister(&record).await.unwrap();
    }
}

#[tokio::test]
async fn a_record_that_is_too_large_is_refused_and_costs_no_connection() {
    let registry = connect(shared()).await;
    let mut record = greeter("a");
    let text = "x".repeat(1_100_000);
    record.nodes[0].metadata.insert("large".into(), text);
    let error = registry.register(&record, LONG).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(
        error.detail().contains("max_message") && error.detail().contains("greeter"),
        "{error}"
    );
    registry.register(&greeter("a"), LONG).await.unwrap();
    registry.deregister(&greeter("a")).await.unwrap();
}

#[tokio::test]
async fn a_listing_that_is_too_large_is_an_error_that_says_so() {
    let config = shared();
    let registry = connect(config.clone()).await;
    let mut record = greeter("a");
    record.nodes[0].metadata.insert("text".into(), "x".repeat(5000));
    registry.register(&record, LONG).await.unwrap();
    let narrow = micro_zookeeper::ZookeeperConfig {
        max_message: 2048,
        ..config
    };
    let narrow: ZookeeperRegistry = connect(narrow).await;
    let error = narrow.get_service("greeter").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.detail().contains("max_message"), "{error}");
    registry.deregister(&record).await.unwrap();
    let error = narrow.get_service("greeter").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "it goes on with what fits");
}
