//! The task that keeps the promise of times to live: it lets lapse what is not registered again, and brings what lives
//! on into a new session.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::store::Store;

/// How many nodes are changed at once.
const AT_ONCE: usize = 16;

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
                let store = &store;
                let living = store.held.living().into_iter();
                let restores = living.map(|(path, value)| async move { store.restore(&path, &value).await });
                stream::iter(restores).buffer_unordered(AT_ONCE).collect::<()>().await;
            }
        }
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
