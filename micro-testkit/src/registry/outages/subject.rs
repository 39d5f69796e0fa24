//! What the cases of outages of a registry do with it, and with the proxy before its server.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use micro_core::registry::{Action, KnownNodes, RegisterOptions, ServiceRecord, Watcher};
use micro_core::{Error, Registry};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep, timeout};

use super::OutageTraits;
use crate::proxy::Proxy;
use crate::registry::RegistryTraits;
use crate::registry::subject::{LONG, Make, RegistrySubject, ids_of};
use crate::suite::{Boxed, Ending, Failure, Outcome, Subject, ensure, outage, soon};

/// A registry that is connected through a proxy, and one that is not.
#[derive(Clone)]
pub(in crate::registry) struct OutageSubject {
    pub(super) through: Arc<dyn Registry>,
    pub(super) connect_through: Make,
    pub(super) direct: RegistrySubject,
    proxy: Arc<Mutex<Proxy>>,
    pub(super) address: SocketAddr,
    pub(super) traits: OutageTraits,
}

impl Subject for OutageSubject {
    fn clean(self) -> Boxed<()> {
        self.direct.clean()
    }
}

impl OutageSubject {
    pub(super) async fn new(
        proxy: Proxy,
        connect_through: Make,
        direct: Make,
        traits: OutageTraits,
    ) -> Result<Self, Failure> {
        let registry_traits = RegistryTraits {
            seen_within: traits.works_within,
            ..RegistryTraits::default()
        };
        Ok(Self {
            through: connect_through().await?,
            connect_through,
            direct: RegistrySubject::new(direct, Arc::new(registry_traits)).await?,
            address: proxy.address(),
            proxy: Arc::new(Mutex::new(proxy)),
            traits,
        })
    }

    pub(super) async fn proxy(&self) -> MutexGuard<'_, Proxy> {
        self.proxy.lock().await
    }

    pub(super) async fn mend(&self) -> Outcome {
        outage::mend(&self.proxy).await
    }

    pub(super) async fn watch(&self, service: Option<&str>) -> Result<Watched, Ending> {
        let watcher = soon(self.traits.works_within, "watch", self.through.watch(service)).await??;
        Ok(Watched {
            watcher,
            known: KnownNodes::new(),
            errors: 0,
            prefix: self.direct.prefix().to_owned(),
        })
    }

    /// Registers through the proxy, as core's loop does: until it works.
    pub(super) async fn register_until_it_works(&self, record: &ServiceRecord) -> Outcome {
        let until = Instant::now() + self.traits.works_within;
        let options = RegisterOptions { ttl: Some(LONG) };
        while let Err(error) = self.through.register(record, options).await {
            ensure!(Instant::now() < until, "registering does not work again: {error}");
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Looks up through the proxy until it works.
    pub(super) async fn look_up_until_it_works(&self, name: &str) -> Result<Vec<ServiceRecord>, Ending> {
        let until = Instant::now() + self.traits.works_within;
        loop {
            match self.through.get_service(name).await {
                Ok(records) => return Ok(records),
                Err(error) => {
                    ensure!(Instant::now() < until, "look-ups do not work again: {error}");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
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
    pub(super) fn check(&self, error: &Error, names: &str) -> Outcome {
        outage::is_of_absence(error, self.address, names)
    }
}

/// A watcher, what it told, and how often it told of trouble.
pub(super) struct Watched {
    watcher: Watcher,
    known: KnownNodes,
    pub(super) errors: usize,
    prefix: String,
}

impl Watched {
    /// Reads one more item. Other runs' services are left out.
    pub(super) async fn read(&mut self) -> Outcome {
        match self.watcher.next().await {
            Err(_) => self.errors += 1,
            Ok(change) if change.service.name.starts_with(&self.prefix) => {
                let told = self.known.apply(change.clone());
                // Deleting what the watch began with is news that `known` cannot judge.
                let is_news = change.action == Action::Delete || told.len() == change.service.nodes.len();
                ensure!(is_news, "the watcher told what it had told before: {change:?}");
            }
            Ok(_) => {}
        }
        Ok(())
    }

    /// Reads until just these nodes of a service are known.
    pub(super) async fn until(&mut self, name: &str, ids: &[String], within: Duration) -> Outcome {
        let read = async {
            while ids_of(&self.known.service(name)) != ids {
                self.read().await?;
            }
            Ok(())
        };
        match timeout(within, read).await {
            Ok(read) => read,
            Err(_) => Err(Ending::failed(format!(
                "the watcher does not know {ids:?} within {within:?} but {:?}",
                ids_of(&self.known.service(name))
            ))),
        }
    }

    pub(super) async fn until_trouble(&mut self, within: Duration) -> Outcome {
        let trouble = async {
            while self.errors == 0 {
                self.read().await?;
            }
            Ok(())
        };
        soon(within, "the watcher told nothing of the outage", trouble).await?
    }
}
