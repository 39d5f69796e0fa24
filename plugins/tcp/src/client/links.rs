//! The connections to a node: which one carries the next call, and when there is to be another.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use micro_core::transport::socket::Connector;
use micro_core::{Error, Result, Text};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::CLIENT;
use super::link::{Link, Place};
use crate::config::{LONGEST, TcpConfig};

/// How long it takes until another connection is tried again, where the last attempt failed.
const GROWTH_PAUSE: Duration = Duration::from_secs(1);

/// How many connections there may be, and how many calls one carries before there is to be another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) connections: usize,
    pub(super) calls: usize,
}

/// The connections to a node.
pub(super) struct Links {
    target: Arc<Target>,
    size: Size,
    state: Mutex<State>,
    /// Whoever has its permit connects: one at a time.
    gate: Arc<Semaphore>,
    /// A connection that was full has room.
    room: Notify,
    itself: Weak<Links>,
}

/// Where connections go.
struct Target {
    address: Text,
    connector: Connector,
    config: TcpConfig,
}

#[derive(Default)]
struct State {
    open: Vec<Arc<Link>>,
    /// How many attempts to connect have failed, and why the last one did.
    failures: u64,
    failure: String,
    /// What opens another connection beside those that are open.
    growing: Option<AbortOnDropHandle<()>>,
    /// Until when no other one is opened, because the last attempt failed.
    grown_until: Option<Instant>,
}

impl State {
    fn least(&self) -> Option<&Arc<Link>> {
        match self.open.as_slice() {
            [only] => Some(only),
            open => open.iter().min_by_key(|link| link.calls()),
        }
    }
}

impl Links {
    pub(super) fn new(address: &str, config: &TcpConfig, connector: Connector, size: Size) -> Arc<Self> {
        let target = Arc::new(Target {
            address: address.into(),
            connector,
            config: config.clone(),
        });
        Arc::new_cyclic(|itself| Self {
            target,
            size,
            state: Mutex::default(),
            gate: Arc::new(Semaphore::new(1)),
            room: Notify::new(),
            itself: itself.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a call, on a connection that is open or, where there is none, is opened for it. Waits where all have
    /// as many calls as the node wants.
    pub(super) async fn place(self: &Arc<Self>) -> Result<Place> {
        match self.try_place() {
            Some(place) => Ok(place),
            // Boxed, so that what is rare does not make every call's future larger.
            None => Box::pin(self.find_place()).await,
        }
    }

    fn try_place(self: &Arc<Self>) -> Option<Place> {
        let mut state = self.lock();
        let has_enough = state.least()?.calls() >= self.size.calls;
        if has_enough && state.open.len() < self.size.connections {
            self.grow(&mut state);
        }
        self.place_on(&state)
    }

    fn place_on(self: &Arc<Self>, state: &State) -> Option<Place> {
        let link = state.least().filter(|link| !link.is_full())?;
        Some(Place::take(link, self.clone()))
    }

    async fn find_place(self: &Arc<Self>) -> Result<Place> {
        loop {
            // Asked for before the look, so that room that is made in between is not missed.
            let mut room = std::pin::pin!(self.room.notified());
            room.as_mut().enable();
            if let Some(place) = self.try_place() {
                return Ok(place);
            }
            if !self.lock().open.is_empty() {
                room.await;
            } else if let Some(place) = self.connected().await? {
                return Ok(place);
            }
        }
    }

    /// Says that a connection that was full has room.
    pub(super) fn tell_room(&self) {
        self.room.notify_waiters();
    }

    /// Opens another connection beside those that are open. Calls do not wait for it.
    fn grow(&self, state: &mut State) {
        if state.grown_until.is_some_and(|until| Instant::now() < until) {
            return;
        }
        let Ok(permit) = self.gate.clone().try_acquire_owned() else {
            return;
        };
        let (target, links) = (self.target.clone(), self.itself.clone());
        let growing = async move {
            let connected = target.connect(links.clone()).await;
            let Some(links) = links.upgrade() else { return };
            let mut state = links.lock();
            match connected {
                Ok(link) => state.open.push(link),
                Err(problem) => {
                    tracing::debug!(address = %target.address, %problem, "no further connection");
                    state.grown_until = Some(Instant::now() + GROWTH_PAUSE);
                }
            }
            drop(state);
            links.tell_room();
            drop(permit);
        };
        state.growing = Some(AbortOnDropHandle::new(tokio::spawn(growing)));
    }

    /// Connects, or waits for who does so already.
    async fn connected(self: &Arc<Self>) -> Result<Option<Place>> {
        let failures = self.lock().failures;
        // The semaphore is never closed.
        let _permit = self.gate.acquire().await;
        {
            let state = self.lock();
            if !state.open.is_empty() {
                return Ok(self.place_on(&state));
            }
            if state.failures != failures {
                return Err(self.unreachable(&state.failure));
            }
        }
        let connected = self.target.connect(self.itself.clone()).await;
        let mut state = self.lock();
        match connected {
            Ok(link) => {
                state.open.push(link);
                Ok(self.place_on(&state))
            }
            Err(problem) => {
                state.failures += 1;
                state.failure.clone_from(&problem);
                Err(self.unreachable(&problem))
            }
        }
    }

    pub(super) fn unreachable(&self, problem: &str) -> Error {
        Error::unavailable(
            CLIENT,
            format!(
                "connection error: cannot connect to {}: {problem}",
                self.target.address
            ),
        )
        .never_started()
    }

    /// Chooses a connection no more. Calls on it go on.
    pub(super) fn remove(&self, link: &Arc<Link>) {
        let removed = {
            let mut state = self.lock();
            let at = state.open.iter().position(|open| Arc::ptr_eq(open, link));
            at.map(|at| state.open.swap_remove(at))
        };
        // Not under the lock: it may be the last owner, and closes the connection.
        drop(removed);
        self.tell_room();
    }

    /// Removes a connection if there is no call on it. False: there is one.
    pub(super) fn remove_idle(&self, link: &Arc<Link>) -> bool {
        let mut state = self.lock();
        if link.calls() > 0 {
            return false;
        }
        // The caller's own handle is not the last one, so nothing is closed under the lock.
        state.open.retain(|open| !Arc::ptr_eq(open, link));
        true
    }
}

impl Target {
    async fn connect(&self, links: Weak<Links>) -> Result<Arc<Link>, String> {
        let limit = self.config.connect_timeout.min(LONGEST);
        let link = Link::connect(&self.address, &self.connector, &self.config, links);
        match timeout(limit, link).await {
            Ok(link) => link,
            Err(_) => Err(format!(
                "no connection within {limit:?}, the limit connect_timeout"
            )),
        }
    }
}
