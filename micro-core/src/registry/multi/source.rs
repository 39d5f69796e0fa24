//! One of several registries: how long it is waited for, and what it said last.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::remembered::Remembered;
use super::{MultiRegistryOptions, is_aside};
use crate::registry::{Registry, ServiceRecord};
use crate::{Error, ErrorKind, Result};

/// For how long a registry that did not answer in time is waited for less.
const DISTRUST: Duration = Duration::from_secs(30);

/// Of how many services it is known that they were refused. Beyond that it may be told more than once.
const MAX_REFUSED: usize = 1024;

pub(super) struct Source {
    registry: Arc<dyn Registry>,
    timeout: Duration,
    /// Until when it is waited for less, because it did not answer.
    distrusted: Mutex<Option<Instant>>,
    /// Since when it gives no answers, as far as look-ups know.
    away: Mutex<Option<Instant>>,
    /// How long away its last answers count.
    forget_after: Duration,
    services: Mutex<Remembered>,
    listing: Mutex<Vec<ServiceRecord>>,
    /// Services that it did not take, of which that was told.
    refused: Mutex<HashSet<String>>,
}

impl Source {
    pub(super) fn new(registry: Arc<dyn Registry>, options: MultiRegistryOptions) -> Self {
        Self {
            registry,
            timeout: options.timeout,
            distrusted: Mutex::default(),
            away: Mutex::default(),
            forget_after: options.forget_after,
            services: Mutex::new(Remembered::new(options.max_services)),
            listing: Mutex::default(),
            refused: Mutex::default(),
        }
    }

    pub(super) fn name(&self) -> &str {
        self.registry.name()
    }

    pub(super) fn registry(&self) -> &dyn Registry {
        &*self.registry
    }

    /// Whether an answer counts where something was to be written: not that of a registry that only reads.
    ///
    /// Asked after the answer, since one that is connected to late does not know before.
    pub(super) fn takes_part(&self, answer: &Result<()>) -> bool {
        self.registry.takes_registrations() && !answer.as_ref().is_err_and(is_aside)
    }

    /// Its records of a service; when it cannot be asked, those that it had last, and the error.
    pub(super) async fn service(&self, name: &str) -> (Vec<ServiceRecord>, Option<Error>) {
        match found(self.ask(self.registry.get_service(name)).await) {
            Ok(records) => {
                self.is_there();
                lock(&self.services).set(name, &records);
                (records, None)
            }
            Err(error) => {
                self.is_missed();
                (lock(&self.services).get(name), Some(error))
            }
        }
    }

    /// The records that it had last of a service, or of all that were asked for.
    pub(super) fn remembered(&self, service: Option<&str>) -> Vec<ServiceRecord> {
        let mut services = lock(&self.services);
        match service {
            Some(service) => services.get(service),
            None => services.all(),
        }
    }

    /// Its list of services; when it cannot be asked, the last one, and the error.
    pub(super) async fn list(&self) -> (Vec<ServiceRecord>, Option<Error>) {
        match self.ask(self.registry.list_services()).await {
            Ok(records) => {
                self.is_there();
                lock(&self.listing).clone_from(&records);
                (records, None)
            }
            Err(error) => {
                self.is_missed();
                (lock(&self.listing).clone(), Some(error))
            }
        }
    }

    /// Since when it is away: now, if nobody noticed before.
    pub(super) fn away_since(&self) -> Instant {
        lock(&self.away).unwrap_or_else(Instant::now)
    }

    pub(super) fn forget_after(&self) -> Duration {
        self.forget_after
    }

    /// Notes that it answered.
    pub(super) fn is_there(&self) {
        *lock(&self.away) = None;
    }

    /// Notes that it gave no answer, and forgets what it said last when that is so for too long.
    fn is_missed(&self) {
        let since = *lock(&self.away).get_or_insert_with(Instant::now);
        if since.elapsed() >= self.forget_after {
            lock(&self.services).clear();
            lock(&self.listing).clear();
        }
    }

    /// Waits for an answer as long as for one that is needed, on behalf of a watcher. What comes of it says nothing of
    /// the registry: nobody may have read the watcher meanwhile.
    pub(super) async fn ask_for_watcher<T>(&self, answer: impl Future<Output = Result<T>>) -> Result<T> {
        match timeout(self.timeout, answer).await {
            Ok(answer) => self.named(answer),
            Err(_) => Err(self.too_slow(self.timeout)),
        }
    }

    fn named<T>(&self, answer: Result<T>) -> Result<T> {
        answer.map_err(|error| error.context(format_args!("registry {}", self.name())))
    }

    /// Waits for an answer as long as for one that is needed.
    pub(super) async fn ask_patiently<T>(&self, answer: impl Future<Output = Result<T>>) -> Result<T> {
        self.limited(self.timeout, answer).await
    }

    /// Waits for an answer, but not long for that of a registry that gave none lately.
    async fn ask<T>(&self, answer: impl Future<Output = Result<T>>) -> Result<T> {
        self.limited(self.patience(), answer).await
    }

    async fn limited<T>(&self, limit: Duration, answer: impl Future<Output = Result<T>>) -> Result<T> {
        match timeout(limit, answer).await {
            Ok(answer) => {
                *lock(&self.distrusted) = None;
                self.named(answer)
            }
            Err(_) => {
                self.distrust(limit);
                Err(self.too_slow(limit))
            }
        }
    }

    /// Notes that it gave no answer in that time.
    pub(super) fn distrust(&self, limit: Duration) {
        // Not after a short wait: whoever became slow, but not too slow, is to be found out.
        if limit >= self.timeout {
            *lock(&self.distrusted) = Some(Instant::now() + DISTRUST);
        }
    }

    /// How long an answer is waited for now.
    pub(super) fn patience(&self) -> Duration {
        match *lock(&self.distrusted) {
            Some(until) if Instant::now() < until => self.timeout / 8,
            _ => self.timeout,
        }
    }

    pub(super) fn too_slow(&self, limit: Duration) -> Error {
        Error::timeout(
            "go.micro.registry",
            format!(
                "registry {}: no answer within {limit:?}; is it running, and can it be reached?",
                self.name()
            ),
        )
    }

    /// Notes that it took a record.
    pub(super) fn took(&self, service: &str) {
        if self.forget_refusal(service) {
            tracing::info!(service, registry = self.name(), "registered here again");
        }
    }

    /// Notes that it did not take a record, and tells of it, once until it takes it, unless the caller does.
    pub(super) fn refused(&self, service: &str, error: &Error, is_to_be_told: bool) {
        let mut refused = lock(&self.refused);
        if refused.len() >= MAX_REFUSED {
            refused.clear();
        }
        let is_new = refused.insert(service.to_owned());
        drop(refused);
        if is_new && is_to_be_told {
            tracing::warn!(service, registry = self.name(), %error,
                "cannot register here, only elsewhere; trying on");
        }
    }

    /// Whether it was noted that it did not take the service.
    pub(super) fn forget_refusal(&self, service: &str) -> bool {
        lock(&self.refused).remove(service)
    }
}

/// A service that is not there has no records.
pub(super) fn found(answer: Result<Vec<ServiceRecord>>) -> Result<Vec<ServiceRecord>> {
    match answer {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        answer => answer,
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
