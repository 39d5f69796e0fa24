//! A service's subscriptions: takes events and has them handled, so many at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::handling::handle;
use crate::broker::Subscription;
use crate::server::Subscribed;
use crate::{Broker, Result};

/// How long a subscription rests after its broker told of trouble.
const PAUSE: Duration = Duration::from_millis(100);

/// Subscriptions that run. Dropping them cuts off what is being handled.
pub(super) struct Subscriptions {
    drain: CancellationToken,
    tasks: JoinSet<()>,
}

impl Subscriptions {
    /// Subscribes; from then on events are handled.
    pub(super) async fn start(broker: &Arc<dyn Broker>, subscribers: &[Subscribed]) -> Result<Self> {
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
            let run = run(
                subscription,
                subscribed.clone(),
                broker.clone(),
                subscriptions.drain.clone(),
            );
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

async fn run(
    mut subscription: Subscription,
    subscribed: Subscribed,
    broker: Arc<dyn Broker>,
    drain: CancellationToken,
) {
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
                    handling.spawn(handle(event, subscribed.clone(), broker.clone()));
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
