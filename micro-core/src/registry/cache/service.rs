//! What is known of one service, for everybody who asks.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::GENERATIONS;
use crate::registry::{Node, ServiceRecord, service_not_found};
use crate::{Error, Result, Text};

/// The nodes of a service at one time. Clones share them, and so do later snapshots as far as nothing changed.
#[derive(Debug, Clone)]
pub struct Snapshot {
    generation: u64,
    contents: Arc<Contents>,
}

#[derive(Debug)]
struct Contents {
    versions: Vec<VersionNodes>,
    /// Made when somebody asks for it: choosing a node does not.
    records: OnceLock<Arc<Vec<ServiceRecord>>>,
}

/// The nodes of one version.
#[derive(Debug)]
pub(super) struct VersionNodes {
    /// The record without its nodes.
    pub(super) head: Arc<ServiceRecord>,
    pub(super) nodes: Vec<Arc<Node>>,
}

impl Snapshot {
    /// Of no node, for those who have not asked yet. Its generation is 0.
    pub(crate) fn empty() -> Self {
        Self::new(0, Vec::new())
    }

    fn new(generation: u64, versions: Vec<VersionNodes>) -> Self {
        let records = OnceLock::new();
        let contents = Arc::new(Contents { versions, records });
        Self { generation, contents }
    }

    /// Differs between any two snapshots of this process, and grows. Never 0.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// All nodes, each with the record of its version (which is without nodes here), sorted by version and id. A
    /// node that did not change is the same `Arc` in the next snapshot.
    pub fn nodes(&self) -> impl Iterator<Item = (&ServiceRecord, &Arc<Node>)> {
        let versions = self.contents.versions.iter();
        versions.flat_map(|version| version.nodes.iter().map(|node| (&*version.head, node)))
    }

    /// One record a version, each with at least one node. Copied together when asked for the first time.
    pub fn records(&self) -> Arc<Vec<ServiceRecord>> {
        let versions = self.contents.versions.iter();
        let record = |version: &VersionNodes| {
            let nodes = version.nodes.iter().map(|node| Node::clone(node));
            version.head.with_nodes(nodes.collect())
        };
        let records = || Arc::new(versions.map(record).collect());
        self.contents.records.get_or_init(records).clone()
    }
}

/// What is known of one service, kept up to date by its follower.
pub struct CachedService {
    name: Text,
    state: watch::Sender<State>,
    /// Of the snapshot in `state`; 0 where there is none.
    generation: AtomicU64,
    asked: AtomicBool,
    last_asked: AtomicU64,
    wanted: Notify,
    made: Instant,
    on_change: Mutex<Vec<OnChange>>,
}

/// Says whether it wants to be called again.
type OnChange = Arc<dyn Fn() -> bool + Send + Sync>;

#[derive(Debug, Clone)]
pub(super) enum State {
    /// The registry is being asked.
    Looking,
    Known(Snapshot),
    /// No node is known; after `until`, who asks wants it looked up again.
    Absent {
        until: Instant,
    },
    /// Nothing is known and the registry cannot be asked; after `until`, who asks wants it tried again.
    Failed {
        error: Arc<Error>,
        until: Instant,
    },
    /// Nobody follows any more.
    Ended,
}

impl CachedService {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: Text::from(name),
            state: watch::Sender::new(State::Looking),
            generation: AtomicU64::new(0),
            asked: AtomicBool::new(true),
            last_asked: AtomicU64::new(0),
            wanted: Notify::new(),
            made: Instant::now(),
            on_change: Mutex::default(),
        }
    }

    /// The service's name.
    pub fn name(&self) -> &Text {
        &self.name
    }

    /// The number of the snapshot that holds now: two loads, for the path of a call. 0 while no node is known or
    /// when the service is no longer followed; then [`RegistryCache::snapshot`](super::RegistryCache::snapshot)
    /// tells more.
    pub fn generation(&self) -> u64 {
        // Read first: a line that all callers write would go from core to core.
        if !self.asked.load(Ordering::Relaxed) {
            self.asked.store(true, Ordering::Relaxed);
        }
        self.generation.load(Ordering::Acquire)
    }

    /// What is known now, without waiting.
    pub fn known(&self) -> Option<Snapshot> {
        match &*self.state.borrow() {
            State::Known(snapshot) => Some(snapshot.clone()),
            _ => None,
        }
    }

    /// Whether the service is no longer followed. It must be [followed](super::RegistryCache::follow) anew then.
    pub fn is_ended(&self) -> bool {
        matches!(*self.state.borrow(), State::Ended)
    }

    /// Does something whenever what is known has changed, as long as it answers `true`; the last time when the
    /// service is no longer followed, which may be now.
    pub(crate) fn on_change(&self, then: impl Fn() -> bool + Send + Sync + 'static) {
        let then: OnChange = Arc::new(then);
        self.lock().push(then.clone());
        if self.is_ended() {
            self.lock().clear();
            then();
        }
    }

    /// Must not be called with a lock held: what is done then is not ours.
    fn changed(&self) {
        let all = self.lock().clone();
        let done: Vec<_> = all.into_iter().filter(|then| !then()).collect();
        if !done.is_empty() {
            let is_done = |then: &OnChange| done.iter().any(|done| Arc::ptr_eq(done, then));
            self.lock().retain(|then| !is_done(then));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<OnChange>> {
        self.on_change.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for an answer; `None` when the follower has ended. May be cancelled.
    pub(super) async fn snapshot(&self) -> Option<Result<Snapshot>> {
        self.touch();
        let mut states = self.state.subscribe();
        loop {
            match &*states.borrow_and_update() {
                State::Known(snapshot) => return Some(Ok(snapshot.clone())),
                State::Ended => return None,
                State::Looking => {}
                State::Absent { until } if Instant::now() < *until => {
                    return Some(Err(service_not_found(&self.name)));
                }
                State::Failed { error, until } if Instant::now() < *until => {
                    return Some(Err(again(&self.name, error)));
                }
                State::Absent { .. } | State::Failed { .. } => self.wanted.notify_one(),
            }
            // Cannot fail: the sender is ours.
            states.changed().await.ok()?;
        }
    }

    pub(super) fn touch(&self) {
        self.asked.store(true, Ordering::Relaxed);
        self.asked_now();
    }

    /// Notes the time if somebody asked since the last time this was called.
    pub(super) fn note_asked(&self) {
        if self.asked.swap(false, Ordering::Relaxed) {
            self.asked_now();
        }
    }

    fn asked_now(&self) {
        let now = self.made.elapsed().as_millis() as u64;
        self.last_asked.store(now, Ordering::Relaxed);
    }

    pub(super) fn last_asked(&self) -> Instant {
        self.note_asked();
        self.made + Duration::from_millis(self.last_asked.load(Ordering::Relaxed))
    }

    pub(super) fn is_known(&self) -> bool {
        matches!(*self.state.borrow(), State::Known(_))
    }

    /// Whether the registry has not given an answer yet.
    pub(super) fn is_unanswered(&self) -> bool {
        matches!(*self.state.borrow(), State::Looking | State::Failed { .. })
    }

    /// Whether somebody waits for an answer, or the answer is so old that the next to ask will want another.
    pub(super) fn is_stale(&self) -> bool {
        match &*self.state.borrow() {
            State::Absent { until } | State::Failed { until, .. } => Instant::now() >= *until,
            State::Looking | State::Known(_) | State::Ended => false,
        }
    }

    /// Waits until somebody asks although the last answer has become too old.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    pub(super) fn publish(&self, versions: Vec<VersionNodes>) {
        let generation = GENERATIONS.fetch_add(1, Ordering::Relaxed);
        let snapshot = Snapshot::new(generation, versions);
        self.state.send_replace(State::Known(snapshot));
        self.generation.store(generation, Ordering::Release);
        self.changed();
    }

    /// Anything but a snapshot.
    pub(super) fn set(&self, state: State) {
        self.state.send_replace(state);
        self.generation.store(0, Ordering::Release);
        self.changed();
    }

    pub(super) fn end(&self) {
        self.set(State::Ended);
        self.lock().clear();
    }
}

impl fmt::Debug for CachedService {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CachedService")
            .field("name", &self.name)
            .field("state", &*self.state.borrow())
            .finish_non_exhaustive()
    }
}

/// Errors are not cloned, their sources least of all: who asks again gets the same words.
fn again(name: &str, error: &Error) -> Error {
    let told = Error::new(error.id(), error.code(), error.detail().to_owned());
    told.context(format_args!(
        "service {name}: cannot be looked up and nothing is known from before"
    ))
}
