//! What publishing and subscriptions live through.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use micro_core::broker::SubscribeOptions;
use micro_core::{Broker, ErrorKind};
use micro_redis::{RedisBroker, RedisConfig};
use micro_testkit::proxy::Proxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};

use crate::redis::{PATIENCE, Redis, body, config, loses_nothing, publish, queue, until_all};

#[tokio::test]
async fn nothing_confirmed_is_lost_over_restarts() {
    let Some(mut redis) = Redis::start().await else {
        return;
    };
    let broker = redis.connect().await;
    let mut member = broker.subscribe("orders", queue("workers", 4)).await.unwrap();
    let mut everything = broker
        .subscribe("orders", SubscribeOptions::default())
        .await
        .unwrap();
    let confirmed = loses_nothing(&broker, "orders", &mut member, 3, async || {
        redis.0.start_again().await.unwrap();
    })
    .await;
    until_all(&mut everything, &confirmed, &mut BTreeMap::new()).await;
}

#[tokio::test]
async fn nothing_confirmed_is_lost_over_cut_connections() {
    let Some(redis) = Redis::start().await else { return };
    let mut proxy = Proxy::open(redis.0.address()).await.unwrap();
    let broker = RedisBroker::connect(config(proxy.address())).await.unwrap();
    let mut member = broker.subscribe("orders", queue("workers", 4)).await.unwrap();
    loses_nothing(&broker, "orders", &mut member, 5, async || {
        proxy.cut().await;
        sleep(Duration::from_millis(50)).await;
        proxy.mend().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn it_works_again_as_soon_as_redis_does() {
    let Some(redis) = Redis::start().await else { return };
    let mut proxy = Proxy::open(redis.0.address()).await.unwrap();
    for pub_sub in [false, true] {
        let config = RedisConfig {
            pub_sub,
            ..config(proxy.address())
        };
        let broker = RedisBroker::connect(config).await.unwrap();
        let mut subscription = broker
            .subscribe("orders", SubscribeOptions::default())
            .await
            .unwrap();
        proxy.cut().await;
        let publishing = tokio::spawn({
            let broker = broker.clone();
            async move { publish(&broker, "orders", "kept").await }
        });
        sleep(Duration::from_millis(300)).await;
        proxy.mend().await.unwrap();
        let mended = Instant::now();
        publishing.await.unwrap().unwrap();
        assert!(
            mended.elapsed() < Duration::from_secs(1),
            "{:?}",
            mended.elapsed()
        );
        if !pub_sub {
            assert_eq!(body(&mut subscription).await, "kept");
            continue;
        }
        // What is published before a channel is subscribed to again is lost.
        loop {
            publish(&broker, "orders", "kept").await.unwrap();
            let event = timeout(Duration::from_millis(20), subscription.next()).await;
            if matches!(event, Ok(Some(Ok(_)))) {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_connection_that_fell_silent_is_replaced() {
    let Some(redis) = Redis::start().await else { return };
    let proxy = Proxy::open(redis.0.address()).await.unwrap();
    for pub_sub in [false, true] {
        let config = RedisConfig {
            pub_sub,
            response_timeout: Duration::from_millis(500),
            ..config(proxy.address())
        };
        let broker = RedisBroker::connect(config).await.unwrap();
        let mut subscription = broker
            .subscribe("orders", SubscribeOptions::default())
            .await
            .unwrap();
        proxy.forget();
        publish(&broker, "orders", "a").await.unwrap();
        if !pub_sub {
            assert_eq!(body(&mut subscription).await, "a");
            continue;
        }
        loop {
            publish(&broker, "orders", "b").await.unwrap();
            let event = timeout(Duration::from_millis(100), subscription.next()).await;
            if matches!(event, Ok(Some(Ok(_)))) {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_redis_that_comes_back_empty_is_subscribed_to_again() {
    let Some(mut redis) = Redis::start().await else {
        return;
    };
    let broker = redis.connect().await;
    let mut member = broker.subscribe("orders", queue("workers", 1)).await.unwrap();
    let mut everything = broker
        .subscribe("orders", SubscribeOptions::default())
        .await
        .unwrap();
    publish(&broker, "orders", "before").await.unwrap();
    assert_eq!(body(&mut member).await, "before");
    assert_eq!(body(&mut everything).await, "before");
    redis.0.start_empty().await.unwrap();
    publish(&broker, "orders", "after").await.unwrap();
    assert_eq!(body(&mut member).await, "after");
    assert_eq!(body(&mut everything).await, "after");
}

#[tokio::test]
async fn trouble_is_told_with_the_address_and_what_to_do() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = RedisBroker::connect(config(address)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        error.detail().contains(&address.to_string()) && error.detail().contains("is it running"),
        "{error}"
    );
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = RedisConfig {
        response_timeout: Duration::from_millis(300),
        ..config(silent.local_addr().unwrap())
    };
    let error = timeout(PATIENCE, RedisBroker::connect(config))
        .await
        .unwrap()
        .unwrap_err();
    assert!(error.detail().contains("response_timeout"), "{error}");
}

#[tokio::test]
async fn publishing_waits_as_long_as_it_may_and_says_so() {
    let Some(mut redis) = Redis::start().await else {
        return;
    };
    let config = RedisConfig {
        publish_timeout: Duration::from_millis(500),
        max_pending: 2,
        ..redis.config()
    };
    let broker = RedisBroker::connect(config).await.unwrap();
    redis.0.kill().await.unwrap();
    let begun = Instant::now();
    let publishing = (0..5).map(|number| {
        let broker = broker.clone();
        async move { publish(&broker, "orders", &number.to_string()).await }
    });
    for result in futures_util::future::join_all(publishing).await {
        let error = result.unwrap_err();
        for part in ["orders was not published", "publish_timeout", "127.0.0.1"] {
            assert!(error.detail().contains(part), "{error}");
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

/// Answers everything but XADD, at which it hangs up. Counts those.
async fn hang_up(listener: TcpListener, count: Arc<AtomicUsize>) {
    let mut talks = tokio::task::JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let count = count.clone();
        talks.spawn(async move {
            let mut said = [0; 64 * 1024];
            while let Ok(1..) = stream.read(&mut said).await {
                if said.windows(4).any(|word| word == b"XADD") {
                    count.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                stream.write_all(b"+PONG\r\n").await.unwrap();
            }
        });
    }
}

#[tokio::test]
async fn a_message_that_redis_hangs_up_on_is_not_sent_without_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let serving = tokio::spawn(hang_up(listener, count.clone()));
    let broker = RedisBroker::connect(RedisConfig {
        publish_timeout: Duration::from_secs(1),
        ..config(address)
    })
    .await
    .unwrap();
    let error = publish(&broker, "orders", "x").await.unwrap_err();
    let count = count.load(Ordering::Relaxed);
    assert!((2..10).contains(&count), "it was sent {count} times");
    for part in [
        &address.to_string(),
        "orders",
        &format!("{count} times"),
        "proto-max-bulk-len",
    ] {
        assert!(error.detail().contains(part), "{part}: {error}");
    }
    serving.abort();
}

#[tokio::test]
async fn a_message_that_is_too_large_for_redis_is_told() {
    let Some(redis) = Redis::start().await else { return };
    redis.say("CONFIG SET proto-max-bulk-len 1mb").await;
    let broker = RedisBroker::connect(RedisConfig {
        publish_timeout: Duration::from_millis(1500),
        ..redis.config()
    })
    .await
    .unwrap();
    let large = "x".repeat(8 * 1024 * 1024);
    let error = publish(&broker, "orders", &large).await.unwrap_err();
    assert!(error.detail().contains("proto-max-bulk-len"), "{error}");
    publish(&broker, "orders", "small").await.unwrap();
}
