//! What becomes of one event: handled, tried again, put aside, rejected.

use std::sync::Arc;

use tokio::time::sleep;

use crate::broker::{Event, Message};
use crate::codec::PROTOBUF;
use crate::error::SERVER;
use crate::handler::Request;
use crate::server::{DeadLetter, Subscribed};
use crate::wire::{TOPIC, of_event};
use crate::{Broker, Error, ErrorKind, Result, Text, retry_pause};

/// Has an event handled, and tells its broker what became of it.
pub(super) async fn handle(event: Event, subscribed: Subscribed, broker: Arc<dyn Broker>) {
    let topic = event.topic().clone();
    let told = match &subscribed.dead_letter {
        None => handle_once(event, &subscribed).await,
        Some(dead_letter) => handle_often(event, &subscribed, dead_letter, &*broker).await,
    };
    if let Err(error) = told {
        tracing::warn!(%topic, %error, "the broker could not be told what became of an event");
    }
}

async fn handle_once(mut event: Event, subscribed: &Subscribed) -> Result<()> {
    let topic = event.topic().clone();
    let request = request(&topic, event.take_message());
    match subscribed.handler.handle(request).await {
        Ok(_) => event.acknowledge().await,
        Err(error) => {
            tracing::warn!(%topic, %error, "an event was rejected");
            event.reject(&error).await
        }
    }
}

/// Tries until it is handled or has failed often enough; then puts it aside.
async fn handle_often(
    mut event: Event,
    subscribed: &Subscribed,
    dead_letter: &DeadLetter,
    broker: &dyn Broker,
) -> Result<()> {
    let topic = event.topic().clone();
    let message = event.take_message();
    // What came back was not survived by whom it was given to, or not decided in time.
    let before = event.deliveries().unwrap_or(1).saturating_sub(1);
    let Err((attempts, failure)) = attempt(&topic, &message, before, subscribed, dead_letter).await else {
        return event.acknowledge().await;
    };
    let put_aside = dead_letter.message(message, &topic, attempts, &failure);
    match broker.publish(&dead_letter.topic, put_aside).await {
        Ok(()) => {
            tracing::error!(%topic, attempts, error = %failure, put_aside = %dead_letter.topic,
                "an event was put aside");
            event.acknowledge().await
        }
        Err(error) => {
            tracing::error!(%topic, %error, "an event could not be put aside, and was rejected");
            event.reject(&failure).await
        }
    }
}

/// Has an event handled, again and again if need be. Fails with the number of attempts, those before included, and the
/// last error.
async fn attempt(
    topic: &Text,
    message: &Message,
    before: u32,
    subscribed: &Subscribed,
    dead_letter: &DeadLetter,
) -> Result<(), (u32, Error)> {
    if before >= dead_letter.attempts.max(DeadLetter::SUSPICIOUS) {
        let detail = format!("it was given out {before} times, and nobody said what became of it");
        return Err((before, Error::internal(SERVER, detail)));
    }
    let mut attempts = before;
    loop {
        attempts += 1;
        let request = request(topic, message.clone());
        let Err(error) = subscribed.handler.handle(request).await else {
            return Ok(());
        };
        tracing::warn!(%topic, attempts, %error, "an event could not be handled");
        // What cannot be read now can never be read.
        if attempts >= dead_letter.attempts || error.kind() == ErrorKind::BadRequest {
            return Err((attempts, error));
        }
        sleep(retry_pause(attempts)).await;
    }
}

/// An event as a request to the endpoint of its topic's name.
fn request(topic: &Text, message: Message) -> Request {
    let mut request = Request::new("", topic, message.body);
    request.metadata = of_event(&message.header);
    // Go Micro's default.
    request.content_type = message.header.get("Content-Type").map_or(PROTOBUF, Text::from);
    request
}

impl DeadLetter {
    /// The event as it is put aside.
    fn message(&self, mut message: Message, topic: &Text, attempts: u32, failure: &Error) -> Message {
        let header = &mut message.header;
        header.insert(TOPIC, self.topic.clone());
        header.insert(Self::TOPIC, topic.clone());
        header.insert(Self::REASON, failure.to_string());
        header.insert(Self::ATTEMPTS, attempts.to_string());
        message
    }
}
