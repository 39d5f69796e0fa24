//! The registry itself.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use micro_core::registry::{Node, RegisterOptions, Registry, ServiceRecord, Watcher, service_not_found};
use micro_core::{Error, ErrorKind, Result};
use micro_etcd_connection::proto::{
    Compare, DeleteRangeRequest, KeyValue, MOD, PutRequest, RANGE, RangeRequest, RangeResponse, RequestOp,
    TXN, TxnRequest, TxnResponse,
};
use micro_etcd_connection::{EtcdClient, KeyRange, Role};

use crate::config::EtcdConfig;
use crate::error;
use crate::lease::{self, Lease, Leases};
use crate::record::{Keys, is_of, read, write};
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
    client: Arc<EtcdClient>,
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
        let client = EtcdClient::new(&config.connection(), Role::Registry)?;
        let keys = Keys::new(config.key_prefix());
        let count = RangeRequest {
            serializable: true,
            count_only: true,
            ..KeyRange::prefixed(&keys.prefix(None)).request()
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
        let listed = self.0.client.list(&KeyRange::prefixed(&prefix), false).await;
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
        let listed = self.0.client.list(&KeyRange::prefixed(&prefix), false).await;
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
    async fn register(
        &self,
        service: &ServiceRecord,
        node: &Node,
        key: &str,
        options: RegisterOptions,
    ) -> Result<()> {
        let value = write(service, node)
            .map_err(|problem| error::misconfigured("the record is no JSON").with_source(problem))?;
        let wanted = Wanted {
            service: &service.name,
            node: &node.id,
            key,
            value,
            seconds: options.ttl.map(lease::seconds),
        };
        let mut spare = None;
        let put = self.put(&wanted, &mut spare).await;
        self.give_back(spare).await;
        put
    }

    /// Renews the node's lease, and puts its record if it is another one or gone. Without locks: the record is
    /// put only where the key is as it was read, and who loses a race looks again. `spare` is a lease that was granted
    /// and that no key has.
    async fn put(&self, wanted: &Wanted<'_>, spare: &mut Option<Lease>) -> Result<()> {
        let mut renewed = None;
        for _ in 0..ATTEMPTS {
            let held = self.renew(wanted, &mut renewed).await?;
            let known = self.read(wanted.key).await?;
            wanted.check_free(known.as_ref())?;
            if wanted.is_there(known.as_ref(), held) {
                return Ok(());
            }
            let lease = match (held.or(*spare), wanted.seconds) {
                (None, Some(seconds)) => {
                    *spare = Some(lease::grant(&self.client, seconds).await?);
                    *spare
                }
                (lease, _) => lease,
            };
            match self.change(wanted.key, known.as_ref(), wanted.put(lease)).await {
                Ok(Some(revision)) => {
                    *spare = spare.filter(|spare| Some(*spare) != lease);
                    let superfluous = match lease {
                        Some(lease) => self.leases.note(wanted.key, lease, revision),
                        None => self.leases.take(wanted.key),
                    };
                    self.give_back(superfluous).await;
                    return Ok(());
                }
                Ok(None) => {}
                // The lease lapsed just now, or lost a race and was given back.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    *spare = spare.filter(|spare| Some(*spare) != lease);
                    if let Some(lease) = lease {
                        self.leases.lost(wanted.key, lease);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Err(contended())
    }

    /// The lease that the key has from here, if it is alive and of the wanted time to live. It is renewed once.
    async fn renew(&self, wanted: &Wanted<'_>, renewed: &mut Option<Lease>) -> Result<Option<Lease>> {
        let held = self.leases.of(wanted.key);
        match held.filter(|held| Some(held.seconds) == wanted.seconds) {
            Some(held) if *renewed != Some(held) => {
                if lease::keep_alive(&self.client, held).await? {
                    *renewed = Some(held);
                    return Ok(Some(held));
                }
                self.leases.lost(wanted.key, held);
                Ok(None)
            }
            held => Ok(held),
        }
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
        Err(contended())
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

    async fn give_back(&self, lease: Option<Lease>) {
        if let Some(lease) = lease {
            lease::revoke(&self.client, lease).await;
        }
    }
}

/// One node as it is to be at its key.
struct Wanted<'a> {
    service: &'a str,
    node: &'a str,
    key: &'a str,
    value: Vec<u8>,
    /// The time to live. None: without a lease.
    seconds: Option<i64>,
}

impl Wanted<'_> {
    /// Go Micro's keys write a dash for a slash, so that two names can mean one key.
    fn check_free(&self, known: Option<&KeyValue>) -> Result<()> {
        match known.and_then(|known| read(&known.key, &known.value)) {
            Some(record) if !is_of(&record, self.service, self.node) => Err(error::taken(format!(
                "it is taken by service {}, node {}, whose names differ in slashes and dashes only; rename one",
                record.name,
                record.nodes.first().map_or("", |node| node.id.as_str()),
            ))),
            _ => Ok(()),
        }
    }

    /// Whether nothing is left to do, given the lease that was renewed.
    fn is_there(&self, known: Option<&KeyValue>, held: Option<Lease>) -> bool {
        let lease = held.map_or(0, |held| held.id);
        let is_same = |known: &KeyValue| known.value == self.value && known.lease == lease;
        held.is_some() == self.seconds.is_some() && known.is_some_and(is_same)
    }

    fn put(&self, lease: Option<Lease>) -> RequestOp {
        let put = PutRequest {
            key: self.key.into(),
            value: self.value.clone(),
            lease: lease.map_or(0, |lease| lease.id),
        };
        RequestOp {
            put: Some(put),
            delete: None,
        }
    }
}

fn contended() -> Error {
    error::taken("others change the key again and again; does another node have the same id?")
}
