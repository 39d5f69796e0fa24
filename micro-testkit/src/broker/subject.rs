//! The broker that a case tests, and what cases ask of it.

use std::fmt::Display;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::select_all;
use micro_core::broker::{Message, SubscribeOptions};
use micro_core::{Broker, Result};
use tokio::time::timeout;

use super::BrokerTraits;
use super::listener::{Decision, Listener, Probes};
use crate::suite::{Boxed, Ending, Failure, Subject, soon};

/// What makes brokers for the cases.
pub(super) type Make = Arc<dyn Fn() -> Boxed<std::result::Result<Arc<dyn Broker>, Failure>> + Send + Sync>;

pub(super) fn maker<F, Fut, B, E>(factory: F) -> Make
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = std::result::Result<B, E>> + Send + 'static,
    B: Broker,
    E: Display,
{
    Arc::new(move || {
        let made = factory();
        Box::pin(async move {
            match made.await {
                Ok(broker) => Ok(Arc::new(broker) as Arc<dyn Broker>),
                Err(error) => Err(Failure::new(format!("the factory made no broker: {error}"))),
            }
        })
    })
}

/// How often a probe is published until it arrives.
const PROBING: Duration = Duration::from_millis(20);
/// The header that tells a probe from an event.
pub(super) const PROBE: &str = "Probe";

/// The broker that a case tests. Its topics have names of their own, so that cases may share a server.
#[derive(Clone)]
pub struct BrokerSubject {
    broker: Arc<dyn Broker>,
    make: Make,
    traits: Arc<BrokerTraits>,
    run: String,
    /// The members of queues, by topic and queue.
    members: Arc<Mutex<Vec<Member>>>,
}

type Member = (String, String, Probes);

impl BrokerSubject {
    pub(super) async fn new(make: Make, traits: Arc<BrokerTraits>) -> std::result::Result<Self, Failure> {
        Ok(Self {
            broker: make().await?,
            make,
            traits,
            run: format!("tk{:08x}", fastrand::u32(..)),
            members: Arc::default(),
        })
    }

    pub(super) fn traits(&self) -> &BrokerTraits {
        &self.traits
    }

    pub(super) fn broker(&self) -> &Arc<dyn Broker> {
        &self.broker
    }

    /// Another instance, as another process would have it.
    pub(super) async fn another(&self) -> std::result::Result<Arc<dyn Broker>, Failure> {
        (self.make)().await
    }

    /// A name that no other run and case uses, for topics and queues.
    pub(super) fn name(&self, tail: &str) -> String {
        format!("{}.{tail}", self.run)
    }

    pub(super) async fn publish(&self, topic: &str, body: impl Into<bytes::Bytes>) -> Result<()> {
        publish(&*self.broker, topic, body).await
    }

    /// A subscription without a queue that acknowledges and notes all it gets, from the first event after this on.
    pub(super) async fn listen(&self, topic: &str) -> std::result::Result<Listener, Ending> {
        let listener = self
            .subscribe(&self.broker, topic, SubscribeOptions::default(), |_| {
                Decision::Acknowledge
            })
            .await?;
        self.settle(topic, &[&listener]).await?;
        Ok(listener)
    }

    /// One of a queue, likewise.
    pub(super) async fn join(&self, topic: &str, queue: &str) -> std::result::Result<Listener, Ending> {
        let listener = self.join_and(topic, queue, |_| Decision::Acknowledge).await?;
        self.settle(topic, &[&listener]).await?;
        Ok(listener)
    }

    /// One of a queue that decides as it is told to.
    pub(super) async fn join_and(
        &self,
        topic: &str,
        queue: &str,
        decide: impl FnMut(&Message) -> Decision + Send + 'static,
    ) -> std::result::Result<Listener, Ending> {
        let options = SubscribeOptions {
            queue: Some(queue.into()),
            ..SubscribeOptions::default()
        };
        self.subscribe(&self.broker, topic, options, decide).await
    }

    pub(super) async fn subscribe(
        &self,
        broker: &Arc<dyn Broker>,
        topic: &str,
        options: SubscribeOptions,
        decide: impl FnMut(&Message) -> Decision + Send + 'static,
    ) -> std::result::Result<Listener, Ending> {
        let queue = options.queue.as_deref().map(str::to_owned);
        let subscribed = soon(
            self.traits.arrives_within,
            "subscribing",
            broker.subscribe(topic, options),
        );
        let listener = Listener::new(
            subscribed.await??,
            self.traits.arrives_within,
            queue.clone(),
            decide,
        );
        if let Some(queue) = queue {
            let member = (topic.to_owned(), queue, listener.probes());
            self.members
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(member);
        }
        Ok(listener)
    }

    /// Publishes probes until each of these has seen one, or another of its queue has: from then on events surely
    /// find them. Where a queue's events need not spread, that may be one that is not among these.
    pub(super) async fn settle(
        &self,
        topic: &str,
        listeners: &[&Listener],
    ) -> std::result::Result<(), Ending> {
        self.settle_from(&self.broker, topic, listeners).await
    }

    /// The same for events that this broker publishes.
    pub(super) async fn settle_from(
        &self,
        broker: &Arc<dyn Broker>,
        topic: &str,
        listeners: &[&Listener],
    ) -> std::result::Result<(), Ending> {
        let round = format!("{:08x}", fastrand::u32(..));
        let settled = async {
            for listener in listeners {
                let alike = self.alike(topic, listener, listeners);
                let probed = || {
                    let one = alike.iter().cloned();
                    select_all(one.map(|probes| Box::pin(probes.probed(&round))))
                };
                loop {
                    let probe = Message::new("probe").with_header(PROBE, round.as_str());
                    broker.publish(topic, probe).await?;
                    if timeout(PROBING, probed()).await.is_ok() {
                        break;
                    }
                }
            }
            Ok::<_, Ending>(())
        };
        soon(
            self.traits.arrives_within,
            "a first event arriving at each subscription",
            settled,
        )
        .await?
    }
}

impl BrokerSubject {
    /// Those of which one gets what is for a listener.
    fn alike(&self, topic: &str, listener: &Listener, listeners: &[&Listener]) -> Vec<Probes> {
        let Some(queue) = listener.queue() else {
            return vec![listener.probes()];
        };
        if self.traits.spreads {
            let same = listeners.iter().filter(|other| other.queue() == Some(queue));
            return same.map(|other| other.probes()).collect();
        }
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        let same = members
            .iter()
            .filter(|member| member.0 == topic && member.1 == queue);
        same.map(|member| member.2.clone()).collect()
    }
}

pub(super) async fn publish(broker: &dyn Broker, topic: &str, body: impl Into<bytes::Bytes>) -> Result<()> {
    broker.publish(topic, Message::new(body)).await
}

impl Subject for BrokerSubject {}
