//! The registry itself.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use micro_core::registry::{RegisterOptions, Registry, ServiceRecord, Watcher, service_not_found};
use micro_core::{Error, Result};

use crate::client::{Client, Opener};
use crate::config::ZookeeperConfig;
use crate::held::Held;
use crate::keeper::Keeper;
use crate::listing;
use crate::store::Store;
use crate::watch::Watch;

/// Go Micro's registry in ZooKeeper.
///
/// Clones share a session, which is closed when the last of them is dropped: what was registered with a time to live and
/// not deregistered is gone then. Watchers have a session of their own and may outlive the registry.
#[derive(Clone)]
pub struct ZookeeperRegistry(Arc<Shared>);

struct Shared {
    store: Arc<Store>,
    opener: Opener,
    /// The session of all watchers, as long as there are any.
    watching: Mutex<Weak<Client>>,
    _keeper: Keeper,
}

impl ZookeeperRegistry {
    /// Opens a session, and makes sure that the records may be read.
    ///
    /// # Errors
    ///
    /// When the configuration makes no sense, none of the servers answers, or the user may not read the records.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O and time enabled.
    pub async fn connect(config: ZookeeperConfig) -> Result<Self> {
        let (servers, paths) = config.check()?;
        let opener = Opener::new(&config, servers)?;
        let store = Arc::new(Store {
            client: opener.open(),
            paths,
            acl: config.acl(),
            held: Held::default(),
        });
        let listed = store.client.children(store.paths.root()).await;
        listed.map_err(|trouble| {
            let addresses = opener.addresses();
            Error::from(trouble).context(format_args!("cannot connect to zookeeper ({addresses})"))
        })?;
        Ok(Self(Arc::new(Shared {
            _keeper: Keeper::start(store.clone()),
            store,
            opener,
            watching: Mutex::default(),
        })))
    }
}

impl fmt::Debug for ZookeeperRegistry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ZookeeperRegistry")
            .field("servers", &self.0.opener.addresses())
            .field("path", &self.0.store.paths.root())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Registry for ZookeeperRegistry {
    fn name(&self) -> &str {
        "zookeeper"
    }

    async fn register(&self, service: &ServiceRecord, options: RegisterOptions) -> Result<()> {
        let store = &self.0.store;
        for node in &service.nodes {
            let registered = match store.paths.node(&service.name, &node.id) {
                Ok(path) => {
                    let registered = store.register(service, node, &path, options.ttl).await;
                    registered.map_err(|error| error.context(format_args!("at {path}")))
                }
                Err(refused) => Err(refused),
            };
            registered.map_err(|error| {
                let (service, node) = (&service.name, &node.id);
                error.context(format_args!("cannot register service {service}, node {node}"))
            })?;
        }
        Ok(())
    }

    async fn deregister(&self, service: &ServiceRecord) -> Result<()> {
        let store = &self.0.store;
        for node in &service.nodes {
            // What cannot have a path is not there.
            let Ok(path) = store.paths.node(&service.name, &node.id) else {
                continue;
            };
            let deregistered = store.deregister(&service.name, &node.id, &path).await;
            deregistered.map_err(|error| {
                let (service, node) = (&service.name, &node.id);
                error.context(format_args!(
                    "cannot deregister service {service}, node {node} at {path}"
                ))
            })?;
        }
        Ok(())
    }

    async fn get_service(&self, name: &str) -> Result<Vec<ServiceRecord>> {
        let Ok(directory) = self.0.store.paths.service(name) else {
            return Err(service_not_found(name));
        };
        let listed = listing::of_service(&self.0.store.client, directory).await;
        let listed = listed
            .map_err(|trouble| Error::from(trouble).context(format_args!("cannot look up service {name}")))?;
        let found = listed.into_iter().map(|(_, record)| record);
        let found = ServiceRecord::merge_versions(found.filter(|record| record.name == name));
        if found.is_empty() {
            return Err(service_not_found(name));
        }
        Ok(found)
    }

    async fn list_services(&self) -> Result<Vec<ServiceRecord>> {
        let store = &self.0.store;
        let listed = listing::of_all(&store.client, &store.paths).await;
        let listed = listed.map_err(|trouble| {
            let root = store.paths.root();
            Error::from(trouble).context(format_args!("cannot list the services below {root}"))
        })?;
        let mut services: BTreeMap<String, Vec<ServiceRecord>> = BTreeMap::new();
        for (_, record) in listed {
            services.entry(record.name.clone()).or_default().push(record);
        }
        Ok(services
            .into_values()
            .flat_map(ServiceRecord::merge_versions)
            .collect())
    }

    async fn watch(&self, service: Option<&str>) -> Result<Watcher> {
        let what = match service {
            Some(service) => format!("the watch of {service} at zookeeper"),
            None => "the watch of all services at zookeeper".to_owned(),
        };
        let paths = self.0.store.paths.clone();
        let watch = Watch::new(self.0.watching(), paths, service);
        let began = match watch {
            Ok(watch) => Watcher::follow(what.as_str(), watch).await,
            Err(refused) => Err(refused),
        };
        began.map_err(|error| error.context(format_args!("cannot begin {what}")))
    }
}

impl Shared {
    /// The session of the watchers.
    fn watching(&self) -> Arc<Client> {
        let mut watching = self.watching.lock().unwrap_or_else(PoisonError::into_inner);
        watching.upgrade().unwrap_or_else(|| {
            let client = Arc::new(self.opener.open());
            *watching = Arc::downgrade(&client);
            client
        })
    }
}
