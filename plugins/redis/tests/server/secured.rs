//! A Redis that asks for passwords, and one that asks for certificates.

use micro_core::broker::SubscribeOptions;
use micro_core::{Broker, ErrorKind};
use micro_redis::{RedisBroker, RedisConfig};
use servers::{Authority, Kind};

use crate::redis::{Redis, body, publish, queue};

#[tokio::test]
async fn a_user_with_the_right_password_and_rights_is_let_in() {
    let Some(mut redis) = Redis::start().await else {
        return;
    };
    redis
        .say("ACL SETUSER micro on >secret ~micro:* &* +@all -@dangerous\r\nCONFIG SET requirepass top")
        .await;
    let as_user = |user: Option<&str>, password: &str| RedisConfig {
        user: user.map(str::to_owned),
        password: password.to_owned(),
        ..redis.config()
    };
    for config in [
        redis.config(),
        as_user(None, "wrong"),
        as_user(Some("micro"), "wrong"),
        as_user(Some("nobody"), "secret"),
    ] {
        let error = RedisBroker::connect(config).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
        assert!(
            error.detail().contains("MICRO_REDIS_USERNAME") && !error.detail().contains("wrong"),
            "{error}"
        );
    }
    RedisBroker::connect(as_user(None, "top")).await.unwrap();
    let in_address = RedisConfig {
        address: format!("redis://micro:secret@{}/0", redis.0.address()),
        ..RedisConfig::default()
    };
    for config in [as_user(Some("micro"), "secret"), in_address] {
        let broker = RedisBroker::connect(config.clone()).await.unwrap();
        let mut member = broker.subscribe("orders", queue("workers", 1)).await.unwrap();
        publish(&broker, "orders", "a").await.unwrap();
        assert_eq!(body(&mut member).await, "a");
        let elsewhere = RedisConfig {
            prefix: "other:".into(),
            ..config
        };
        let broker = RedisBroker::connect(elsewhere).await.unwrap();
        let error = publish(&broker, "orders", "a").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Forbidden, "{error}");
        assert!(error.detail().contains("ACL"), "{error}");
    }
    redis.0.kill().await.unwrap();
}

#[tokio::test]
async fn each_database_has_streams_of_its_own() {
    let Some(redis) = Redis::start().await else { return };
    let of = |database| RedisConfig {
        database: Some(database),
        ..redis.config()
    };
    let [first, second] = [
        RedisBroker::connect(of(0)).await.unwrap(),
        RedisBroker::connect(of(1)).await.unwrap(),
    ];
    let mut subscription = first
        .subscribe("orders", SubscribeOptions::default())
        .await
        .unwrap();
    publish(&second, "orders", "there").await.unwrap();
    publish(&first, "orders", "here").await.unwrap();
    assert_eq!(body(&mut subscription).await, "here");
    let error = RedisBroker::connect(of(99)).await.unwrap_err();
    assert!(error.detail().contains("database"), "{error}");
}

#[tokio::test]
async fn both_sides_show_their_certificates() {
    let authority = Authority::new().unwrap();
    let files = authority.files("127.0.0.1").unwrap();
    let arguments = [
        "--port",
        "0",
        "--tls-port",
        "{port}",
        "--tls-cert-file",
        &files.certificate,
        "--tls-key-file",
        &files.key,
        "--tls-ca-cert-file",
        &files.authority,
    ];
    let Some(redis) = servers::start_with_or_skip(Kind::Redis, &arguments).await else {
        return;
    };
    let with = |tls| RedisConfig {
        address: format!("rediss://{}", redis.address()),
        tls: Some(tls),
        ..RedisConfig::default()
    };
    let config = with(authority.client().unwrap());
    for pub_sub in [false, true] {
        let config = RedisConfig {
            pub_sub,
            ..config.clone()
        };
        let broker = RedisBroker::connect(config).await.unwrap();
        let mut subscription = broker
            .subscribe("orders", SubscribeOptions::default())
            .await
            .unwrap();
        publish(&broker, "orders", "a").await.unwrap();
        assert_eq!(body(&mut subscription).await, "a");
    }
    for tls in authority.strangers().unwrap() {
        let error = RedisBroker::connect(with(tls)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(
            error.detail().contains(&redis.address().to_string()) && error.detail().contains("TLS"),
            "{error}"
        );
    }
}
