//! Watching: what comes, changes and goes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use micro_core::registry::{Action, Change, News, Node, ServiceRecord, WatchSource};
use micro_core::{Error, Result};

use crate::client::Client;
use crate::error::{self, Trouble};
use crate::inbox::{Heard, Inbox};
use crate::listing;
use crate::record::Paths;
use crate::requests::{add_watch, sync};

/// A watch of one service or of all. It remembers which paths to look at again, never what was there; so it is as good
/// when it is read late.
pub(crate) struct Watch {
    client: Arc<Client>,
    inbox: Arc<Inbox>,
    paths: Paths,
    service: Option<String>,
    /// The node to watch, with all below it.
    path: String,
    /// Whose node each path is: with nothing but names, which is all that a deletion says.
    seen: HashMap<String, ServiceRecord>,
}

impl Watch {
    /// # Errors
    ///
    /// When no service can have that name.
    pub(crate) fn new(client: Arc<Client>, paths: Paths, service: Option<&str>) -> Result<Self> {
        let path = match service {
            Some(service) => paths.service(service)?,
            None => paths.root().to_owned(),
        };
        Ok(Self {
            inbox: client.inboxes.open(&path),
            client,
            paths,
            service: service.map(str::to_owned),
            path,
            seen: HashMap::new(),
        })
    }

    async fn list(&mut self) -> Result<Vec<ServiceRecord>, Trouble> {
        let listed = match self.service {
            Some(_) => listing::of_service(&self.client, self.path.clone()).await?,
            None => listing::of_all(&self.client, &self.paths).await?,
        };
        let wanted = listed.into_iter().filter(|(_, record)| self.is_wanted(record));
        let wanted: Vec<_> = wanted.collect();
        self.seen = wanted
            .iter()
            .map(|(path, record)| (path.clone(), names(record)))
            .collect();
        Ok(wanted.into_iter().map(|(_, record)| record).collect())
    }

    async fn look(&mut self, paths: HashSet<String>) -> Result<Vec<Change>, Trouble> {
        let nodes = paths
            .into_iter()
            .filter(|path| self.paths.is_node(path))
            .collect();
        let mut changes = Vec::new();
        for (path, record) in listing::look(&self.client, nodes).await? {
            let record = record.filter(|record| self.is_wanted(record));
            let before = match &record {
                Some(record) => self.seen.insert(path, names(record)),
                None => self.seen.remove(&path),
            };
            // The path may tell of another version or node than before.
            if let Some(before) = before
                && record.as_ref().is_none_or(|record| names(record) != before)
            {
                changes.push(change(Action::Delete, before));
            }
            changes.extend(record.map(|record| change(Action::Update, record)));
        }
        Ok(changes)
    }

    /// Different names share a directory when one has a slash where the other has a dash.
    fn is_wanted(&self, record: &ServiceRecord) -> bool {
        self.service.as_ref().is_none_or(|name| *name == record.name)
    }
}

#[async_trait]
impl WatchSource for Watch {
    async fn begin(&mut self) -> Result<Vec<ServiceRecord>> {
        self.inbox.clear();
        let begun = async {
            self.client.look(add_watch(&self.path)).await?;
            // A server that is behind the others would list what was, and tell later what is.
            self.client.look(sync(&self.path)).await?;
            self.list().await
        };
        begun.await.map_err(Error::from)
    }

    async fn next(&mut self) -> Result<News> {
        match self.inbox.take().await {
            Heard::Lost => Err(error::interrupted(&self.path)),
            Heard::All => Ok(News::Listing(self.list().await?)),
            Heard::Some(paths) => Ok(News::Changes(self.look(paths).await?)),
            Heard::Nothing => Ok(News::Changes(Vec::new())),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.client.inboxes.close(&self.inbox);
    }
}

fn names(record: &ServiceRecord) -> ServiceRecord {
    let nodes = record.nodes.iter().map(|node| Node::new(node.id.as_str(), ""));
    ServiceRecord::new(record.name.as_str(), record.version.as_str()).with_nodes(nodes.collect())
}

fn change(action: Action, service: ServiceRecord) -> Change {
    Change { action, service }
}
