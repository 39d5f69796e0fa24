//! Watching: what comes, changes and goes.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chitchat::{Chitchat, ChitchatId, NodeState};
use micro_core::Result;
use micro_core::registry::{Action, Change, News, Node, ServiceRecord, WatchSource};
use tokio::sync::watch::Receiver;

use crate::error;
use crate::record::{ROOT, names, prefix, read};
use crate::registry::GossipRegistry;
use crate::view;

pub(crate) struct Watching {
    registry: GossipRegistry,
    prefix: String,
    known: BTreeMap<String, (ChitchatId, u64)>,
    bells: Option<Bells>,
}

/// What tells that something may be another now.
struct Bells {
    /// An entry came or changed.
    entries: Receiver<()>,
    /// A member came or went, or has another state.
    members: Receiver<BTreeMap<ChitchatId, NodeState>>,
}

impl Watching {
    pub(crate) fn new(registry: GossipRegistry, service: Option<&str>) -> Self {
        Self {
            registry,
            prefix: service.map_or_else(|| ROOT.to_owned(), prefix),
            known: BTreeMap::new(),
            bells: None,
        }
    }

    /// How what is there now differs from what is known, with the text of what is new.
    fn compare(&mut self, chitchat: &Chitchat) -> (Vec<(String, String)>, Vec<String>) {
        let entries = view::entries(chitchat, &self.prefix);
        let gone: Vec<String> = self
            .known
            .keys()
            .filter(|key| !entries.contains_key(key.as_str()))
            .cloned()
            .collect();
        for key in &gone {
            self.known.remove(key);
        }
        let mut new = Vec::new();
        for (key, held) in entries {
            let is_known =
                |(member, version): &(ChitchatId, u64)| member == held.member && *version == held.version;
            if !self.known.get(key).is_some_and(is_known) {
                self.known
                    .insert(key.to_owned(), (held.member.clone(), held.version));
                new.push((key.to_owned(), held.value.to_owned()));
            }
        }
        (new, gone)
    }

    /// Waits for changes.
    async fn heard(&mut self) -> Result<Vec<Change>> {
        loop {
            if self.registry.shared().is_closed() {
                return Ok(Vec::new());
            }
            let bells = self.bells.as_mut().ok_or_else(error::interrupted)?;
            let rung = tokio::select! {
                rung = bells.entries.changed() => rung,
                rung = bells.members.changed() => rung,
            };
            rung.map_err(|_| error::interrupted())?;
            let changes = self.changes().await?;
            if !changes.is_empty() {
                return Ok(changes);
            }
        }
    }

    async fn changes(&mut self) -> Result<Vec<Change>> {
        let (new, gone) = {
            let chitchat = self.registry.shared().lock().await?;
            self.compare(&chitchat)
        };
        let gone = gone.iter().filter_map(|key| deletion(key));
        let new = new.iter().map(|(key, value)| match read(key, value) {
            Some(service) => Some(Change {
                action: Action::Update,
                service,
            }),
            // What was a record perhaps is none any more.
            None => deletion(key),
        });
        Ok(gone.chain(new.flatten()).collect())
    }
}

fn deletion(key: &str) -> Option<Change> {
    let [service, version, node] = names(key)?;
    Some(Change {
        action: Action::Delete,
        service: ServiceRecord::new(service, version).with_nodes(vec![Node::new(node, "")]),
    })
}

#[async_trait]
impl WatchSource for Watching {
    async fn begin(&mut self) -> Result<Vec<ServiceRecord>> {
        self.known.clear();
        let new = {
            let shared = self.registry.shared();
            // One that goes on after the registry was closed tells so by `next`.
            let chitchat = match self.bells {
                None => shared.lock().await?,
                Some(_) => shared.lock_though_closed().await?,
            };
            let mut bells = Bells {
                entries: self.registry.shared().bell.subscribe(),
                members: chitchat.live_nodes_watcher(),
            };
            bells.members.mark_unchanged();
            self.bells = Some(bells);
            self.compare(&chitchat).0
        };
        Ok(new.iter().filter_map(|(key, value)| read(key, value)).collect())
    }

    async fn next(&mut self) -> Result<News> {
        let heard = self.heard().await;
        match self.registry.shared().is_closed() {
            true => Ok(News::End),
            false => heard.map(News::Changes),
        }
    }
}
