//! What the clones of a registry, its watches and its one task share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chitchat::Chitchat;
use micro_core::Result;
use tokio::sync::{Notify, OwnedMutexGuard, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::config::GossipConfig;
use crate::error;
use crate::socket::Traffic;
use crate::view;

/// The pause before the state is asked for again that somebody else has.
const TRY_AGAIN: Duration = Duration::from_millis(1);

/// The state of a membership, which ends with it.
type Running = Arc<tokio::sync::Mutex<Chitchat>>;

pub(crate) struct Shared {
    pub(crate) config: GossipConfig,
    chitchat: Mutex<Option<Running>>,
    is_closed: AtomicBool,
    own: Mutex<BTreeMap<String, Own>>,
    /// Rings when an entry came or changed, of whichever member.
    pub(crate) bell: watch::Sender<()>,
    pub(crate) traffic: Arc<Traffic>,
    /// For the task: tell others now.
    pub(crate) tell: Notify,
    /// For the task: look anew when the next entry lapses.
    pub(crate) look: Notify,
    /// For the task: end.
    pub(crate) end: Notify,
}

/// An entry of this process.
struct Own {
    value: String,
    lapses: Option<Instant>,
}

impl Shared {
    pub(crate) fn new(config: GossipConfig) -> Self {
        Self {
            config,
            chitchat: Mutex::default(),
            is_closed: AtomicBool::new(false),
            own: Mutex::default(),
            bell: watch::Sender::default(),
            traffic: Arc::default(),
            tell: Notify::default(),
            look: Notify::default(),
            end: Notify::default(),
        }
    }

    /// The state of the cluster. Not waited for in the mutex's queue: a future that stands there and is not polled, such
    /// as that of a watcher that nobody reads, would keep all others out. Everybody gives it back at once.
    pub(crate) async fn lock(&self) -> Result<OwnedMutexGuard<Chitchat>> {
        let chitchat = self.lock_though_closed().await?;
        match self.is_closed() {
            true => Err(error::closed()),
            false => Ok(chitchat),
        }
    }

    pub(crate) async fn lock_though_closed(&self) -> Result<OwnedMutexGuard<Chitchat>> {
        loop {
            let running = self.running().clone().ok_or_else(error::closed)?;
            if let Ok(chitchat) = running.clone().try_lock_owned()
                && self.is_current(&running)
            {
                return Ok(chitchat);
            }
            sleep(TRY_AGAIN).await;
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.chitchat.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is the state to change. It is for as long as it is locked.
    fn is_current(&self, state: &Running) -> bool {
        let running = self.running();
        running
            .as_ref()
            .is_some_and(|running| Arc::ptr_eq(running, state))
    }

    /// Goes on with another state, which was begun with these own keys. What was put and taken out since then is made up
    /// for.
    pub(crate) async fn go_on_with(&self, begun: Running, with: &[String]) -> Result<()> {
        let former = self.running().clone();
        let former = match former {
            Some(former) => Some(former.lock_owned().await),
            None => None,
        };
        *self.running() = Some(begun);
        drop(former);
        let mut chitchat = self.lock().await?;
        let state = chitchat.self_node_state();
        let own = self.own();
        for (key, own) in own.iter() {
            if state.get(key) != Some(own.value.as_str()) {
                state.set(key, &own.value);
            }
        }
        for key in with.iter().filter(|key| !own.contains_key(*key)) {
            if state.get(key) != Some("") {
                state.set_with_ttl(key, "");
            }
        }
        Ok(())
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Lets every method fail from now on, and the task end.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.bell.send_replace(());
        self.end.notify_one();
    }

    fn own(&self) -> MutexGuard<'_, BTreeMap<String, Own>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts entries, all or none.
    pub(crate) async fn put(&self, entries: Vec<(String, String)>, lapses: Option<Instant>) -> Result<()> {
        let mut chitchat = self.lock().await?;
        let state = chitchat.self_node_state();
        let mut own = self.own();
        let mut has_changed = false;
        for (key, value) in entries {
            has_changed |= state.get(&key) != Some(value.as_str());
            state.set(&key, &value);
            own.insert(key, Own { value, lapses });
        }
        if has_changed {
            self.tell.notify_one();
        }
        self.look.notify_one();
        Ok(())
    }

    /// Takes own entries out, and waits until somebody else was told, though not for long.
    pub(crate) async fn take_out(&self, keys: Vec<String>) -> Result<()> {
        let mut told = self.traffic.told.subscribe();
        let (before, is_alone) = {
            let mut chitchat = self.lock().await?;
            if !self.mark_gone(&mut chitchat, &keys) {
                return Ok(());
            }
            (*told.borrow_and_update(), view::peers(&chitchat).is_empty())
        };
        self.tell.notify_one();
        if !is_alone {
            // One message may have been made before the change.
            let _ = timeout(self.config.interval, told.wait_for(|told| *told >= before + 2)).await;
        }
        Ok(())
    }

    /// An entry without a value is told to others like any other, and chitchat forgets it after a time. One that is
    /// deleted would not ring at others.
    fn mark_gone(&self, chitchat: &mut Chitchat, keys: &[String]) -> bool {
        let state = chitchat.self_node_state();
        let mut own = self.own();
        let mut any = false;
        for key in keys.iter().filter(|key| own.remove(*key).is_some()) {
            state.set_with_ttl(key, "");
            any = true;
        }
        any
    }

    /// Takes out what has lapsed by now.
    pub(crate) async fn lapse(&self) {
        let Ok(mut chitchat) = self.lock().await else {
            return;
        };
        let now = Instant::now();
        let lapsed = |own: &Own| own.lapses.is_some_and(|lapses| lapses <= now);
        let keys: Vec<String> = self
            .own()
            .iter()
            .filter(|(_, own)| lapsed(own))
            .map(|(key, _)| key.clone())
            .collect();
        if self.mark_gone(&mut chitchat, &keys) {
            self.tell.notify_one();
        }
    }

    pub(crate) fn next_lapse(&self) -> Option<Instant> {
        self.own().values().filter_map(|own| own.lapses).min()
    }

    pub(crate) fn own_keys(&self) -> Vec<String> {
        self.own().keys().cloned().collect()
    }

    /// All that this process has, to begin anew with.
    pub(crate) fn own_entries(&self) -> Vec<(String, String)> {
        self.own()
            .iter()
            .map(|(key, own)| (key.clone(), own.value.clone()))
            .collect()
    }
}
