//! The registry itself.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_nats::client::PublishErrorKind;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use micro_core::registry::{Action, RegisterOptions, Registry, ServiceRecord, Watcher, service_not_found};
use micro_core::{Error, ErrorKind, Result};
use micro_nats_connection::{NatsConnection, Role};
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::config::NatsRegistryConfig;
use crate::error;
use crate::message::{Question, write_change};
use crate::own::{Key, Own, Registered, answer, key, said_of, single_nodes};
use crate::query::ask;
use crate::watch::Watching;

/// Go Micro's registry over NATS: what is registered answers for itself. Clones share the connection and what is
/// registered; when the last of them is dropped, its nodes say goodbye.
#[derive(Clone)]
pub struct NatsRegistry(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    own: Arc<Own>,
    /// Answers questions, from the first registration on.
    task: OnceCell<AbortOnDropHandle<()>>,
}

/// What watchers share with the registry.
pub(crate) struct Shared {
    pub(crate) connection: NatsConnection,
    pub(crate) config: NatsRegistryConfig,
}

impl NatsRegistry {
    /// Connects.
    ///
    /// # Errors
    ///
    /// When the configuration makes no sense, no server answers, or the login is wrong.
    pub async fn connect(config: NatsRegistryConfig) -> Result<Self> {
        config.check()?;
        let connection = NatsConnection::connect(&config.servers, Role::Registry).await?;
        Ok(Self(Arc::new(Handle {
            shared: Arc::new(Shared { connection, config }),
            own: Arc::default(),
            task: OnceCell::new(),
        })))
    }

    /// Begins to answer questions.
    async fn answer(&self) -> Result<()> {
        let Handle { shared, own, task } = &*self.0;
        let begin = || async {
            let connection = &shared.connection;
            connection.check_subscribe(&shared.config.query_subject)?;
            let subject = shared.config.query_subject.clone();
            let subscribed = connection.client().subscribe(subject).await;
            let questions = subscribed.map_err(|_| connection.gone())?;
            let task = answer(own.clone(), connection.clone(), shared.config.clone(), questions);
            Ok::<_, Error>(AbortOnDropHandle::new(tokio::spawn(task)))
        };
        task.get_or_try_init(begin).await.map(drop)
    }

    /// Says what changed until the server has it.
    async fn say(&self, said: &[Bytes]) -> Result<()> {
        let shared = &self.0.shared;
        let connection = &shared.connection;
        let say = async {
            loop {
                connection.up().await;
                connection.check_publish(&shared.config.watch_subject)?;
                for said in said {
                    let subject = shared.config.watch_subject.clone();
                    let sent = connection.client().publish(subject, said.clone()).await;
                    // The library takes it as soon as there is room: what it refuses, it will refuse again.
                    sent.map_err(|problem| match problem.kind() {
                        PublishErrorKind::Send => connection.gone(),
                        _ => error::unsendable(said.len(), connection.servers(), problem),
                    })?;
                }
                match connection.settled().await {
                    Ok(()) => return connection.check_publish(&shared.config.watch_subject),
                    Err(error) if error.kind() == ErrorKind::Unavailable => {}
                    Err(error) => return Err(error),
                }
            }
        };
        match timeout(shared.config.request_timeout, say).await {
            Ok(said) => said,
            Err(_) => Err(connection.gone()),
        }
    }

    fn limit(&self) -> usize {
        self.0.shared.connection.client().max_payload()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let client = self.shared.connection.client();
        for record in self.own.take_all() {
            if let Ok(said) = write_change(Action::Delete, &record) {
                let subject = self.shared.config.watch_subject.clone();
                let _ = client.publish(subject, said).now_or_never();
            }
        }
    }
}

#[async_trait]
impl Registry for NatsRegistry {
    fn name(&self) -> &str {
        "nats"
    }

    async fn register(&self, service: &ServiceRecord, options: RegisterOptions) -> Result<()> {
        if service.nodes.is_empty() {
            return Ok(());
        }
        let limit = self.limit();
        let nodes = single_nodes(service, limit)?;
        let mut said = Vec::new();
        said_of(Action::Create, service, limit, &mut said)?;
        self.answer().await?;
        // A time to live that the clock cannot count ends never.
        let lapses = options.ttl.and_then(|ttl| Instant::now().checked_add(ttl));
        let nodes = nodes
            .into_iter()
            .map(|(key, record)| (key, Registered { record, lapses }))
            .collect();
        let new = Unless::new(&self.0.own, self.0.own.put(nodes));
        match self.say(&said).await {
            Ok(()) => {
                new.keep();
                Ok(())
            }
            Err(error) => Err(error.context(format_args!("registering {}", service.name))),
        }
    }

    async fn deregister(&self, service: &ServiceRecord) -> Result<()> {
        let keys: Vec<Key> = service.nodes.iter().map(|node| key(service, node)).collect();
        let gone = self.0.own.take(&keys);
        if gone.is_empty() {
            return Ok(());
        }
        let mut said = Vec::new();
        for record in ServiceRecord::merge_versions(gone) {
            said_of(Action::Delete, &record, self.limit(), &mut said)?;
        }
        let said = self.say(&said).await;
        said.map_err(|error| error.context(format_args!("deregistering {}", service.name)))
    }

    async fn get_service(&self, name: &str) -> Result<Vec<ServiceRecord>> {
        let found = ask(&self.0.shared, &Question::Get(name.to_owned())).await;
        let found = found.map_err(|error| error.context(format_args!("looking up {name}")))?;
        let mut records = ServiceRecord::merge_versions(found);
        records.retain(|record| !record.nodes.is_empty());
        match records.is_empty() {
            true => Err(service_not_found(name)),
            false => Ok(records),
        }
    }

    async fn list_services(&self) -> Result<Vec<ServiceRecord>> {
        let found = ask(&self.0.shared, &Question::List).await;
        let found = found.map_err(|error| error.context("listing the services"))?;
        let mut services: BTreeMap<String, Vec<ServiceRecord>> = BTreeMap::new();
        for record in found {
            services.entry(record.name.clone()).or_default().push(record);
        }
        let mut records = Vec::new();
        for (_, found) in services {
            let mut versions = ServiceRecord::merge_versions(found);
            versions.retain(|record| !record.nodes.is_empty());
            versions.sort_by(|one, other| one.version.cmp(&other.version));
            records.extend(versions);
        }
        Ok(records)
    }

    async fn watch(&self, service: Option<&str>) -> Result<Watcher> {
        let what = format!(
            "the watch of {} at NATS at {}",
            service.unwrap_or("all services"),
            self.0.shared.connection.servers()
        );
        Watcher::follow(what, Watching::new(self.0.shared.clone(), service)).await
    }
}

/// Takes nodes out again that nobody could be told of, unless they are kept.
struct Unless<'a> {
    own: &'a Own,
    new: Vec<Key>,
}

impl<'a> Unless<'a> {
    fn new(own: &'a Own, new: Vec<Key>) -> Self {
        Self { own, new }
    }

    fn keep(mut self) {
        self.new.clear();
    }
}

impl Drop for Unless<'_> {
    fn drop(&mut self) {
        self.own.take(&self.new);
    }
}

impl fmt::Debug for NatsRegistry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("NatsRegistry")
            .field("config", &self.0.shared.config)
            .field("connection", &self.0.shared.connection)
            .finish_non_exhaustive()
    }
}
