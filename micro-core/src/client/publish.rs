//! Publishing: encode, pass the wrappers, hand to the broker.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout_at;

use super::Client;
use crate::broker::{Broker, Message as BrokerMessage};
use crate::codec::{Envelope, JSON, Message, Plain, Role};
use crate::error::CLIENT;
use crate::wire::{TOPIC, of_event};
use crate::{Error, Handler, Request, Response, Result, Text};

/// What the broker is told instead of the topic; travels in the request's extensions.
#[derive(Clone)]
pub(super) struct Exchange(pub(super) Text);

impl Client {
    /// Publishes an event to all who subscribed to its topic, in JSON unless the options say otherwise, as Go Micro
    /// does. Subscribers read any format that they know.
    ///
    /// Returns when the broker has accepted it; what that means, its documentation says. Dropping the future leaves
    /// it open whether the event goes out.
    ///
    /// # Errors
    ///
    /// When the event cannot be encoded, or the broker cannot be reached or refuses it.
    pub async fn publish<E: Message>(&self, topic: impl Into<Text>, event: &E) -> Result<()> {
        let topic = topic.into();
        let content_type = self.content_type(&JSON).clone();
        let envelope = Envelope {
            role: Role::Event,
            endpoint: &topic,
            id: "",
        };
        let body = self
            .stack
            .codecs
            .encode(&content_type, event, &envelope)
            .map_err(|error| error.context(&topic))?;
        self.publish_encoded(topic, content_type, body).await
    }

    /// The same over plain serde types.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    pub async fn publish_plain<E>(&self, topic: impl Into<Text>, event: E) -> Result<()>
    where
        E: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        self.publish(topic, &Plain::new(event)).await
    }

    /// The same for an event that is encoded already, in the format of that content type.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    pub async fn publish_encoded(
        &self,
        topic: impl Into<Text>,
        content_type: impl Into<Text>,
        body: impl Into<Bytes>,
    ) -> Result<()> {
        // An event goes the way of a call, so that the same wrappers may stand around both.
        let topic = topic.into();
        let mut request = Request::new("", &topic, body.into());
        request.content_type = content_type.into();
        request.metadata.insert(TOPIC, topic);
        request
            .metadata
            .insert("Micro-ID", uuid::Uuid::new_v4().to_string());
        let recording = self.scope.as_ref().and_then(|scope| scope.apply(&mut request));
        let result = self.stack.publisher.handle(request).await;
        match recording {
            Some(recording) => recording.follow(result).map(drop),
            None => result.map(drop),
        }
    }
}

/// Hands events to the broker: the innermost of what a published event meets.
pub(super) struct Publisher(pub(super) Arc<dyn Broker>);

#[async_trait]
impl Handler for Publisher {
    async fn handle(&self, mut request: Request) -> Result<Response> {
        let body = request.take_body().single().await?;
        let topic = Text::from(request.metadata.get(TOPIC).unwrap_or(&request.endpoint));
        let mut header = of_event(&request.metadata);
        header.insert("Content-Type", request.content_type.clone());
        let to = request.extensions.get::<Exchange>().map(|exchange| &exchange.0);
        let to = to.unwrap_or(&topic);
        let publish = self.0.publish(to, BrokerMessage { header, body });
        match request.deadline {
            None => publish.await?,
            Some(deadline) => timeout_at(deadline, publish).await.unwrap_or_else(|_| {
                Err(Error::timeout(
                    CLIENT,
                    format!(
                        "publishing to {to} timed out; whether broker {} has the event is unknown",
                        self.0.name()
                    ),
                ))
            })?,
        }
        Ok(Response::default())
    }
}
