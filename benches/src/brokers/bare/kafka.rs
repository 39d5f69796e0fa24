//! rdkafka.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use rdkafka::{ClientConfig, Message};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::super::side::{Handled, Publish, handle};

/// How long joining a group may take.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Rdkafka {
    producer: FutureProducer,
    topic: String,
    _handling: JoinSet<()>,
}

impl Publish for Rdkafka {
    async fn publish(&self, body: Bytes) -> Result<()> {
        let record = FutureRecord::<(), [u8]>::to(&self.topic).payload(&body);
        let sent = self.producer.send(record, Timeout::Never).await;
        sent.map(drop).map_err(|(problem, _)| problem.into())
    }
}

pub(crate) async fn start(server: SocketAddr, topic: &str, handled: Handled) -> Result<Rdkafka> {
    let config = || {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", server.to_string());
        config
    };
    let admin: AdminClient<DefaultClientContext> = config().create()?;
    let wanted = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
    for made in admin.create_topics([&wanted], &AdminOptions::new()).await? {
        made.map_err(|(_, code)| anyhow::anyhow!("the topic cannot be made: {code}"))?;
    }
    let producer = config()
        .set("enable.idempotence", "true")
        .set("queue.buffering.max.ms", "0")
        .create()?;
    let consumer: StreamConsumer = config()
        .set("group.id", format!("{topic}-workers"))
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", "100")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .create()?;
    consumer.subscribe(&[topic])?;
    let mut handling = JoinSet::new();
    let (joined, has_joined) = tokio::sync::oneshot::channel();
    handling.spawn(async move {
        let mut joined = Some(joined);
        loop {
            let message = tokio::select! {
                message = consumer.recv() => message,
                () = sleep(Duration::from_millis(50)), if joined.is_some() => {
                    let is_assigned = consumer.assignment().is_ok_and(|list| list.count() > 0);
                    if let Some(joined) = joined.take_if(|_| is_assigned) {
                        let _ = joined.send(());
                    }
                    continue;
                }
            };
            let Ok(message) = message else { continue };
            handle(&handled, message.payload().unwrap_or_default());
            let _ = consumer.store_offset_from_message(&message);
        }
    });
    let joined = timeout(PATIENCE, has_joined).await;
    joined.context("the consumer gets no partition")??;
    Ok(Rdkafka {
        producer,
        topic: topic.to_owned(),
        _handling: handling,
    })
}
