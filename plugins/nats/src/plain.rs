//! Subscriptions to NATS as it is, without JetStream.

use std::sync::Arc;

use async_nats::{Subject, Subscriber};
use async_trait::async_trait;
use futures_util::StreamExt;
use micro_core::broker::{Event, EventSource, Remainder, envelope};
use micro_core::{Result, Text};
use tokio::time::timeout;

use crate::broker::Shared;
use crate::error;

pub(crate) struct Plain {
    shared: Arc<Shared>,
    topic: Text,
    queue: Option<Text>,
    /// The library subscribes it again after each loss of the connection.
    subscriber: Option<Subscriber>,
    losses: u64,
    is_draining: bool,
}

impl Plain {
    pub(crate) fn new(shared: Arc<Shared>, topic: &str, queue: Option<Text>) -> Self {
        Self {
            shared,
            topic: topic.into(),
            queue,
            subscriber: None,
            losses: 0,
            is_draining: false,
        }
    }

    async fn subscribe(&mut self, losses: u64) -> Result<()> {
        let connection = &self.shared.connection;
        connection.check_subscribe(&self.topic)?;
        if self.subscriber.is_none() {
            let (client, subject) = (connection.client(), Subject::from(&*self.topic));
            let subscribed = match &self.queue {
                None => client.subscribe(subject).await,
                Some(queue) => client.queue_subscribe(subject, queue.to_string()).await,
            };
            let subscriber = subscribed.map_err(|_| connection.gone())?;
            self.subscriber = Some(subscriber);
        }
        connection.settled().await?;
        connection.check_subscribe(&self.topic)?;
        self.losses = losses;
        Ok(())
    }
}

#[async_trait]
impl EventSource for Plain {
    async fn begin(&mut self) -> Result<()> {
        let patience = self.shared.config.publish_timeout;
        let connection = self.shared.connection.clone();
        let subscribing = async {
            loop {
                connection.up().await;
                let losses = connection.losses();
                let subscribing = self.subscribe(losses);
                if let Some(subscribed) = connection.unless_lost(losses, subscribing).await {
                    return subscribed;
                }
            }
        };
        match timeout(patience, subscribing).await {
            Ok(subscribed) => subscribed,
            Err(_) => Err(connection.gone()),
        }
    }

    async fn next(&mut self) -> Result<Option<Event>> {
        let connection = &self.shared.connection;
        let Some(subscriber) = &mut self.subscriber else {
            return Err(connection.gone());
        };
        loop {
            let message = tokio::select! {
                // What has arrived is given out also when the connection was lost after it.
                biased;
                message = subscriber.next() => message,
                () = connection.lost(self.losses) => {
                    return Err(error::interrupted("the connection was lost", connection.servers()));
                }
            };
            let Some(message) = message else {
                return match self.is_draining {
                    true => Ok(None),
                    false => Err(connection.gone()),
                };
            };
            match envelope::decode(&message.payload) {
                Ok(decoded) => return Ok(Some(Event::new(self.topic.clone(), decoded))),
                Err(problem) => {
                    tracing::warn!("a message to {} is left out: {}", self.topic, problem.detail())
                }
            }
        }
    }

    async fn drain(&mut self) -> Result<Remainder> {
        let Some(subscriber) = &mut self.subscriber else {
            return Ok(Remainder::Nothing);
        };
        let drained = subscriber.drain().await;
        drained.map_err(|_| self.shared.connection.gone())?;
        self.is_draining = true;
        Ok(Remainder::Arrived)
    }
}
