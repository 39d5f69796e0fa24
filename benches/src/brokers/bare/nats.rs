//! async-nats.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use async_nats::Client;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, Context, consumer, stream};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::task::JoinSet;

use super::super::CONCURRENCY;
use super::super::side::{Handled, Publish, handle};

pub(crate) struct JetStream {
    context: Context,
    topic: String,
    published: AtomicU64,
    _handling: JoinSet<()>,
}

impl Publish for JetStream {
    async fn publish(&self, body: Bytes) -> Result<()> {
        let number = self.published.fetch_add(1, Ordering::Relaxed);
        let message = PublishMessage::build()
            .payload(body)
            .message_id(format!("{}-{number}", self.topic));
        let sent = self.context.send_publish(self.topic.clone(), message).await?;
        sent.await?;
        Ok(())
    }
}

pub(crate) async fn start(server: SocketAddr, topic: &str, handled: Handled) -> Result<JetStream> {
    let context = jetstream::new(async_nats::connect(server.to_string()).await?);
    let stream = context
        .create_stream(stream::Config {
            name: topic.to_owned(),
            subjects: vec![topic.to_owned()],
            retention: stream::RetentionPolicy::Interest,
            ..stream::Config::default()
        })
        .await?;
    let consumer = stream
        .create_consumer(consumer::pull::Config {
            durable_name: Some("workers".to_owned()),
            ..consumer::pull::Config::default()
        })
        .await?;
    let messages = consumer
        .stream()
        .max_messages_per_batch(CONCURRENCY)
        .messages()
        .await?;
    let mut handling = JoinSet::new();
    handling.spawn(messages.for_each_concurrent(CONCURRENCY, move |message| {
        let handled = handled.clone();
        async move {
            let Ok(message) = message else { return };
            handle(&handled, &message.payload);
            let _ = message.ack().await;
        }
    }));
    Ok(JetStream {
        context,
        topic: topic.to_owned(),
        published: AtomicU64::new(0),
        _handling: handling,
    })
}

pub(crate) struct Plain {
    client: Client,
    topic: String,
    _handling: JoinSet<()>,
}

impl Publish for Plain {
    async fn publish(&self, body: Bytes) -> Result<()> {
        self.client.publish(self.topic.clone(), body).await?;
        Ok(self.client.flush().await?)
    }
}

pub(crate) async fn start_plain(server: SocketAddr, topic: &str, handled: Handled) -> Result<Plain> {
    let client = async_nats::connect(server.to_string()).await?;
    let mut messages = client
        .queue_subscribe(topic.to_owned(), "workers".to_owned())
        .await?;
    client.flush().await?;
    let mut handling = JoinSet::new();
    handling.spawn(async move {
        while let Some(message) = messages.next().await {
            handle(&handled, &message.payload);
        }
    });
    Ok(Plain {
        client,
        topic: topic.to_owned(),
        _handling: handling,
    })
}
