//! What is removed of a stream, and what stays.

use micro_core::Broker;
use micro_core::broker::Message;
use micro_redis::{RedisBroker, RedisConfig};

use crate::redis::Redis;

#[tokio::test]
async fn a_stream_keeps_about_as_much_as_it_may() {
    let Some(redis) = Redis::start().await else { return };
    let config = RedisConfig {
        max_length: Some(100),
        ..redis.config()
    };
    let broker = RedisBroker::connect(config).await.unwrap();
    for _ in 0..1000 {
        broker.publish("orders", Message::new("x")).await.unwrap();
    }
    let length = redis.say("XLEN micro:orders").await;
    let length: usize = length[1..].split("\r\n").next().unwrap().parse().unwrap();
    assert!((100..400).contains(&length), "{length}");
}
