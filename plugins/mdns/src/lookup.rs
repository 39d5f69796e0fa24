//! Asking who is there, and knowing when all have answered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared as SharedFuture, WeakShared};
use micro_core::registry::ServiceRecord;
use tokio::time::{Instant, sleep_until};

use crate::shared::Shared;

/// When to ask again, as parts of the timeout.
const ASK_AGAIN: [f64; 3] = [0.4, 1.0, 1.7];
/// How long to wait for the first answer of all, as parts of the timeout.
const GIVE_UP: f64 = 2.5;

/// How many times the longest pause between answers the silence must last after which all have answered.
const PATIENCE: u32 = 2;

type Outcome = Arc<[ServiceRecord]>;

/// The lookups under way: who asks for the same service meanwhile gets the same answer.
#[derive(Debug, Default)]
pub(crate) struct Lookups(Mutex<HashMap<String, WeakShared<BoxFuture<'static, Outcome>>>>);

impl Lookups {
    /// The nodes that answer, own ones included, one a record. Empty when there are none.
    pub(crate) fn lookup(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        service: &str,
    ) -> SharedFuture<BoxFuture<'static, Outcome>> {
        let mut under_way = self.lock();
        if let Some(lookup) = under_way.get(service).and_then(WeakShared::upgrade) {
            return lookup;
        }
        let (lookups, shared, name) = (self.clone(), shared.clone(), service.to_owned());
        let lookup = async move {
            let found = gather(&shared, &name, GIVE_UP).await;
            lookups.lock().remove(&name);
            found.into()
        };
        let lookup = lookup.boxed().shared();
        // Lookups that everybody walked away from leave their name behind.
        under_way.retain(|_, lookup| lookup.upgrade().is_some());
        under_way.extend(lookup.downgrade().map(|lookup| (service.to_owned(), lookup)));
        lookup
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, WeakShared<BoxFuture<'static, Outcome>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The nodes that a watcher found a moment ago, with what was heard since: who watches first and asks then, so as to
/// miss nothing, need not wait for the same answers twice. `None`: nobody did, or there were none.
pub(crate) fn just_found(shared: &Shared, service: &str) -> Option<Vec<ServiceRecord>> {
    let state = shared.lock();
    let since = state.heard.looked_around(service, Instant::now())?;
    let own = state.own.records(Some(service));
    let found: Vec<_> = own.chain(state.heard.since(service, since)).cloned().collect();
    (!found.is_empty()).then_some(found)
}

/// Asks, and collects until all known nodes have answered and it has been quiet, or the time is up.
pub(crate) async fn gather(shared: &Shared, service: &str, give_up: f64) -> Vec<ServiceRecord> {
    let (timeout, mut quiet) = (shared.config.timeout, shared.config.quiet);
    let started = Instant::now();
    let mut heard = started;
    let mut lookup = Lookup::begin(shared, service, started);
    let mut ask_again = ASK_AGAIN
        .map(|part| started + timeout.mul_f64(part))
        .into_iter()
        .peekable();
    shared.ask(service).await;
    loop {
        let news = lookup.news.clone();
        let mut news = std::pin::pin!(news.notified());
        // From here on no news is missed.
        news.as_mut().enable();
        let now = Instant::now();
        let (progress, has_own) = {
            let state = shared.lock();
            let has_own = state.own.records(Some(service)).next().is_some();
            (state.heard.progress(service, started, now), has_own)
        };
        if let Some(last) = progress.last {
            // On a busy machine answers come slowly, and then a short silence means less.
            let longer = PATIENCE * last.saturating_duration_since(heard);
            quiet = quiet.max(longer.min(timeout / 2));
            heard = heard.max(last);
        }
        let last = progress.last.or(has_own.then_some(started));
        let deadline = match last {
            Some(last) if progress.incomplete => (last + quiet).max(started + timeout),
            Some(last) => last + quiet,
            None => started + timeout.mul_f64(give_up),
        };
        let deadline = deadline.min(started + timeout.mul_f64(give_up.max(1.0)));
        if now >= deadline {
            lookup.waited = now >= started + timeout;
            break;
        }
        tokio::select! {
            () = news => {}
            () = sleep_until(deadline.min(ask_again.peek().copied().unwrap_or(deadline))) => {
                if ask_again.next_if(|at| *at <= Instant::now()).is_some() {
                    shared.ask(service).await;
                }
            }
        }
    }
    lookup.found()
}

/// Keeps what is heard of the service from being passed over, until dropped.
struct Lookup<'a> {
    shared: &'a Shared,
    service: &'a str,
    started: Instant,
    news: Arc<tokio::sync::Notify>,
    /// Whether silent nodes had their full time.
    waited: bool,
}

impl<'a> Lookup<'a> {
    fn begin(shared: &'a Shared, service: &'a str, started: Instant) -> Self {
        Self {
            news: shared.lock().heard.begin_lookup(service, started),
            shared,
            service,
            started,
            waited: false,
        }
    }

    fn found(&self) -> Vec<ServiceRecord> {
        let state = self.shared.lock();
        let own = state.own.records(Some(self.service));
        own.chain(state.heard.since(self.service, self.started))
            .cloned()
            .collect()
    }
}

impl Drop for Lookup<'_> {
    fn drop(&mut self) {
        let waited = self.waited.then_some(self.started);
        self.shared.lock().heard.end_lookup(self.service, waited);
    }
}
