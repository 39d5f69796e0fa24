//! Users, ACLs and certificates.

use micro_core::ErrorKind;
use micro_core::registry::Registry;
use micro_zookeeper::{ZookeeperAccess, ZookeeperConfig, ZookeeperRegistry, ZookeeperTls};
use servers::Authority;

use crate::zookeeper::{LONG, Zookeeper, connect, greeter, ids, next, raw, shared};

fn as_user(config: &ZookeeperConfig, user: &str, password: &str) -> ZookeeperConfig {
    ZookeeperConfig {
        user: Some(user.to_owned()),
        password: password.to_owned(),
        ..config.clone()
    }
}

#[tokio::test]
async fn what_a_user_writes_everybody_may_read_and_nobody_else_may_change() {
    let config = shared();
    let mut raw = raw().await;
    let owner = connect(as_user(&config, "micro", "secret")).await;
    owner.register(&greeter("a"), LONG).await.unwrap();
    let acl = raw.acl(&format!("{}/greeter/a", config.path)).await;
    assert_eq!(acl.len(), 2, "{acl:?}");
    assert!(acl[0].0 == 31 && acl[0].1.starts_with("digest:micro:"), "{acl:?}");
    assert_eq!(acl[1], (1, "world:anyone".to_owned()));

    for stranger in [config.clone(), as_user(&config, "micro", "wrong")] {
        let stranger = connect(stranger).await;
        let mut watcher = stranger.watch(Some("greeter")).await.unwrap();
        assert_eq!(ids(&stranger.get_service("greeter").await.unwrap()), ["a"]);
        for forbidden in [
            stranger.register(&greeter("b"), LONG).await,
            stranger.deregister(&greeter("a")).await,
        ] {
            let error = forbidden.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Forbidden, "{error}");
            assert!(error.detail().contains("ZOOKEEPER_PASSWORD"), "{error}");
            assert!(
                !error.detail().contains("secret") && !error.detail().contains("wrong"),
                "{error}"
            );
        }
        let mut changed = greeter("a");
        changed.nodes[0].address.push('1');
        owner.register(&changed, LONG).await.unwrap();
        assert_eq!(next(&mut watcher).await.service, changed);
        owner.register(&greeter("a"), LONG).await.unwrap();
    }
    let again = connect(as_user(&config, "micro", "secret")).await;
    again.register(&greeter("a"), LONG).await.unwrap();
    again.deregister(&greeter("a")).await.unwrap();
    assert!(owner.get_service("greeter").await.is_err());
    assert_eq!(raw.delete(&config.path).await, 0);
}

#[tokio::test]
async fn what_is_the_owners_only_is_forbidden_to_others() {
    let config = shared();
    let own = ZookeeperConfig {
        access: Some(ZookeeperAccess::OwnerOnly),
        ..as_user(&config, "micro", "secret")
    };
    let owner = connect(own).await;
    owner.register(&greeter("a"), LONG).await.unwrap();
    let error = ZookeeperRegistry::connect(config.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden, "{error}");
    owner.deregister(&greeter("a")).await.unwrap();
    assert_eq!(raw().await.delete(&config.path).await, 0);
}

#[tokio::test]
async fn a_zookeeper_that_wants_everybody_to_log_in_lets_in_who_does() {
    let lines = ["enforce.auth.enabled=true", "enforce.auth.schemes=digest"];
    let Some(mut zookeeper) = Zookeeper::start_with(&lines).await else {
        return;
    };
    let config = as_user(&zookeeper.config(), "micro", "secret");
    let registry = connect(config).await;
    registry.register(&greeter("a"), LONG).await.unwrap();
    let error = ZookeeperRegistry::connect(zookeeper.config()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
    assert!(error.detail().contains("ZOOKEEPER_USERNAME"), "{error}");
    // A new connection says again who this is.
    zookeeper.server.start_again().await.unwrap();
    crate::zookeeper::register(&registry, &greeter("b")).await;
    assert_eq!(ids(&registry.get_service("greeter").await.unwrap()), ["a", "b"]);
}

#[tokio::test]
async fn both_sides_show_their_certificates() {
    let authority = Authority::new().unwrap();
    let files = authority.files("127.0.0.1").unwrap();
    // It wants both in one file.
    let own = [&files.key, &files.certificate].map(|path| std::fs::read(path).unwrap());
    std::fs::write(&files.certificate, own.concat()).unwrap();
    let lines = [
        "secureClientPort={port}",
        "secureClientPortAddress=127.0.0.1",
        "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory",
        "ssl.clientAuth=need",
        &format!("ssl.keyStore.location={}", files.certificate),
        &format!("ssl.trustStore.location={}", files.authority),
    ];
    let Some(zookeeper) = Zookeeper::start_with(&lines).await else {
        return;
    };
    let with = |tls| ZookeeperConfig {
        tls: Some(tls),
        ..zookeeper.config()
    };
    let right = authority.client().unwrap();
    let registry = connect(with(right.clone())).await;
    let mut watcher = registry.watch(None).await.unwrap();
    registry.register(&greeter("a"), LONG).await.unwrap();
    assert_eq!(next(&mut watcher).await.service, greeter("a"));
    let mut large = greeter("b");
    large.nodes[0].metadata.insert("text".into(), "x".repeat(900_000));
    registry.register(&large, LONG).await.unwrap();
    assert_eq!(next(&mut watcher).await.service, large);

    let misnamed = ZookeeperTls {
        server_name: Some("zookeeper.example".into()),
        ..right
    };
    let strangers = authority.strangers().unwrap().into_iter().chain([misnamed]);
    for config in strangers.map(with).chain([zookeeper.config()]) {
        let error = ZookeeperRegistry::connect(config).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(
            error.detail().contains(&zookeeper.address()) && error.detail().contains("TLS"),
            "{error}"
        );
    }
    let broken = ZookeeperTls {
        authorities: b"no certificate".to_vec(),
        ..ZookeeperTls::default()
    };
    let error = ZookeeperRegistry::connect(with(broken)).await.unwrap_err();
    assert!(error.detail().contains("ZOOKEEPER_CACERT"), "{error}");
}
