//! The connections to a node: which one carries the next call, and when there is to be another.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use micro_core::{Error, Result, Text};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::CLIENT;
use super::link::{Link, Place};
use crate::config::GrpcConfig;
use crate::security::Security;

/// How long it takes until another connection is tried again, where the last attempt failed.
const GROWTH_PAUSE: Duration = Duration::from_secs(1);

/// The connections to a node.
pub(super) struct Links {
    target: Arc<Target>,
    state: Mutex<State>,
    /// Whoever has its permit connects: one at a time.
    gate: Arc<Semaphore>,
    itself: Weak<Links>,
}

/// Where connections go.
struct Target {
    address: Text,
    /// What the node is called by.
    authority: Text,
    security: Arc<Security>,
    config: GrpcConfig,
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
    /// A place on the connection that has least to do.
    fn place(&self) -> Option<Place> {
        self.least().map(Link::place)
    }

    fn least(&self) -> Option<&Arc<Link>> {
        self.open.iter().min_by_key(|link| link.calls())
    }
}

impl Links {
    pub(super) fn new(
        address: &str,
        authority: &str,
        config: &GrpcConfig,
        security: Arc<Security>,
    ) -> Arc<Self> {
        let target = Arc::new(Target {
            address: address.into(),
            authority: authority.into(),
            security,
            config: config.clone(),
        });
        Arc::new_cyclic(|itself| Self {
            target,
            state: Mutex::default(),
            gate: Arc::new(Semaphore::new(1)),
            itself: itself.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a call, on a connection that is open or, where there is none, is opened for it.
    pub(super) async fn place(&self) -> Result<Place> {
        let place = {
            let mut state = self.lock();
            self.grow(&mut state);
            state.place()
        };
        match place {
            Some(place) => Ok(place),
            // Boxed, so that what is rare does not make every call's future larger.
            None => Box::pin(self.connected()).await,
        }
    }

    /// Opens another connection where those that are open have enough to do. Calls do not wait for it.
    fn grow(&self, state: &mut State) {
        let Target { config, .. } = &*self.target;
        let has_enough = state
            .least()
            .is_some_and(|least| least.calls() >= config.calls_per_connection);
        if !has_enough || state.open.len() >= config.connections {
            return;
        }
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
            drop(permit);
        };
        state.growing = Some(AbortOnDropHandle::new(tokio::spawn(growing)));
    }

    /// Connects, or waits for who does so already.
    async fn connected(&self) -> Result<Place> {
        let failures = self.lock().failures;
        // The semaphore is never closed.
        let _permit = self.gate.acquire().await;
        {
            let state = self.lock();
            if let Some(place) = state.place() {
                return Ok(place);
            }
            if state.failures != failures {
                return Err(self.unreachable(&state.failure));
            }
        }
        let connected = self.target.connect(self.itself.clone()).await;
        let mut state = self.lock();
        match connected {
            Ok(link) => {
                let place = link.place();
                state.open.push(link);
                Ok(place)
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
    pub(super) fn remove(&self, link: &Weak<Link>) {
        let removed = {
            let mut state = self.lock();
            let at = state
                .open
                .iter()
                .position(|open| std::ptr::eq(Arc::as_ptr(open), link.as_ptr()));
            at.map(|at| state.open.swap_remove(at))
        };
        // Not under the lock: it may be the last owner, and closes the connection.
        drop(removed);
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
        let link = async {
            let connector = self.security.connector();
            let socket = connector.connect_as(&self.address, &self.authority).await;
            let socket = socket.map_err(|problem| problem.to_string())?;
            let link = Link::new(socket, &self.config, links).await;
            link.map_err(|problem| problem.to_string())
        };
        let limit = self.config.connect_timeout;
        match timeout(limit.min(Duration::from_secs(24 * 3600)), link).await {
            Ok(link) => link,
            Err(_) => Err(format!(
                "no connection within {limit:?}, the limit connect_timeout"
            )),
        }
    }
}
