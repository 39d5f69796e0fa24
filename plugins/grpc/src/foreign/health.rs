//! What foreign nodes say of their health: those that say they do not serve are left out.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use micro_core::codec::PROTOBUF;
use micro_core::handler::CallKind;
use micro_core::registry::{
    KnownNodes, News, Node, RegisterOptions, Registry, ServiceRecord, WatchSource, Watcher,
};
use micro_core::{Error, ErrorKind, Request, Result, Transport};
use prost::Message;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use super::ForeignServices;

/// How long a node is left alone whose answer broke off.
const PAUSE: Duration = Duration::from_secs(1);

const SERVING: i32 = 1;

#[derive(Clone, PartialEq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// Foreign services without the nodes that say they do not serve.
pub(super) struct Healthy {
    services: ForeignServices,
    transport: Arc<dyn Transport>,
    /// For each package whose nodes are asked.
    verdicts: BTreeMap<String, Arc<Verdicts>>,
}

/// What the nodes of a package said.
struct Verdicts {
    /// The service that they are asked about.
    service: String,
    /// The addresses of those that do not serve.
    sick: Mutex<HashSet<String>>,
    news: Notify,
}

impl Healthy {
    pub(super) fn new(services: ForeignServices, transport: Arc<dyn Transport>) -> Self {
        let asked = services.health.iter();
        let verdicts = asked.map(|(package, service)| {
            let verdicts = Verdicts {
                service: service.clone(),
                sick: Mutex::default(),
                news: Notify::new(),
            };
            (package.clone(), Arc::new(verdicts))
        });
        Self {
            verdicts: verdicts.collect(),
            services,
            transport,
        }
    }
}

impl Verdicts {
    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.sick.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, address: &str, serves: bool) {
        let is_news = match serves {
            true => self.lock().remove(address),
            false => self.lock().insert(address.to_owned()),
        };
        if is_news {
            tracing::debug!(address, serves, "foreign services: a node's health changed");
            self.news.notify_one();
        }
    }

    /// The records without the nodes that do not serve; all where none does, since they may know best why they are
    /// called.
    fn sifted(&self, mut records: Vec<ServiceRecord>) -> Vec<ServiceRecord> {
        let sick = self.lock();
        let serves = |node: &Node| !sick.contains(&node.address);
        if !records.iter().flat_map(|record| &record.nodes).any(serves) {
            return records;
        }
        records.iter_mut().for_each(|record| record.nodes.retain(serves));
        records.retain(|record| !record.nodes.is_empty());
        records
    }
}

#[async_trait]
impl Registry for Healthy {
    fn name(&self) -> &str {
        self.services.name()
    }

    fn takes_registrations(&self) -> bool {
        false
    }

    async fn register(&self, service: &ServiceRecord, options: RegisterOptions) -> Result<()> {
        self.services.register(service, options).await
    }

    async fn deregister(&self, service: &ServiceRecord) -> Result<()> {
        self.services.deregister(service).await
    }

    async fn get_service(&self, name: &str) -> Result<Vec<ServiceRecord>> {
        let records = self.services.get_service(name).await?;
        Ok(match self.verdicts.get(name) {
            Some(verdicts) => verdicts.sifted(records),
            None => records,
        })
    }

    async fn list_services(&self) -> Result<Vec<ServiceRecord>> {
        self.services.list_services().await
    }

    async fn watch(&self, service: Option<&str>) -> Result<Watcher> {
        let asked = service.and_then(|name| self.verdicts.get(name).map(|verdicts| (name, verdicts)));
        let Some((package, verdicts)) = asked else {
            return self.services.watch(service).await;
        };
        let watched = Watched {
            package: package.to_owned(),
            services: self.services.clone(),
            transport: self.transport.clone(),
            verdicts: verdicts.clone(),
            watcher: None,
            known: KnownNodes::new(),
            asking: JoinSet::new(),
            asked: HashMap::new(),
        };
        Watcher::follow(format!("the watch of package {package:?}"), watched).await
    }
}

/// A package's nodes, and whoever asks them.
struct Watched {
    package: String,
    services: ForeignServices,
    transport: Arc<dyn Transport>,
    verdicts: Arc<Verdicts>,
    watcher: Option<Watcher>,
    known: KnownNodes,
    /// One task a node. They end with this.
    asking: JoinSet<()>,
    asked: HashMap<String, AbortHandle>,
}

impl Drop for Watched {
    /// Nobody asks them from now on: what they said last does not count for ever.
    fn drop(&mut self) {
        for address in self.asked.keys() {
            self.verdicts.note(address, true);
        }
    }
}

impl Watched {
    /// Asks those nodes that are known, and no others.
    fn listing(&mut self) -> Vec<ServiceRecord> {
        // What ended by itself is forgotten.
        while self.asking.try_join_next().is_some() {}
        let records = self.known.service(&self.package);
        let nodes: HashMap<_, _> = records
            .iter()
            .flat_map(|record| &record.nodes)
            .map(|node| (node.address.as_str(), node))
            .collect();
        let gone: Vec<_> = self
            .asked
            .extract_if(|address, _| !nodes.contains_key(address.as_str()))
            .collect();
        for (address, asking) in gone {
            asking.abort();
            self.verdicts.note(&address, true);
        }
        for (address, node) in nodes {
            if !self.asked.contains_key(address) {
                let asking = ask(self.transport.clone(), node.clone(), self.verdicts.clone());
                self.asked.insert(address.to_owned(), self.asking.spawn(asking));
            }
        }
        self.verdicts.sifted(records)
    }
}

#[async_trait]
impl WatchSource for Watched {
    async fn begin(&mut self) -> Result<Vec<ServiceRecord>> {
        self.watcher = Some(self.services.watch(Some(&self.package)).await?);
        let records = match self.services.get_service(&self.package).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            records => records?,
        };
        self.known.replace(records);
        Ok(self.listing())
    }

    async fn next(&mut self) -> Result<News> {
        let Some(watcher) = &mut self.watcher else {
            return Ok(News::End);
        };
        tokio::select! {
            change = watcher.next() => {
                self.known.apply(change?);
            }
            () = self.verdicts.news.notified() => {}
        }
        Ok(News::Listing(self.listing()))
    }
}

/// Asks a node for its health as long as it answers, unless it knows nothing of health. One that cannot be asked
/// counts as one that serves: whether it can be called is known by calls.
async fn ask(transport: Arc<dyn Transport>, node: Node, verdicts: Arc<Verdicts>) {
    loop {
        let ended = listen(&*transport, &node, &verdicts).await;
        verdicts.note(&node.address, true);
        if ended.is_err_and(|error| matches!(error.code(), 404 | 501)) {
            return;
        }
        sleep(PAUSE).await;
    }
}

async fn listen(transport: &dyn Transport, node: &Node, verdicts: &Verdicts) -> Result<()> {
    let peer = transport.dial(node).await?;
    let question = HealthCheckRequest {
        service: verdicts.service.clone(),
    };
    let question = Bytes::from(question.encode_to_vec());
    let mut request = Request::new("", "/grpc.health.v1.Health/Watch", question);
    request.kind = CallKind::Stream;
    request.content_type = PROTOBUF;
    let mut answers = peer.handle(request).await?.body;
    while let Some(answer) = answers.message().await {
        let answer = HealthCheckResponse::decode(answer?).map_err(|problem| {
            Error::internal(
                super::FOREIGN,
                format!("{}: no answer of Health: {problem}", node.address),
            )
        })?;
        verdicts.note(&node.address, answer.status == SERVING);
    }
    Ok(())
}
