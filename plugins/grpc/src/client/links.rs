//! The connections to a node: which one carries the next call, and when there is to be another.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use micro_core::transport::socket::Connector;
use micro_core::{Error, Result, Text};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::CLIENT;
use super::link::{Link, Place};
use crate::config::GrpcConfig;

/// The connections to a node.
pub(super) struct Links {
    address: Text,
    connector: Connector,
    config: GrpcConfig,
    state: Mutex<State>,
    /// Whoever has its permit connects: one at a time.
    gate: Semaphore,
    itself: Weak<Links>,
}

#[derive(Default)]
struct State {
    open: Vec<Arc<Link>>,
    /// How many attempts to connect have failed, and why the last one did.
    failures: u64,
    failure: String,
}

/// What to do for a call.
enum Choice {
    Take(Place),
    /// All connections have enough to do, and there may be another; or there is none.
    Connect,
}

impl Links {
    pub(super) fn new(address: &str, config: &GrpcConfig, connector: Connector) -> Arc<Self> {
        Arc::new_cyclic(|itself| Self {
            address: address.into(),
            connector,
            config: config.clone(),
            state: Mutex::default(),
            gate: Semaphore::new(1),
            itself: itself.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a call, on a connection that is open or is opened for it.
    pub(super) async fn place(&self) -> Result<Place> {
        match self.choose() {
            Choice::Take(place) => Ok(place),
            // Boxed, so that what is rare does not make every call's future larger.
            Choice::Connect => Box::pin(self.connected()).await,
        }
    }

    fn choose(&self) -> Choice {
        let state = self.lock();
        let Some(least) = state.open.iter().min_by_key(|link| link.calls()) else {
            return Choice::Connect;
        };
        let may_grow = state.open.len() < self.config.connections && self.gate.available_permits() > 0;
        if may_grow && least.calls() >= self.config.calls_per_connection {
            return Choice::Connect;
        }
        Choice::Take(least.place())
    }

    /// Connects, or waits for who does so already.
    async fn connected(&self) -> Result<Place> {
        let failures = self.lock().failures;
        // The semaphore is never closed.
        let _permit = self.gate.acquire().await;
        if let Some(place) = self.connected_meanwhile(failures)? {
            return Ok(place);
        }
        match self.connect().await {
            Ok(link) => {
                let place = link.place();
                self.lock().open.push(link);
                Ok(place)
            }
            Err(problem) => {
                let mut state = self.lock();
                state.failures += 1;
                state.failure.clone_from(&problem);
                // Those that are open carry one more.
                match state.open.iter().min_by_key(|link| link.calls()) {
                    Some(least) => Ok(least.place()),
                    None => Err(self.unreachable(&problem)),
                }
            }
        }
    }

    /// What came of the attempt that was waited for, where there was one.
    fn connected_meanwhile(&self, failures: u64) -> Result<Option<Place>> {
        let state = self.lock();
        let least = state.open.iter().min_by_key(|link| link.calls());
        match least {
            Some(least)
                if least.calls() < self.config.calls_per_connection
                    || state.open.len() >= self.config.connections =>
            {
                Ok(Some(least.place()))
            }
            None if state.failures != failures => Err(self.unreachable(&state.failure)),
            _ => Ok(None),
        }
    }

    async fn connect(&self) -> Result<Arc<Link>, String> {
        let link = async {
            let socket = self
                .connector
                .connect(&self.address)
                .await
                .map_err(|problem| problem.to_string())?;
            Link::new(socket, &self.config, self.itself.clone())
                .await
                .map_err(|problem| problem.to_string())
        };
        let limit = self.config.connect_timeout;
        match timeout(limit.min(Duration::from_secs(24 * 3600)), link).await {
            Ok(link) => link,
            Err(_) => Err(format!(
                "no connection within {limit:?}, the limit connect_timeout"
            )),
        }
    }

    pub(super) fn unreachable(&self, problem: &str) -> Error {
        Error::unavailable(
            CLIENT,
            format!("connection error: cannot connect to {}: {problem}", self.address),
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
