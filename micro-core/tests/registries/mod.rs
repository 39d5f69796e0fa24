//! A registry made for tests: it counts, fails, hangs and forgets on command.
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use micro_core::registry::{MemoryRegistry, Node, RegisterOptions, Registry, ServiceRecord, Watcher};
use micro_core::{Error, Result};
use tokio::sync::{Mutex, Notify};

/// A memory registry behind a connection that can break.
#[derive(Default)]
pub(crate) struct Moody {
    name: &'static str,
    inner: Mutex<MemoryRegistry>,
    pub(crate) down: AtomicBool,
    pub(crate) blind: AtomicBool,
    pub(crate) slow: AtomicBool,
    /// Nothing is answered, ever.
    pub(crate) hangs: AtomicBool,
    /// The list of services has no nodes.
    pub(crate) is_brief: AtomicBool,
    /// It takes no registrations, and has no list.
    pub(crate) only_reads: AtomicBool,
    /// Says so instead of doing nothing.
    pub(crate) refuses: AtomicBool,
    pub(crate) lookups: AtomicUsize,
    pub(crate) watches: AtomicUsize,
    pub(crate) watchers: Arc<AtomicUsize>,
    broken: Arc<Notify>,
}

impl Moody {
    pub(crate) fn new() -> Arc<Self> {
        Self::named("moody")
    }

    pub(crate) fn named(name: &'static str) -> Arc<Self> {
        Arc::new(Self {
            name,
            ..Self::default()
        })
    }

    pub(crate) async fn add(&self, version: &str, id: &str) {
        let node = Node::new(id, format!("127.0.0.1:{}", 1000 + id.len()));
        let record = ServiceRecord::new("greeter", version).with_nodes(vec![node]);
        self.put(&record).await;
    }

    pub(crate) async fn put(&self, record: &ServiceRecord) {
        let inner = self.inner.lock().await.clone();
        inner.register(record, RegisterOptions::default()).await.unwrap();
    }

    pub(crate) async fn remove(&self, version: &str, id: &str) {
        let record = ServiceRecord::new("greeter", version).with_nodes(vec![Node::new(id, "")]);
        self.inner.lock().await.clone().deregister(&record).await.unwrap();
    }

    /// Every watcher reports an error, and nothing is answered until `come_back`.
    pub(crate) fn go_down(&self) {
        self.down.store(true, SeqCst);
        self.broken.notify_waiters();
    }

    pub(crate) fn come_back(&self) {
        self.down.store(false, SeqCst);
    }

    /// Comes back as a registry that was restarted and has forgotten everything.
    pub(crate) async fn come_back_empty(&self) {
        *self.inner.lock().await = MemoryRegistry::new();
        self.come_back();
    }

    pub(crate) fn lookups(&self) -> usize {
        self.lookups.load(SeqCst)
    }

    fn ignores_or_refuses(&self) -> Result<()> {
        match self.refuses.load(SeqCst) {
            true => Err(Error::method_not_allowed(self.name, "only reads")),
            false => Ok(()),
        }
    }

    /// One that only reads answers for names only.
    fn is_for_names(&self, service: Option<&str>) -> Result<()> {
        match self.only_reads.load(SeqCst) && !self.down.load(SeqCst) && service.is_none() {
            true => Err(Error::method_not_allowed(self.name, "no list")),
            false => Ok(()),
        }
    }

    async fn answer(&self) -> Result<MemoryRegistry> {
        if self.hangs.load(SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.slow.load(SeqCst) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        if self.down.load(SeqCst) {
            return Err(Error::unavailable("moody", "connection refused"));
        }
        Ok(self.inner.lock().await.clone())
    }
}

/// Counts the watchers that live.
struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[async_trait]
impl Registry for Moody {
    fn name(&self) -> &str {
        self.name
    }

    fn takes_registrations(&self) -> bool {
        !self.only_reads.load(SeqCst)
    }

    async fn register(&self, service: &ServiceRecord, options: RegisterOptions) -> Result<()> {
        if self.only_reads.load(SeqCst) {
            return self.ignores_or_refuses();
        }
        self.answer().await?.register(service, options).await
    }

    async fn deregister(&self, service: &ServiceRecord) -> Result<()> {
        if self.only_reads.load(SeqCst) {
            return self.ignores_or_refuses();
        }
        self.answer().await?.deregister(service).await
    }

    async fn get_service(&self, name: &str) -> Result<Vec<ServiceRecord>> {
        self.lookups.fetch_add(1, SeqCst);
        self.answer().await?.get_service(name).await
    }

    async fn list_services(&self) -> Result<Vec<ServiceRecord>> {
        self.is_for_names(None)?;
        let mut listed = self.answer().await?.list_services().await?;
        if self.is_brief.load(SeqCst) {
            listed.iter_mut().for_each(|record| record.nodes.clear());
        }
        Ok(listed)
    }

    async fn watch(&self, service: Option<&str>) -> Result<Watcher> {
        self.watches.fetch_add(1, SeqCst);
        self.is_for_names(service)?;
        let changes = self.answer().await?.watch(service).await?;
        if self.blind.load(SeqCst) {
            return Ok(Watcher::new(futures_util::stream::pending()));
        }
        self.watchers.fetch_add(1, SeqCst);
        let alive = Alive(self.watchers.clone());
        let broken = self.broken.clone();
        let trouble = futures_util::stream::once(async move {
            let _alive = alive;
            broken.notified().await;
            Err(Error::unavailable("moody", "connection lost"))
        });
        Ok(Watcher::new(futures_util::stream::select(
            changes,
            trouble.boxed(),
        )))
    }
}
