//! The task that keeps the promise of times to live: it lets lapse what is not registered again, and brings what lives
//! on into a new session.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::store::Store;

/// How many nodes are changed at once.
const AT_ONCE: usize = 16;
/// When what could not be brought into a session is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// The running task; it ends when this is dropped.
pub(crate) struct Keeper(JoinHandle<()>);

impl Keeper {
    pub(crate) fn start(store: Arc<Store>) -> Self {
        Self(tokio::spawn(keep(store)))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn keep(store: Arc<Store>) {
    let mut sessions = store.client.sessions();
    let mut missing = Missing::default();
    loop {
        tokio::select! {
            () = until(store.held.next()) => {
                let store = &store;
                let lapses = store.held.due().into_iter().map(|path| async move { store.lapse(&path).await });
                stream::iter(lapses).buffer_unordered(AT_ONCE).collect::<()>().await;
            }
            () = store.held.earlier.notified() => {}
            changed = sessions.changed() => {
                if changed.is_err() {
                    return;
                }
                missing = restore(&store, |_| true).await;
            }
            () = until(missing.again) => missing = restore(&store, |path| missing.paths.contains(path)).await,
        }
    }
}

/// What lives on and is not in the session yet, and when it is tried again.
#[derive(Default)]
struct Missing {
    paths: BTreeSet<String>,
    again: Option<Instant>,
}

/// Brings what is wanted of all that lives on into the session.
async fn restore(store: &Store, is_wanted: impl Fn(&str) -> bool) -> Missing {
    let mut living = store.held.living();
    living.retain(|(path, _)| is_wanted(path));
    let restores = living.into_iter().map(|(path, value)| async move {
        let is_settled = store.restore(&path, &value).await;
        (!is_settled).then_some(path)
    });
    let missing: Vec<Option<String>> = stream::iter(restores).buffer_unordered(AT_ONCE).collect().await;
    let paths: BTreeSet<String> = missing.into_iter().flatten().collect();
    Missing {
        again: (!paths.is_empty()).then(|| Instant::now() + AGAIN),
        paths,
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
