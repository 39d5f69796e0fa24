//! The source itself.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use micro_config::{Document, KeyFolder, Result, Source};
use micro_consul_connection::{ConsulClient, Path, Poll, Role};
use serde::Deserialize;
use tokio::time::Instant;

use crate::config::ConsulSourceConfig;
use crate::error;

/// Configuration in Consul's keys.
///
/// It has no task of its own: it asks when it is read, and waits at Consul while it is waited for.
pub struct ConsulSource {
    client: Arc<ConsulClient>,
    keys: KeyFolder,
    poll: Poll,
    /// When Consul answered last. None: that failed, and there is nothing to wait for.
    read: Option<Instant>,
}

/// One key, as Consul tells it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    key: String,
    /// In base64. None: it is empty.
    value: Option<String>,
}

impl ConsulSource {
    /// Makes a source that connects when it is read.
    ///
    /// # Errors
    ///
    /// Of the kind [`Misused`](micro_config::ErrorKind::Misused), when the configuration makes no sense.
    pub fn new(config: ConsulSourceConfig) -> Result<Self> {
        let keys = config.folder()?;
        let client = ConsulClient::new(&config.agents, Role::Config).map_err(error::told)?;
        let client = Arc::new(client);
        // Also keys that only begin as the name does are asked for where the name itself may be a key, and left out.
        let path = Path::new("/v1/kv/").names(&keys.prefix).query("recurse", "true");
        let poll = Poll::of_what_may_be_missing(&client, client.in_datacenter(path));
        Ok(Self {
            client,
            keys,
            poll,
            read: None,
        })
    }

    async fn documents(&mut self) -> Result<Vec<Document>> {
        let missing =
            |client: &ConsulClient, keys: &KeyFolder| error::missing(&client.addresses(), &keys.prefix);
        let answer = self.poll.begin().await.map_err(error::told)?;
        // Not before: until then a restart breaks the connection, and an answer may take longer than that.
        self.read = Some(Instant::now());
        if !answer.is_found {
            return Err(missing(&self.client, &self.keys));
        }
        let entries: Vec<Entry> = answer.json(&self.client).map_err(error::told)?;
        let mut values = Vec::with_capacity(entries.len());
        for entry in entries {
            let value = STANDARD
                .decode(entry.value.unwrap_or_default())
                .map_err(|problem| {
                    let what = format!("has the key {} in what is no base64: {problem}", entry.key);
                    error::unexpected(&self.client.addresses(), what)
                })?;
            values.push((entry.key, value));
        }
        let entries = values.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        let documents = self.keys.documents(entries, |key| format!("consul key {key}"))?;
        documents.ok_or_else(|| missing(&self.client, &self.keys))
    }
}

#[async_trait]
impl Source for ConsulSource {
    async fn read(&mut self) -> Result<Vec<Document>> {
        self.read = None;
        self.documents().await
    }

    async fn changed(&mut self) -> Result<()> {
        let Some(read) = self.read else {
            return std::future::pending().await;
        };
        // A Consul that came back meanwhile may have reached the same index with other keys.
        if read.elapsed() > Poll::UNREAD && !self.poll.is_waiting() {
            return Ok(());
        }
        match self.poll.next().await {
            Ok(_) => Ok(()),
            Err(error) => {
                self.read = None;
                Err(error::told(error))
            }
        }
    }
}

impl fmt::Display for ConsulSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "consul {}", self.keys.prefix)
    }
}

impl fmt::Debug for ConsulSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ConsulSource")
            .field("agents", &self.client.addresses())
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}
