//! What the cases of outages of a broker do with it, and with the proxy before its server.

use std::any::Any;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use micro_core::Error;
use micro_core::broker::{Event, SubscribeOptions, Subscription};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep, timeout};

use super::OutageTraits;
use crate::broker::BrokerTraits;
use crate::broker::subject::{BrokerSubject, Make};
use crate::proxy::Proxy;
use crate::suite::{Ending, Failure, Outcome, Subject, ensure, outage, soon};

/// A broker that is connected through a proxy.
#[derive(Clone)]
pub(in crate::broker) struct OutageSubject {
    pub(super) through: BrokerSubject,
    pub(super) connect: Make,
    proxy: Arc<Mutex<Proxy>>,
    _kept: Arc<Mutex<Box<dyn Any + Send>>>,
    pub(super) address: SocketAddr,
    pub(super) traits: OutageTraits,
}

impl Subject for OutageSubject {}

impl OutageSubject {
    pub(super) async fn new(
        proxy: Proxy,
        kept: Box<dyn Any + Send>,
        connect: Make,
        traits: OutageTraits,
    ) -> Result<Self, Failure> {
        let broker_traits = BrokerTraits {
            arrives_within: traits.works_within,
            ..BrokerTraits::default()
        };
        Ok(Self {
            through: BrokerSubject::new(connect.clone(), Arc::new(broker_traits)).await?,
            connect,
            address: proxy.address(),
            proxy: Arc::new(Mutex::new(proxy)),
            _kept: Arc::new(Mutex::new(kept)),
            traits,
        })
    }

    pub(super) async fn proxy(&self) -> MutexGuard<'_, Proxy> {
        self.proxy.lock().await
    }

    pub(super) async fn mend(&self) -> Outcome {
        outage::mend(&self.proxy).await
    }

    pub(super) fn queue(&self) -> SubscribeOptions {
        SubscribeOptions {
            queue: Some(self.through.name("workers").into()),
            ..SubscribeOptions::default()
        }
    }

    pub(super) async fn subscribe(
        &self,
        topic: &str,
        options: SubscribeOptions,
    ) -> Result<Subscription, Ending> {
        let subscribing = self.through.broker().subscribe(topic, options);
        Ok(soon(self.traits.works_within, "subscribing", subscribing).await??)
    }

    /// Publishes until it works.
    pub(super) async fn publish_until_it_works(&self, topic: &str, body: &str, within: Duration) -> Outcome {
        let until = Instant::now() + within;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match timeout(left, self.through.publish(topic, body.to_owned())).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => ensure!(Instant::now() < until, "publishing does not work again: {error}"),
                Err(_) => return Err(Ending::failed("publishing hangs although the server is there")),
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Publishes until the subscription, which may have missed some, gives out one.
    pub(super) async fn until_an_event(
        &self,
        topic: &str,
        subscription: &mut Subscription,
        within: Duration,
    ) -> Outcome {
        let publishing = async {
            loop {
                let _ = self.through.publish(topic, "probe").await;
                sleep(Duration::from_millis(50)).await;
            }
        };
        let arriving = async {
            // One from before the outage cannot be acknowledged, and comes again.
            while next(subscription).await?.acknowledge().await.is_err() {}
            Ok::<_, Ending>(())
        };
        let both = async {
            tokio::select! {
                arrived = arriving => arrived,
                () = publishing => Ok(()),
            }
        };
        soon(within, "an event after the outage", both).await?
    }

    /// Hangs up on everybody for a while, and returns how often it was connected to meanwhile.
    pub(super) async fn hang_up<T>(&self, meanwhile: impl Future<Output = T>) -> Result<usize, Ending> {
        outage::hang_up(&self.proxy, meanwhile).await
    }

    /// Waits until hardly more connections are open than there were before.
    pub(super) async fn closes(&self, before: usize) -> Outcome {
        outage::closes(&self.proxy, before, self.traits.works_within).await
    }

    /// The error must be of the server being away, in words that help.
    pub(super) fn check(&self, error: &Error, topic: &str) -> Outcome {
        outage::is_of_absence(error, self.address, topic)
    }
}

/// The next event; trouble that is told in between is no matter.
pub(super) async fn next(subscription: &mut Subscription) -> Result<Event, Ending> {
    loop {
        match subscription.next().await {
            Some(Ok(event)) => return Ok(event),
            Some(Err(_)) => {}
            None => return Err(Ending::failed("the subscription ended")),
        }
    }
}
