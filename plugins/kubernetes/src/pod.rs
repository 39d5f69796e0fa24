//! The pod of this process: the labels and annotations that are written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use micro_core::registry::{RegisterOptions, ServiceRecord};
use micro_core::{ErrorKind, Result};
use micro_kubernetes_connection::{Client, METADATA, Metadata};
use tokio::sync::Semaphore;

use crate::error;
use crate::objects::Pod;
use crate::record::{DOMAIN, Keys, NodeKey, Told, now, since_1970};

/// How often to try to change a pod that others change at the same time.
const ATTEMPTS: usize = 16;
const LONGEST_PAUSE_MILLIS: u64 = 50;
const GRANT: &str = "get and patch on pods";

pub(crate) struct OwnPod {
    client: Arc<Client>,
    name: String,
    expire: bool,
    /// Changes from here wait for each other instead of making each other fail.
    turn: Semaphore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The pod as it was after the last change. None: it is asked for.
    known: Option<Metadata>,
    /// What was registered from here, by service.
    own: BTreeMap<String, BTreeSet<NodeKey>>,
    /// The services that were cleared of what nobody here registered. Later such nodes are those of a neighbour, such as
    /// another container of the pod.
    cleared: BTreeSet<String>,
}

impl OwnPod {
    /// An empty name: there is no pod, and registering fails.
    pub(crate) fn new(client: Arc<Client>, name: String, expire: bool) -> Self {
        Self {
            client,
            name,
            expire,
            turn: Semaphore::new(1),
            state: Mutex::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) async fn register(&self, service: &ServiceRecord, options: RegisterOptions) -> Result<()> {
        let keys = Keys::new(&service.name)?;
        if service.nodes.is_empty() {
            return Ok(());
        }
        self.own(service, BTreeSet::insert);
        let registered = self.change(service, &keys, |told| {
            // Before the name is looked at: what lapsed keeps no name from others.
            told.sweep(now());
            if let Some(other) = told.service().filter(|name| *name != service.name) {
                return Err(error::taken(format!(
                    "service {other} is registered from this pod, whose name differs in characters only that labels \
                     cannot have; rename one"
                )));
            }
            let ttl = options.ttl.filter(|_| self.expire);
            let state = self.state();
            if !state.cleared.contains(&service.name) {
                let nothing = BTreeSet::new();
                told.clear(state.own.get(&service.name).unwrap_or(&nothing));
            }
            told.put(service, ttl.map(since_1970));
            Ok(())
        });
        registered.await?;
        self.state().cleared.insert(service.name.clone());
        Ok(())
    }

    pub(crate) async fn deregister(&self, service: &ServiceRecord) -> Result<()> {
        // What cannot be registered is not there.
        let Ok(keys) = Keys::new(&service.name) else {
            return Ok(());
        };
        if service.nodes.is_empty() {
            return Ok(());
        }
        let removed = self
            .change(service, &keys, |told| {
                if told.service() == Some(&service.name) {
                    told.remove(service);
                }
                Ok(())
            })
            .await;
        if removed.is_ok() {
            self.own(service, |own, node| own.remove(&node));
        }
        removed
    }

    /// Changes what the pod tells of a service. The patch names the version of the pod that was read, so that nothing
    /// is lost which somebody else changes at the same time.
    async fn change(
        &self,
        service: &ServiceRecord,
        keys: &Keys,
        edit: impl Fn(&mut Told) -> Result<()>,
    ) -> Result<()> {
        if self.name.is_empty() {
            return Err(error::misconfigured(
                "this process knows of no pod that it runs in, so that it can only look up; set `pod`, or HOSTNAME to \
                 the pod's name",
            ));
        }
        let _turn = self.turn.acquire().await;
        for attempt in 0..ATTEMPTS {
            let known = self.state().known.take();
            let is_fresh = known.is_none();
            let metadata = match known {
                Some(metadata) => metadata,
                None => self.read().await?,
            };
            let mut told = Told::of(&metadata, keys);
            let edited = edit(&mut told);
            let patch = match edited {
                Err(_) if !is_fresh => continue,
                edited => edited.and_then(|()| told.patch(&metadata, keys))?,
            };
            if patch.is_empty() {
                // What is known may be out of date where nothing would tell.
                if is_fresh {
                    self.state().known = Some(metadata);
                    return Ok(());
                }
                continue;
            }
            match self.client.patch::<Pod>(self.path(), &patch, GRANT).await {
                Ok(pod) => {
                    self.state().known = Some(ours(pod.metadata));
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    let pause = fastrand::u64(0..=LONGEST_PAUSE_MILLIS.min(attempt as u64 * 10));
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                Err(error) => return Err(error),
            }
        }
        Err(error::taken(format!(
            "others change the pod {} again and again, last while service {} was written",
            self.name, service.name
        )))
    }

    async fn read(&self) -> Result<Metadata> {
        let pod: Result<Pod> = self.client.get(self.path(), METADATA, GRANT).await;
        pod.map(|pod| ours(pod.metadata))
    }

    fn path(&self) -> String {
        self.client.path("api/v1", "pods", &format!("/{}", self.name))
    }

    fn own(&self, service: &ServiceRecord, note: impl Fn(&mut BTreeSet<NodeKey>, NodeKey) -> bool) {
        let mut state = self.state();
        let own = state.own.entry(service.name.clone()).or_default();
        for node in &service.nodes {
            note(own, (service.version.clone(), node.id.clone()));
        }
        if own.is_empty() {
            state.own.remove(&service.name);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Without the labels and annotations of others.
fn ours(mut metadata: Metadata) -> Metadata {
    let pairs = [&mut metadata.labels, &mut metadata.annotations];
    for pairs in pairs.into_iter().flatten() {
        pairs.retain(|key, _| key.starts_with(DOMAIN));
    }
    metadata
}
