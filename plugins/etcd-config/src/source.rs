//! The source itself.

use std::fmt;

use async_trait::async_trait;
use micro_config::{Document, KeyFolder, Result, Source};
use micro_etcd_connection::{EtcdClient, KeyRange, Role, WatchStream};

use crate::config::EtcdSourceConfig;
use crate::error;

/// Configuration in etcd's keys.
///
/// It has no task of its own but the connections'.
pub struct EtcdSource {
    client: EtcdClient,
    keys: KeyFolder,
    range: KeyRange,
    /// What happened since it was read. None: that failed, and there is nothing to wait for.
    watch: Option<WatchStream>,
}

impl EtcdSource {
    /// Makes a source that connects when it is read.
    ///
    /// # Errors
    ///
    /// Of the kind [`Misused`](micro_config::ErrorKind::Misused), when the configuration makes no sense.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O and time enabled.
    pub fn new(config: EtcdSourceConfig) -> Result<Self> {
        let range = config.range();
        let client = EtcdClient::new(&config.servers, Role::Config).map_err(error::told)?;
        Ok(Self {
            client,
            keys: config.keys,
            range,
            watch: None,
        })
    }
}

#[async_trait]
impl Source for EtcdSource {
    /// Lists, and watches from the listing's revision on before anything else: a watch notices when its etcd goes. To
    /// resume by the last revision that was seen would be wrong where etcd came back without its data, or with older ones.
    async fn read(&mut self) -> Result<Vec<Document>> {
        self.watch = None;
        let (listing, revision) = self.client.list(&self.range, true).await.map_err(error::told)?;
        let watch = self.client.watch(&self.range, revision + 1).await;
        self.watch = Some(watch.map_err(error::told)?);
        let entries: Vec<_> = listing
            .iter()
            .map(|entry| (String::from_utf8_lossy(&entry.key), entry.value.as_slice()))
            .collect();
        let entries = entries.iter().map(|(key, value)| (key.as_ref(), *value));
        let documents = self.keys.documents(entries, |key| format!("etcd key {key}"))?;
        documents.ok_or_else(|| error::missing(&self.client.addresses(), &self.keys.prefix))
    }

    async fn changed(&mut self) -> Result<()> {
        let Some(watch) = &mut self.watch else {
            return std::future::pending().await;
        };
        loop {
            let told = match self.client.next(watch).await {
                Ok(told) => told,
                Err(error) => {
                    self.watch = None;
                    return Err(error::told(error));
                }
            };
            let mut keys = told.events.iter().filter_map(|event| event.kv.as_ref());
            if keys.any(|entry| self.keys.has(&String::from_utf8_lossy(&entry.key))) {
                return Ok(());
            }
        }
    }
}

impl fmt::Display for EtcdSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "etcd {}", self.keys.prefix)
    }
}

impl fmt::Debug for EtcdSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EtcdSource")
            .field("endpoints", &self.client.addresses())
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}
