//! Subscriptions to what JetStream keeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::{HeaderMap, StatusCode, Subject, Subscriber};
use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt};
use micro_core::broker::{Event, EventSource, Remainder, SubscribeOptions, envelope};
use micro_core::{Result, Text};
use tokio::time::timeout;

use crate::broker::{Durable, Shared};
use crate::error;
use crate::receipt::{deliveries, give_back, give_up};
use crate::stream::name_of;

/// How long a request for events stands at the server.
const STANDS: Duration = Duration::from_secs(10);
/// How much longer it may take until the server says that it does not stand any more.
const PATIENCE: Duration = Duration::from_secs(5);
/// Undecided events of all subscribers of a queue together, above which the server gives out no more.
const MAX_UNDECIDED: i64 = 20_000;

pub(crate) struct Pull {
    shared: Arc<Shared>,
    topic: Text,
    /// The consumer's name at the server: the queue's, or this subscription's own.
    consumer: String,
    is_own: bool,
    concurrency: usize,
    /// How many events are given out and undecided.
    open: Arc<AtomicUsize>,
    asking: Option<Asking>,
    is_draining: bool,
}

/// What is asked of the server on this connection.
struct Asking {
    stream: String,
    /// Where to ask for events.
    next: Subject,
    inbox: Subject,
    subscriber: Subscriber,
    /// How many events were asked for and have not come.
    asked: usize,
    losses: u64,
}

impl Pull {
    pub(crate) fn new(shared: Arc<Shared>, topic: &str, options: &SubscribeOptions) -> Self {
        let consumer = match &options.queue {
            Some(queue) => name_of(&[queue, topic]),
            None => name_of(&["own", topic, &shared.connection.unique()]),
        };
        Self {
            shared,
            topic: topic.into(),
            consumer,
            is_own: options.queue.is_none(),
            concurrency: options.concurrency.max(1),
            open: Arc::default(),
            asking: None,
            is_draining: false,
        }
    }

    async fn subscribe(&mut self, losses: u64) -> Result<()> {
        let connection = &self.shared.connection;
        let Some(durable) = &self.shared.durable else {
            return Err(connection.gone());
        };
        let stream = durable.streams.of_topic(&self.topic).await?;
        self.consumer_at(durable, &stream).await?;
        let client = connection.client();
        let inbox = Subject::from(client.new_inbox());
        let subscriber = client.subscribe(inbox.clone()).await;
        self.asking = Some(Asking {
            next: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{}", self.consumer).into(),
            stream,
            inbox,
            subscriber: subscriber.map_err(|_| connection.gone())?,
            asked: 0,
            losses,
        });
        Ok(())
    }

    /// Makes the consumer if it is not there.
    async fn consumer_at(&self, durable: &Durable, stream: &str) -> Result<()> {
        let is_there = durable
            .context
            .get_consumer_from_stream::<pull::Config, _, _>(&self.consumer, stream)
            .await;
        if is_there.is_ok() {
            return Ok(());
        }
        let Some(config) = &self.shared.config.jetstream else {
            return Ok(());
        };
        let wanted = pull::Config {
            durable_name: Some(self.consumer.clone()),
            deliver_policy: DeliverPolicy::New,
            ack_policy: AckPolicy::Explicit,
            ack_wait: config.ack_wait,
            max_ack_pending: MAX_UNDECIDED,
            filter_subject: self.topic.to_string(),
            inactive_threshold: match self.is_own {
                true => config.forget_after,
                false => Duration::ZERO,
            },
            ..pull::Config::default()
        };
        let made = durable.context.create_consumer_on_stream(wanted, stream).await;
        made.map(drop).map_err(|problem| {
            error::jetstream(
                format_args!("the consumer {} of {:?}", self.consumer, self.topic),
                self.shared.connection.servers(),
                problem,
                "may this user use JetStream's API?",
            )
        })
    }

    fn event(
        &self,
        message: async_nats::Message,
        reply: Subject,
        decoded: micro_core::broker::Message,
    ) -> Event {
        let count = deliveries(&reply);
        let event = Event::new(self.topic.clone(), decoded);
        let event = match count {
            Some(count) => event.with_deliveries(count),
            None => event,
        };
        drop(message);
        match &self.shared.durable {
            Some(durable) => {
                let receipt = durable
                    .receipts
                    .receipt(reply, count.unwrap_or(1), self.open.clone());
                event.with_acknowledge(receipt)
            }
            None => event,
        }
    }
}

impl Asking {
    /// Asks for as many events as there is room for, but not for each one of many.
    async fn ask(&mut self, shared: &Shared, room: usize, concurrency: usize) -> Result<()> {
        let more = room.saturating_sub(self.asked);
        if more == 0 || (self.asked > 0 && more < concurrency.div_ceil(2)) {
            return Ok(());
        }
        let request = format!(r#"{{"batch":{more},"expires":{}}}"#, STANDS.as_nanos());
        let client = shared.connection.client();
        let asked = client
            .publish_with_reply(self.next.clone(), self.inbox.clone(), request.into())
            .await;
        asked.map_err(|_| shared.connection.gone())?;
        self.asked += more;
        Ok(())
    }
}

#[async_trait]
impl EventSource for Pull {
    async fn begin(&mut self) -> Result<()> {
        self.leave();
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
        loop {
            let shared = self.shared.clone();
            let connection = &shared.connection;
            let Some(asking) = &mut self.asking else {
                return Err(connection.gone());
            };
            let room = self
                .concurrency
                .saturating_sub(self.open.load(Ordering::Acquire))
                .max(1);
            if !self.is_draining {
                asking.ask(&shared, room, self.concurrency).await?;
            }
            // What is there needs no limit on the time.
            let message = match asking.subscriber.next().now_or_never() {
                Some(message) => Ok(message),
                None => tokio::select! {
                    biased;
                    message = timeout(STANDS + PATIENCE, asking.subscriber.next()) => message,
                    () = connection.lost(asking.losses) => {
                        return Err(error::interrupted("the connection was lost", connection.servers()));
                    }
                },
            };
            let message = match message {
                Ok(Some(message)) => message,
                Ok(None) if self.is_draining => return Ok(None),
                Ok(None) => return Err(connection.gone()),
                Err(_) => {
                    return Err(error::interrupted(
                        "the consumer says nothing any more",
                        connection.servers(),
                    ));
                }
            };
            if let Some(status) = message.status {
                match ended(status, message.headers.as_ref()) {
                    Some(left) => asking.asked = asking.asked.saturating_sub(left),
                    None => {
                        let said = message.description.as_deref().unwrap_or("no reason");
                        return Err(error::interrupted(
                            &format!("the consumer ended: {status} {said}"),
                            connection.servers(),
                        ));
                    }
                }
                continue;
            }
            asking.asked = asking.asked.saturating_sub(1);
            let Some(reply) = message.reply.clone() else {
                continue;
            };
            match envelope::decode(&message.payload) {
                Ok(decoded) => return Ok(Some(self.event(message, reply, decoded))),
                Err(problem) => {
                    tracing::warn!("a message to {} is left out: {}", self.topic, problem.detail());
                    give_up(connection.client(), reply).await;
                }
            }
        }
    }

    async fn drain(&mut self) -> Result<Remainder> {
        let Some(asking) = &mut self.asking else {
            return Ok(Remainder::Nothing);
        };
        // A queue's other subscribers get what is given back. A subscription of its own ends with its consumer, and
        // nobody else would get what the server has given out.
        if !self.is_own {
            return Ok(Remainder::Nothing);
        }
        let drained = asking.subscriber.drain().await;
        drained.map_err(|_| self.shared.connection.gone())?;
        self.is_draining = true;
        Ok(Remainder::Arrived)
    }
}

/// How many events of a request will not come, as the server says at its end. None: it is the consumer that ended.
fn ended(status: StatusCode, headers: Option<&HeaderMap>) -> Option<usize> {
    match status.as_u16() {
        // A sign of life.
        100 => Some(0),
        404 | 408 => {
            let left = headers.and_then(|headers| headers.get("Nats-Pending-Messages"));
            Some(
                left.and_then(|left| left.as_str().parse().ok())
                    .unwrap_or(usize::MAX),
            )
        }
        _ => None,
    }
}

impl Pull {
    /// Gives back what has arrived and what is on its way.
    fn leave(&mut self) {
        let Some(mut asking) = self.asking.take() else {
            return;
        };
        let client = self.shared.connection.client().clone();
        while let Some(Some(message)) = asking.subscriber.next().now_or_never() {
            asking.asked = asking.asked.saturating_sub(1);
            if let (Some(reply), None) = (message.reply, message.status) {
                give_back(&client, reply);
            }
        }
        if asking.asked == 0 || asking.losses != self.shared.connection.losses() {
            return;
        }
        // The server would take a message that it gives to nobody for given out.
        self.shared.see_off(async move {
            let rest = async {
                while asking.asked > 0 {
                    let Some(message) = asking.subscriber.next().await else {
                        return;
                    };
                    match (message.reply, message.status) {
                        (Some(reply), None) => {
                            asking.asked -= 1;
                            let _ = client.publish(reply, "-NAK".into()).await;
                        }
                        _ => return,
                    }
                }
            };
            let _ = timeout(STANDS + PATIENCE, rest).await;
        });
    }
}

impl Drop for Pull {
    fn drop(&mut self) {
        let stream = self.asking.as_ref().map(|asking| asking.stream.clone());
        if !self.is_own {
            return self.leave();
        }
        let (Some(stream), Some(durable)) = (stream, &self.shared.durable) else {
            return;
        };
        let (context, consumer) = (durable.context.clone(), self.consumer.clone());
        self.shared.see_off(async move {
            let deleted = context.delete_consumer_from_stream(&consumer, &stream).await;
            if let Err(problem) = deleted {
                tracing::debug!("the consumer {consumer} is left to lapse: {problem}");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_request_says_what_will_not_come() {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Pending-Messages", "3");
        let status = |code| StatusCode::try_from(code).unwrap();
        assert_eq!(ended(status(408), Some(&headers)), Some(3));
        assert_eq!(ended(status(404), None), Some(usize::MAX));
        assert_eq!(ended(status(100), None), Some(0));
        assert_eq!(ended(status(409), None), None);
    }
}
