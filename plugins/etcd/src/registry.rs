//! The registry itself.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use micro_core::registry::{Node, RegisterOptions, Registry, ServiceRecord, Watcher, service_not_found};
use micro_core::{ErrorKind, Result};

use crate::client::Client;
use crate::config::EtcdConfig;
use crate::error;
use crate::lease::{self, Lease, Leases};
use crate::proto::{
    Compare, DeleteRangeRequest, KeyValue, MOD, PutRequest, RANGE, RangeRequest, RangeResponse, RequestOp,
    TXN, TxnRequest, TxnResponse,
};
use crate::record::{Keys, end_of, is_of, read, write};
use crate::watch::watch;

/// How often to try to change a key that others change at the same time.
const ATTEMPTS: usize = 64;

/// Go Micro's registry in etcd v3.
///
/// Clones share connections and leases. It has no task of its own: a lease is renewed by registering again, and what is
/// not deregistered before the last clone is dropped lapses.
#[derive(Clone)]
pub struct EtcdRegistry(Arc<Shared>);

struct Shared {
    client: Arc<Client>,
    keys: Keys,
    leases: Leases,
}

impl EtcdRegistry {
    /// Connects, logs in, and makes sure that the records may be read.
    ///
    /// # Errors
    ///
    /// When the configuration makes no sense, none of the endpoints answers, or the user may not read the records.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O and time enabled.
    pub async fn connect(config: EtcdConfig) -> Result<Self> {
        let client = Client::new(&config)?;
        let keys = Keys::new(config.key_prefix());
        let prefix = keys.prefix(None);
        let count = RangeRequest {
            key: prefix.as_bytes().to_vec(),
            range_end: end_of(&prefix),
            serializable: true,
            count_only: true,
        };
        let counted: Result<RangeResponse> = client.call(RANGE, count).await;
        counted.map_err(|error| {
            error.context(format_args!("cannot connect to etcd ({})", client.addresses()))
        })?;
        Ok(Self(Arc::new(Shared {
            client: Arc::new(client),
            keys,
            leases: Leases::default(),
        })))
    }
}

impl fmt::Debug for EtcdRegistry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EtcdRegistry")
            .field("endpoints", &self.0.client.addresses())
            .field("keys", &self.0.keys)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Registry for EtcdRegistry {
    fn name(&self) -> &str {
        "etcd"
    }

    async fn register(&self, service: &ServiceRecord, options: RegisterOptions) -> Result<()> {
        for node in &service.nodes {
            let key = self.0.keys.node(&service.name, &node.id);
            let registered = self.0.register(service, node, &key, options).await;
            registered.map_err(|error| {
                let (service, node) = (&service.name, &node.id);
                error.context(format_args!(
                    "cannot register service {service}, node {node} at the key {key}"
                ))
            })?;
        }
        Ok(())
    }

    async fn deregister(&self, service: &ServiceRecord) -> Result<()> {
        for node in &service.nodes {
            let key = self.0.keys.node(&service.name, &node.id);
            let deregistered = self.0.deregister(&service.name, &node.id, &key).await;
            deregistered.map_err(|error| {
                let (service, node) = (&service.name, &node.id);
                error.context(format_args!(
                    "cannot deregister service {service}, node {node} at the key {key}"
                ))
            })?;
        }
        Ok(())
    }

    async fn get_service(&self, name: &str) -> Result<Vec<ServiceRecord>> {
        let prefix = self.0.keys.prefix(Some(name));
        let listed = self.0.client.list(&prefix, false).await;
        let (listed, _) = listed.map_err(|error| {
            error.context(format_args!(
                "cannot look up service {name} under the key {prefix}"
            ))
        })?;
        let found = listed.iter().filter_map(|kv| read(&kv.key, &kv.value));
        let found = ServiceRecord::merge_versions(found.filter(|record| record.name == name));
        if found.is_empty() {
            return Err(service_not_found(name));
        }
        Ok(found)
    }

    async fn list_services(&self) -> Result<Vec<ServiceRecord>> {
        let prefix = self.0.keys.prefix(None);
        let listed = self.0.client.list(&prefix, false).await;
        let (listed, _) = listed.map_err(|error| {
            error.context(format_args!("cannot list the services under the key {prefix}"))
        })?;
        let mut services: BTreeMap<String, Vec<ServiceRecord>> = BTreeMap::new();
        for record in listed.iter().filter_map(|kv| read(&kv.key, &kv.value)) {
            services.entry(record.name.clone()).or_default().push(record);
        }
        Ok(services
            .into_values()
            .flat_map(ServiceRecord::merge_versions)
            .collect())
    }

    async fn watch(&self, service: Option<&str>) -> Result<Watcher> {
        let prefix = self.0.keys.prefix(service);
        let context = format!("cannot watch the key {prefix}");
        watch(&self.0.client, prefix, service)
            .await
            .map_err(|error| error.context(context))
    }
}

impl Shared {
    /// Renews the node's lease, and puts its record if it is another one or gone. Without locks: the record is
    /// put only where the key is as it was read, and who loses a race looks again.
    async fn register(
        &self,
        service: &ServiceRecord,
        node: &Node,
        key: &str,
        options: RegisterOptions,
    ) -> Result<()> {
        let value = write(service, node)
            .map_err(|problem| error::misconfigured("the record is no JSON").with_source(problem))?;
        let seconds = options.ttl.map(lease::seconds);
        let mut renewed = None;
        let mut granted: Option<Lease> = None;
        for _ in 0..ATTEMPTS {
            let held = self.leases.of(key).filter(|held| Some(held.seconds) == seconds);
            if let Some(held) = held
                && renewed != Some(held)
            {
                if !lease::keep_alive(&self.client, held).await? {
                    self.leases.lost(key, held);
                    continue;
                }
                renewed = Some(held);
            }
            let known = self.read(key).await?;
            self.check_free(known.as_ref(), service, node)?;
            let wanted = held.map_or(0, |held| held.id);
            let is_there = known
                .as_ref()
                .is_some_and(|known| known.value == value && known.lease == wanted);
            if is_there && (held.is_some() || seconds.is_none()) {
                self.give_back(granted.filter(|granted| Some(*granted) != held))
                    .await;
                return Ok(());
            }
            let lease = match (held, granted, seconds) {
                (Some(held), ..) => Some(held),
                (None, Some(granted), _) => Some(granted),
                (None, None, Some(seconds)) => {
                    granted = Some(lease::grant(&self.client, seconds).await?);
                    granted
                }
                (None, None, None) => None,
            };
            let put = RequestOp {
                put: Some(PutRequest {
                    key: key.into(),
                    value: value.clone(),
                    lease: lease.map_or(0, |lease| lease.id),
                }),
                delete: None,
            };
            match self.change(key, known.as_ref(), put).await {
                Ok(Some(revision)) => {
                    let superfluous = match lease {
                        Some(lease) => self.leases.note(key, lease, revision),
                        None => self.leases.take(key),
                    };
                    self.give_back(superfluous).await;
                    self.give_back(granted.filter(|granted| Some(*granted) != lease))
                        .await;
                    return Ok(());
                }
                Ok(None) => {}
                // The lease lapsed just now.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    granted = granted.filter(|granted| Some(*granted) != lease);
                    if let Some(lease) = lease {
                        self.leases.lost(key, lease);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        self.give_back(granted).await;
        Err(error::taken(
            "others change the key again and again; does another node have the same id?",
        ))
    }

    async fn deregister(&self, service: &str, node: &str, key: &str) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let known = self.read(key).await?;
            let record = known.as_ref().map(|known| read(&known.key, &known.value));
            let is_another = matches!(&record, Some(Some(record)) if !is_of(record, service, node));
            let deleted = match &known {
                Some(known) if !is_another => {
                    let delete = RequestOp {
                        put: None,
                        delete: Some(DeleteRangeRequest { key: key.into() }),
                    };
                    self.change(key, Some(known), delete).await?.is_some()
                }
                _ => true,
            };
            if deleted {
                if !is_another {
                    self.give_back(self.leases.take(key)).await;
                }
                return Ok(());
            }
        }
        Err(error::taken(
            "others change the key again and again; does another node have the same id?",
        ))
    }

    /// What a key has now.
    async fn read(&self, key: &str) -> Result<Option<KeyValue>> {
        let request = RangeRequest {
            key: key.into(),
            ..RangeRequest::default()
        };
        let answer: RangeResponse = self.client.call(RANGE, request).await?;
        Ok(answer.kvs.into_iter().next())
    }

    /// Changes a key if it still is as it was read. Returns the revision, or nothing when it is not.
    async fn change(&self, key: &str, known: Option<&KeyValue>, change: RequestOp) -> Result<Option<i64>> {
        let request = TxnRequest {
            compare: vec![Compare {
                target: MOD,
                key: key.into(),
                mod_revision: Some(known.map_or(0, |known| known.mod_revision)),
            }],
            success: vec![change],
        };
        let answer: TxnResponse = self.client.call(TXN, request).await?;
        let revision = answer.header.map_or(0, |header| header.revision);
        Ok(answer.succeeded.then_some(revision))
    }

    /// Go Micro's keys write a dash for a slash, so that two names can mean one key.
    fn check_free(&self, known: Option<&KeyValue>, service: &ServiceRecord, node: &Node) -> Result<()> {
        match known.and_then(|known| read(&known.key, &known.value)) {
            Some(record) if !is_of(&record, &service.name, &node.id) => Err(error::taken(format!(
                "it is taken by service {}, node {}, whose names differ in slashes and dashes only; rename one",
                record.name,
                record.nodes.first().map_or("", |node| node.id.as_str()),
            ))),
            _ => Ok(()),
        }
    }

    async fn give_back(&self, lease: Option<Lease>) {
        if let Some(lease) = lease {
            lease::revoke(&self.client, lease).await;
        }
    }
}
