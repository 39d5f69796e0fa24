//! Whether an event arrives: subscribed to over one connection, published over another.

use std::time::{Duration, Instant};

use futures_util::future::try_join;
use micro::broker::{Broker, Message, SubscribeOptions, Subscription};
use micro::{Error, Result};
use tokio::time::timeout;

use super::{Finding, Report};
use crate::failure::Outcome;
use crate::network::Network;
use crate::quantity::moment;

const WHAT: &str = "events";
/// Within this, an event should arrive wherever its subscriber is.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn examine(network: &Network, report: &mut Report<'_>) -> Outcome {
    let broker = &network.settings().broker.name;
    let carried = match timeout(PATIENCE, carry(network)).await {
        Ok(carried) => carried,
        Err(_) => Err(Error::timeout(
            "micro.doctor",
            format!("an event did not arrive within {PATIENCE:?}"),
        )),
    };
    report.tell(match carried {
        Ok(took) => Finding::ok(WHAT, format!("{broker} carried one in {}", moment(took))),
        Err(error) => Finding::fail(
            WHAT,
            format!("{broker}: {}", error.detail()),
            "check --broker and --broker_address, and whether the broker runs and can be reached",
        ),
    })
}

/// How long an event took from one connection to another.
async fn carry(network: &Network) -> Result<Duration> {
    let settings = network.settings();
    let connect = || async {
        let registry = settings.connect_registry().await?;
        settings.connect_broker(registry).await
    };
    let (subscriber, publisher) = try_join(connect(), connect()).await?;
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    // With a dot, because DNS limits what stands between dots, and a subscription's id is added to it.
    let topic = format!("micro-doctor.{}-{}", std::process::id(), now.subsec_nanos());
    let mut events = subscriber.subscribe(&topic, SubscribeOptions::default()).await?;
    let began = Instant::now();
    tokio::select! {
        received = receive(&mut events) => received?,
        failed = send(publisher.as_ref(), &topic) => return Err(failed),
    }
    let took = began.elapsed();
    events.drain();
    while events.next().await.is_some() {}
    Ok(took)
}

async fn receive(events: &mut Subscription) -> Result<()> {
    match events.next().await {
        Some(Ok(event)) => event.acknowledge().await,
        Some(Err(error)) => Err(error),
        None => Err(Error::unavailable("micro.doctor", "the subscription ended")),
    }
}

/// Publishes again and again, until that fails: a publisher may hear of a new subscriber a moment later.
async fn send(broker: &dyn Broker, topic: &str) -> Error {
    let message = Message::new("{}").with_header("Content-Type", "application/json");
    loop {
        if let Err(error) = broker.publish(topic, message.clone()).await {
            return error;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
