//! What the registry, its responder and its watchers share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use micro_core::registry::{Action, Change, ServiceRecord};
use micro_core::{Error, Result};
use tokio::sync::Notify;
use tokio::sync::broadcast::{self, Receiver, Sender};
use tokio::time::Instant;

use crate::config::MdnsConfig;
use crate::error;
use crate::heard::Heard;
use crate::own::Own;
use crate::packet::Question;
use crate::record::{Key, NodeRecord};
use crate::sighting::Sighting;
use crate::socket::Links;

/// How many changes a watcher may lag behind before it compares listings instead.
const BACKLOG: usize = 1024;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: MdnsConfig,
    pub(crate) host: String,
    /// Tells the responder that there may be something to do earlier than it thought.
    pub(crate) wake: Notify,
    links: Mutex<Arc<Links>>,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) own: Own,
    pub(crate) heard: Heard,
    /// `None` once closed.
    changes: Option<Sender<Change>>,
}

impl Shared {
    pub(crate) fn new(config: MdnsConfig, links: Links) -> Self {
        Self {
            host: config.host_name(),
            config,
            wake: Notify::new(),
            links: Mutex::new(Arc::new(links)),
            state: Mutex::new(State {
                own: Own::default(),
                heard: Heard::default(),
                changes: Some(broadcast::channel(BACKLOG).0),
            }),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn links(&self) -> Arc<Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_links(&self, links: Links) {
        *self.links.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(links);
    }

    /// Asks everywhere for the nodes of a service.
    pub(crate) async fn ask(&self, service: &str) {
        let question = Question::pointer(format!("{service}.{}", self.config.domain));
        self.links().ask(&question.query(fastrand::u16(1..))).await;
    }

    /// Tells everyone, and says in words what failed when nobody could be told.
    pub(crate) async fn tell(&self, packet: &[u8]) -> Result<()> {
        self.links().tell(packet).await.map_err(|error| {
            error::unavailable(format!(
                "cannot announce on any interface: {error}; is one up that allows multicast?"
            ))
            .with_source(error)
        })
    }

    /// Begins to receive changes.
    pub(crate) fn subscribe(&self) -> Result<Receiver<Change>> {
        let state = self.lock();
        state
            .changes
            .as_ref()
            .map(Sender::subscribe)
            .ok_or_else(error::closed)
    }

    /// Ends all watches and refuses all that comes after. Returns the goodbyes to say.
    pub(crate) fn close(&self) -> Vec<Vec<u8>> {
        let mut state = self.lock();
        state.changes = None;
        state.own.leave()
    }

    pub(crate) fn check_open(&self) -> Result<(), Error> {
        let open = self.lock().changes.is_some();
        open.then_some(()).ok_or_else(error::closed)
    }
}

impl State {
    /// Takes in a node of this process. Returns the announcement.
    pub(crate) fn register(&mut self, node: NodeRecord, lapses: Option<Instant>, now: Instant) -> Vec<u8> {
        let key = node.key();
        let record = node.record.clone();
        let known = self.own.has(&key);
        self.heard.is_own_now(&key);
        let (announcement, changed) = self.own.register(node, lapses, now);
        if changed {
            let action = if known { Action::Update } else { Action::Create };
            self.report(Change {
                action,
                service: record,
            });
        }
        announcement
    }

    /// Takes out a node of this process. Returns the goodbye.
    pub(crate) fn deregister(&mut self, key: &Key, now: Instant) -> Option<Vec<u8>> {
        let (service, goodbye) = self.own.deregister(key, now)?;
        self.heard.farewell(key, true, now);
        self.report(Change {
            action: Action::Delete,
            service,
        });
        Some(goodbye)
    }

    /// Takes note of what others said.
    pub(crate) fn hear(&mut self, sighting: Sighting, announced: bool, now: Instant) {
        // Of its own nodes a process knows better.
        if !self.own.has(&sighting.key)
            && let Some(change) = self.heard.hear(sighting, announced, now)
        {
            self.report(change);
        }
    }

    /// Forgets what a first watcher did not find when it looked around.
    pub(crate) fn forget_before(&mut self, service: Option<&str>, since: Instant) {
        for change in self.heard.forget_before(service, since) {
            self.report(change);
        }
    }

    /// Takes out what has lapsed. Returns the goodbyes of own nodes.
    pub(crate) fn lapse(&mut self, now: Instant) -> Vec<Vec<u8>> {
        for change in self.heard.lapse(now) {
            self.report(change);
        }
        let lapsed = self.own.lapsed(now);
        lapsed
            .iter()
            .filter_map(|key| self.deregister(key, now))
            .collect()
    }

    /// All that is known now of one service or of all, one record a node.
    pub(crate) fn listing(&self, service: Option<&str>, now: Instant) -> Vec<ServiceRecord> {
        let own = self.own.records(service);
        own.chain(self.heard.records(service, now)).cloned().collect()
    }

    fn report(&self, change: Change) {
        if let Some(changes) = &self.changes {
            // Fails when nobody watches, which is fine.
            let _ = changes.send(change);
        }
    }
}
