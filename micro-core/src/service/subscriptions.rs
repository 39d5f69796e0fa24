//! A service's subscriptions: takes events, has them handled, says what became of them.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::broker::{Event, Subscription};
use crate::codec::PROTOBUF;
use crate::handler::Request;
use crate::server::Subscribed;
use crate::wire::of_event;
use crate::{Broker, Handler, Result, Text};

/// How long a subscription rests after its broker told of trouble.
const PAUSE: Duration = Duration::from_millis(100);

/// Subscriptions that run. Dropping them cuts off what is being handled.
pub(super) struct Subscriptions {
    drain: CancellationToken,
    tasks: JoinSet<()>,
}

impl Subscriptions {
    /// Subscribes; from then on events are handled.
    pub(super) async fn start(broker: &dyn Broker, subscribers: &[Subscribed]) -> Result<Self> {
        let mut subscriptions = Self {
            drain: CancellationToken::new(),
            tasks: JoinSet::new(),
        };
        for subscribed in subscribers {
            let subscription = broker
                .subscribe(&subscribed.topic, subscribed.options.clone())
                .await?;
            tracing::info!(broker = broker.name(), topic = %subscribed.topic,
                queue = subscribed.options.queue.as_deref(), "subscribed");
            let run = run(subscription, subscribed.clone(), subscriptions.drain.clone());
            subscriptions.tasks.spawn(run);
        }
        Ok(subscriptions)
    }

    /// Takes no new events. Those that have arrived are still handled.
    pub(super) fn drain(&self) {
        self.drain.cancel();
    }

    /// Waits until all is handled, or the time is over; what still runs then is cut off.
    pub(super) async fn finish(mut self, within: Duration) {
        let all_done = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(within, all_done).await.is_err() {
            tracing::warn!(
                cut_off = self.tasks.len(),
                ?within,
                "subscriptions outlived the grace of a stopping service"
            );
        }
        self.tasks.shutdown().await;
    }
}

async fn run(mut subscription: Subscription, subscribed: Subscribed, drain: CancellationToken) {
    let mut handling = JoinSet::new();
    let mut is_draining = false;
    loop {
        tokio::select! {
            biased;
            () = drain.cancelled(), if !is_draining => {
                is_draining = true;
                subscription.drain();
            }
            Some(_) = handling.join_next() => {}
            event = subscription.next(), if handling.len() < subscribed.options.concurrency.max(1) => match event {
                Some(Ok(event)) => {
                    handling.spawn(handle(event, subscribed.handler.clone()));
                }
                Some(Err(error)) => {
                    tracing::warn!(topic = %subscribed.topic, %error, "the broker has trouble; going on");
                    sleep(PAUSE).await;
                }
                None => break,
            },
        }
    }
    while handling.join_next().await.is_some() {}
    if !is_draining {
        tracing::error!(topic = %subscribed.topic, "the broker ended the subscription");
    }
}

async fn handle(mut event: Event, handler: Arc<dyn Handler>) {
    let topic = event.topic().clone();
    let outcome = handler.handle(request(&mut event)).await;
    let told = match outcome {
        Ok(_) => event.acknowledge().await,
        Err(error) => {
            tracing::warn!(%topic, %error, "an event was rejected");
            event.reject(&error).await
        }
    };
    if let Err(error) = told {
        tracing::warn!(%topic, %error, "the broker could not be told what became of an event");
    }
}

/// An event as a request to the endpoint of its topic's name.
fn request(event: &mut Event) -> Request {
    let topic = event.topic().clone();
    let message = event.take_message();
    let mut request = Request::new("", topic, message.body);
    request.metadata = of_event(&message.header);
    // Go Micro's default.
    request.content_type = message.header.get("Content-Type").map_or(PROTOBUF, Text::from);
    request
}
