//! Watching: what comes, changes and goes.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::stream;
use micro_core::Result;
use micro_core::registry::{Change, KnownNodes, Watcher};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use crate::lookup::gather;
use crate::record::LIST;
use crate::registry::at_once;
use crate::shared::Shared;

/// How long to look for what is there already, as parts of the timeout.
const LOOK_AROUND: f64 = 1.0;

/// Begins to watch: first learns what is there, so that only what changes from now on is told.
pub(crate) async fn watch(shared: &Arc<Shared>, service: Option<&str>) -> Result<Watcher> {
    let started = Instant::now();
    let interest = Interest::begin(shared.clone(), service);
    let receiver = shared.subscribe()?;
    match service {
        Some(service) => {
            drop(gather(shared, service, LOOK_AROUND).await);
            let until = Instant::now() + shared.config.quiet;
            shared.lock().heard.note_looked_around(service, started, until);
        }
        None => look_around(shared).await,
    }
    if !interest.watched_before {
        shared.lock().forget_before(service, started);
    }
    let mut watch = Watch {
        interest,
        receiver,
        known: KnownNodes::new(),
        pending: VecDeque::new(),
    };
    watch.list();
    watch.pending.clear();
    shared.wake.notify_one();
    Ok(Watcher::new(stream::unfold(watch, |mut watch| async {
        let change = watch.next().await?;
        Some((Ok(change), watch))
    })))
}

async fn look_around(shared: &Arc<Shared>) {
    let mut lookups = Vec::new();
    for listed in gather(shared, LIST, LOOK_AROUND).await {
        let shared = shared.clone();
        lookups.push(async move { drop(gather(&shared, &listed.name, LOOK_AROUND).await) });
    }
    at_once(lookups).await;
}

struct Watch {
    interest: Interest,
    receiver: Receiver<Change>,
    known: KnownNodes,
    pending: VecDeque<Change>,
}

impl Watch {
    async fn next(&mut self) -> Option<Change> {
        loop {
            if let Some(change) = self.pending.pop_front() {
                return Some(change);
            }
            match self.receiver.recv().await {
                Ok(change) if self.concerns(&change) => self.pending.extend(self.known.apply(change)),
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => {
                    // Subscribed anew before listing, so that nothing falls between the two.
                    self.receiver = self.interest.shared.subscribe().ok()?;
                    self.list();
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }

    fn list(&mut self) {
        let service = self.interest.service.as_deref();
        let listing = self.interest.shared.lock().listing(service, Instant::now());
        self.pending.extend(self.known.replace(listing));
    }

    fn concerns(&self, change: &Change) -> bool {
        let service = self.interest.service.as_ref();
        service.is_none_or(|service| *service == change.service.name)
    }
}

/// Keeps a service remembered and asked for, until dropped.
struct Interest {
    shared: Arc<Shared>,
    service: Option<String>,
    watched_before: bool,
}

impl Interest {
    fn begin(shared: Arc<Shared>, service: Option<&str>) -> Self {
        let watched_before = shared.lock().heard.begin_watch(service);
        Self {
            shared,
            service: service.map(str::to_owned),
            watched_before,
        }
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        self.shared.lock().heard.end_watch(self.service.as_deref());
    }
}
