//! What others find in Redis, and what is read of theirs.

use micro_core::Broker;
use micro_core::broker::{Message, SubscribeOptions};
use micro_redis::{Layout, RedisConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::redis::{PATIENCE, Redis, body};

/// As Go Micro's plugin publishes it.
const CAPTURED: &str = r#"{"Header":{"Content-Type":"application/json","Micro-ID":"dcc7494c-a6d6-4401-909d-7987dbd10dc2","Micro-Topic":"t.one"},"Body":"eyJpZCI6Im4wIiwidGV4dCI6IndvcmxkIiwidW5peE5hbm9zIjoiMTc5NTIzNjM5MTcxNDI4MjA1OCJ9Cg=="}"#;

fn captured() -> Message {
    Message::new("{\"id\":\"n0\",\"text\":\"world\",\"unixNanos\":\"1795236391714282058\"}\n")
        .with_header("Content-Type", "application/json")
        .with_header("Micro-Topic", "t.one")
        .with_header("Micro-ID", "dcc7494c-a6d6-4401-909d-7987dbd10dc2")
}

#[tokio::test]
async fn a_channel_carries_go_micros_bytes_both_ways() {
    let Some(redis) = Redis::start().await else { return };
    let config = RedisConfig {
        pub_sub: true,
        ..redis.config()
    };
    let broker = micro_redis::RedisBroker::connect(config).await.unwrap();
    let mut listener = TcpStream::connect(redis.0.address()).await.unwrap();
    listener.write_all(b"SUBSCRIBE t.one\r\n").await.unwrap();
    let mut confirmed = [0; 34];
    listener.read_exact(&mut confirmed).await.unwrap();
    broker.publish("t.one", captured()).await.unwrap();
    let expected = format!(
        "*3\r\n$7\r\nmessage\r\n$5\r\nt.one\r\n${}\r\n{CAPTURED}\r\n",
        CAPTURED.len()
    );
    let mut said = vec![0; expected.len()];
    timeout(PATIENCE, listener.read_exact(&mut said))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(String::from_utf8(said).unwrap(), expected);

    let mut subscription = broker
        .subscribe("t.one", SubscribeOptions::default())
        .await
        .unwrap();
    redis.say("PUBLISH t.one 'no message'").await;
    redis.say(&format!("PUBLISH t.one '{CAPTURED}'")).await;
    let event = timeout(PATIENCE, subscription.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(event.topic().as_str(), "t.one");
    assert_eq!(event.message().body, captured().body);
    assert_eq!(event.message().header.get("micro-topic"), Some("t.one"));
}

#[tokio::test]
async fn a_stream_has_the_message_in_one_field_or_in_one_for_each_header() {
    let Some(redis) = Redis::start().await else { return };
    let broker = redis.connect().await;
    broker.publish("t.one", captured()).await.unwrap();
    let entries = redis.say("XRANGE micro:t.one - +").await;
    assert!(
        entries.contains(&format!("$7\r\nmessage\r\n${}\r\n{CAPTURED}\r\n", CAPTURED.len())),
        "{entries}"
    );
    let config = RedisConfig {
        layout: Layout::Fields,
        prefix: "other/".into(),
        ..redis.config()
    };
    let broker = micro_redis::RedisBroker::connect(config).await.unwrap();
    let mut subscription = broker
        .subscribe("t.one", SubscribeOptions::default())
        .await
        .unwrap();
    broker
        .publish("t.one", Message::new("a").with_header("Number", "1"))
        .await
        .unwrap();
    let entries = redis.say("XRANGE other/t.one - +").await;
    assert!(
        entries.contains("$13\r\nheader:Number\r\n$1\r\n1\r\n$4\r\nbody\r\n$1\r\na\r\n"),
        "{entries}"
    );
    redis.say("XADD other/t.one * no message").await;
    redis
        .say(r#"XADD other/t.one * message '{"Header":{},"Body":"Yg=="}'"#)
        .await;
    assert_eq!(body(&mut subscription).await, "a");
    assert_eq!(body(&mut subscription).await, "b");
}

#[tokio::test]
async fn a_key_that_holds_something_else_is_told() {
    let Some(redis) = Redis::start().await else { return };
    redis.say("SET micro:taken x").await;
    let broker = redis.connect().await;
    let error = broker.publish("taken", Message::new("x")).await.unwrap_err();
    assert_eq!(error.code(), 409, "{error}");
    assert!(
        error.detail().contains("taken") && error.detail().contains("prefix"),
        "{error}"
    );
    assert!(
        broker
            .subscribe("taken", SubscribeOptions::default())
            .await
            .is_err()
    );
}
