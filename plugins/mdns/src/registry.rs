//! The registry itself.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use micro_core::Result;
use micro_core::registry::{RegisterOptions, Registry, ServiceRecord, Watcher, service_not_found};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::config::MdnsConfig;
use crate::lookup::{Lookups, gather, just_found};
use crate::record::{Key, LIST, NodeRecord, dns_ttl, is_service_name};
use crate::responder;
use crate::shared::Shared;
use crate::socket::Links;
use crate::watch::watch;

/// How many lookups to have under way at once when listing.
const AT_ONCE: usize = 32;

/// Go Micro's default registry: services tell each other by multicast DNS where they are.
///
/// Clones share sockets, what is registered, and the one task that answers. When the last clone is dropped, its
/// nodes say goodbye, the task ends, and watchers end with it; [`close`](Self::close) does the same and waits.
#[derive(Clone, Debug)]
pub struct MdnsRegistry(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    lookups: Arc<Lookups>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl MdnsRegistry {
    /// Opens the sockets and begins to hear and to answer.
    ///
    /// # Errors
    ///
    /// When the configuration makes no sense, or multicast works on none of the interfaces that it names.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O and time enabled.
    pub async fn connect(config: MdnsConfig) -> Result<Self> {
        config.check()?;
        let links = Links::open(&config).await?;
        let shared = Arc::new(Shared::new(config, links));
        let task = tokio::spawn(responder::run(shared.clone()));
        Ok(Self(Arc::new(Handle {
            shared,
            lookups: Arc::default(),
            task: Mutex::new(Some(task)),
        })))
    }

    /// Says goodbye for all nodes, ends all watches, and waits until the task has ended. After that every method
    /// fails. To close again does nothing.
    pub async fn close(&self) {
        for goodbye in self.0.shared.close() {
            // Who does not hear it will notice that the node does not answer.
            let _ = self.0.shared.tell(&goodbye).await;
        }
        if let Some(task) = self.0.take_task() {
            task.abort();
            let _ = task.await;
        }
    }

    /// Ends as a process that is killed: nobody is told, and nothing is answered any more. For tests.
    #[doc(hidden)]
    pub async fn kill(&self) {
        drop(self.0.shared.close());
        if let Some(task) = self.0.take_task() {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Handle {
    fn take_task(&self) -> Option<JoinHandle<()>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let links = self.shared.links();
        for goodbye in self.shared.close() {
            links.try_tell(&goodbye);
        }
        if let Some(task) = self.take_task() {
            task.abort();
        }
    }
}

#[async_trait]
impl Registry for MdnsRegistry {
    fn name(&self) -> &str {
        "mdns"
    }

    async fn register(&self, service: &ServiceRecord, options: RegisterOptions) -> Result<()> {
        let shared = &self.0.shared;
        shared.check_open()?;
        let ttl = dns_ttl(options.ttl);
        let node_record = |node| NodeRecord::new(service, node, &shared.config.domain, &shared.host, ttl);
        let nodes: Result<Vec<NodeRecord>> = service.nodes.iter().map(node_record).collect();
        let now = Instant::now();
        // A time to live that the clock cannot count ends never.
        let lapses = options.ttl.and_then(|ttl| now.checked_add(ttl));
        let mut new: Vec<Key> = Vec::new();
        let announcements: Vec<Vec<u8>> = {
            let nodes = nodes?;
            let mut state = shared.lock();
            let mut register = |node: NodeRecord| {
                let key = node.key();
                if !state.own.has(&key) {
                    new.push(key);
                }
                state.register(node, lapses, now)
            };
            nodes.into_iter().map(&mut register).collect()
        };
        shared.wake.notify_one();
        for announcement in announcements {
            if let Err(error) = shared.tell(&announcement).await {
                // What was not registered before is not now either; a node that was goes on until it lapses.
                let mut state = shared.lock();
                for key in &new {
                    state.deregister(key, now);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    async fn deregister(&self, service: &ServiceRecord) -> Result<()> {
        let shared = &self.0.shared;
        shared.check_open()?;
        let key = |id: &String| -> Key { (service.name.clone(), service.version.clone(), id.clone()) };
        let goodbyes: Vec<Vec<u8>> = {
            let now = Instant::now();
            let mut state = shared.lock();
            let keys = service.nodes.iter().map(|node| key(&node.id));
            keys.filter_map(|key| state.deregister(&key, now)).collect()
        };
        shared.wake.notify_one();
        for goodbye in goodbyes {
            shared.tell(&goodbye).await?;
        }
        Ok(())
    }

    async fn get_service(&self, name: &str) -> Result<Vec<ServiceRecord>> {
        let shared = &self.0.shared;
        shared.check_open()?;
        if !is_service_name(name, &shared.config.domain) {
            return Err(service_not_found(name));
        }
        if let Some(found) = just_found(shared, name) {
            return Ok(ServiceRecord::merge_versions(found));
        }
        let found = self.0.lookups.lookup(shared, name).await;
        if found.is_empty() {
            return Err(service_not_found(name));
        }
        Ok(ServiceRecord::merge_versions(found.iter().cloned()))
    }

    async fn list_services(&self) -> Result<Vec<ServiceRecord>> {
        let shared = &self.0.shared;
        shared.check_open()?;
        let listed = gather(shared, LIST, 1.0).await;
        let mut names: BTreeSet<String> = listed.into_iter().map(|record| record.name).collect();
        names.extend(shared.lock().own.services().map(str::to_owned));
        names.retain(|name| is_service_name(name, &shared.config.domain));
        // The list has names only; the versions are what the nodes say.
        let mut lookups = Vec::new();
        for name in &names {
            lookups.push(self.0.lookups.lookup(shared, name));
        }
        let mut records: Vec<ServiceRecord> = Vec::new();
        for found in at_once(lookups).await {
            records.extend(ServiceRecord::merge_versions(found.iter().cloned()));
        }
        records.sort_by(|one, other| (&one.name, &one.version).cmp(&(&other.name, &other.version)));
        Ok(records)
    }

    async fn watch(&self, service: Option<&str>) -> Result<Watcher> {
        self.0.shared.check_open()?;
        watch(&self.0.shared, service).await
    }
}

/// Runs futures side by side, no more than a bounded number of them.
pub(crate) async fn at_once<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures = futures.into_iter();
    let mut running: FuturesUnordered<F> = futures.by_ref().take(AT_ONCE).collect();
    let mut done = Vec::new();
    while let Some(output) = running.next().await {
        done.push(output);
        running.extend(futures.next());
    }
    done
}

#[cfg(test)]
mod tests {
    use micro_core::registry::Node;

    use super::*;
    use crate::config::Interfaces;

    #[tokio::test]
    async fn a_node_that_nobody_could_be_told_of_is_not_kept() {
        let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let config = MdnsConfig {
            interfaces: Interfaces::Only(vec!["127.0.0.1".into()]),
            port: port.local_addr().unwrap().port(),
            ..MdnsConfig::default()
        };
        let registry = MdnsRegistry::connect(config).await.unwrap();
        let of = |id| ServiceRecord::new("greeter", "1").with_nodes(vec![Node::new(id, "127.0.0.1:9100")]);
        let known = of("known");
        registry
            .register(&known, RegisterOptions::default())
            .await
            .unwrap();
        let shared = &registry.0.shared;
        shared.set_links(shared.links().without(0));
        for record in [&known, &of("new")] {
            let error = registry
                .register(record, RegisterOptions::default())
                .await
                .unwrap_err();
            assert!(error.detail().contains("cannot announce"), "{error}");
        }
        let kept = shared.lock().listing(None, Instant::now());
        let kept: Vec<&str> = kept.iter().map(|record| record.nodes[0].id.as_str()).collect();
        assert_eq!(kept, ["known"]);
    }
}
