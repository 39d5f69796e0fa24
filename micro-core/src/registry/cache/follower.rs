//! The task that follows one service: it watches, lists, and never gives up.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, sleep_until, timeout};

use super::nodes::{Missing, Nodes};
use super::service::State;
use super::{CachedService, RegistryCacheOptions, Services, lock};
use crate::registry::{Change, Registry, ServiceRecord, Watcher};
use crate::{Error, ErrorKind, Result};

/// The first and the longest wait after trouble, before the jitter.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// How soon a listing that lacks nodes nobody reported as deleted is made again, to be believed then.
const CONFIRM: Duration = Duration::from_secs(2);

/// How many changes that are there already are taken in before they are published together.
const BATCH: usize = 1024;

pub(super) struct Follower {
    registry: Arc<dyn Registry>,
    options: RegistryCacheOptions,
    service: Arc<CachedService>,
    services: Weak<Services>,
    nodes: Nodes,
    /// The registry was away: what is missing when it is back is doubted.
    troubled: bool,
    /// While the time is not over, deletions are doubted.
    settled: Option<Instant>,
    refresh: Instant,
    idle_check: Instant,
    back_off: Duration,
}

/// Why following stopped for now.
enum Stop {
    /// Nobody asks any more.
    Idle,
    /// The registry or the watch failed.
    Trouble(Error),
}

impl Follower {
    pub(super) fn new(
        registry: Arc<dyn Registry>,
        options: RegistryCacheOptions,
        service: Arc<CachedService>,
        services: Weak<Services>,
    ) -> Self {
        let now = Instant::now();
        Self {
            registry,
            options,
            service,
            services,
            nodes: Nodes::default(),
            troubled: false,
            settled: None,
            refresh: now,
            idle_check: now + options.idle / 4,
            back_off: BACK_OFF.0,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            let began = Instant::now();
            let stop = match self.attend().await {
                Stop::Idle => return,
                Stop::Trouble(error) => error,
            };
            self.troubled = true;
            if began.elapsed() > BACK_OFF.1 {
                self.back_off = BACK_OFF.0;
            }
            tracing::debug!(
                service = %self.service.name(), registry = self.registry.name(), error = %stop,
                "lost sight of a service; what is known of it stays"
            );
            self.publish_failure(stop);
            if self.pause().await {
                return;
            }
        }
    }

    /// Follows until something stops it. Watches first and lists then, so that nothing falls between the two.
    async fn attend(&mut self) -> Stop {
        let name = self.service.name().clone();
        let watcher = self.limited(self.registry.watch(Some(&name))).await;
        // Listed even where the watch failed: a registry that cannot watch is still of use.
        if let Err(error) = self.list().await {
            return Stop::Trouble(error);
        }
        match watcher {
            Ok(mut watcher) => self.watch(&mut watcher).await,
            Err(error) => Stop::Trouble(error),
        }
    }

    async fn watch(&mut self, watcher: &mut Watcher) -> Stop {
        loop {
            let due = self
                .settled
                .into_iter()
                .chain([self.refresh, self.idle_check])
                .min();
            let done = tokio::select! {
                change = watcher.next() => self.take(change, watcher),
                () = sleep_until(due.unwrap_or(self.refresh)) => {
                    if self.on_time() {
                        return Stop::Idle;
                    }
                    self.list_when_due().await
                }
                () = self.service.wanted() => self.look_again().await,
            };
            if let Err(error) = done {
                return Stop::Trouble(error);
            }
        }
    }

    /// Takes a change in, and with it those that have arrived already.
    fn take(&mut self, first: Result<Change>, watcher: &mut Watcher) -> Result<()> {
        let (mut next, mut different, mut taken) = (Some(first), false, 0);
        let done = loop {
            match next {
                Some(Ok(change)) if change.service.name == self.service.name().as_str() => {
                    different |= self.nodes.apply(change, self.settled.is_some());
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => break Err(error),
                None => break Ok(()),
            }
            taken += 1;
            next = if taken < BATCH {
                watcher.next().now_or_never()
            } else {
                None
            };
        };
        if different {
            self.publish();
        }
        done
    }

    /// Does what is due but listing; whether it is time to end.
    fn on_time(&mut self) -> bool {
        let now = Instant::now();
        if self.settled.is_some_and(|settled| now >= settled) {
            self.settled = None;
            if self.nodes.drop_doubtful() {
                self.publish();
            }
        }
        now >= self.idle_check && self.is_idle(now)
    }

    /// Ends the following when nobody asked for long enough. Whoever asks waits for the lock, and then either was
    /// noticed or follows anew.
    fn is_idle(&mut self, now: Instant) -> bool {
        self.idle_check = now + self.options.idle / 4;
        let Some(services) = self.services.upgrade() else {
            return true;
        };
        let mut followed = lock(&services);
        if now.saturating_duration_since(self.service.last_asked()) < self.options.idle {
            return false;
        }
        let own = followed.get(self.service.name());
        if own.is_some_and(|own| Arc::ptr_eq(&own.service, &self.service)) {
            followed.remove(self.service.name());
        }
        true
    }

    /// Somebody asks, and the last answer, that there is nothing, has become too old.
    async fn look_again(&mut self) -> Result<()> {
        if !self.service.is_stale() {
            return Ok(());
        }
        self.service.set(State::Looking);
        self.list().await
    }

    async fn list_when_due(&mut self) -> Result<()> {
        if Instant::now() < self.refresh {
            return Ok(());
        }
        self.list().await
    }

    async fn list(&mut self) -> Result<()> {
        let name = self.service.name().clone();
        let listing = match self.limited(self.registry.get_service(&name)).await {
            Ok(listing) => listing,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        self.accept(listing);
        Ok(())
    }

    fn accept(&mut self, listing: Vec<ServiceRecord>) {
        let now = Instant::now();
        if std::mem::take(&mut self.troubled) && !self.nodes.is_empty() {
            self.settled = Some(now + self.options.doubt);
        }
        let missing = match self.settled {
            Some(_) => Missing::Doubt,
            None => Missing::Confirm,
        };
        let different = self.nodes.replace(listing, missing);
        let confirm = missing == Missing::Confirm && self.nodes.has_doubtful();
        let interval = self.options.refresh_interval;
        self.refresh = now + jittered(if confirm { CONFIRM.min(interval) } else { interval });
        if different || !self.service.is_known() {
            self.publish();
        }
    }

    fn publish(&self) {
        if self.nodes.is_empty() {
            let until = Instant::now() + self.options.negative_ttl;
            self.service.set(State::Absent { until });
        } else {
            self.service.publish(self.nodes.versions());
        }
    }

    /// Tells of trouble where nothing better is known, be it that there is nothing.
    fn publish_failure(&self, error: Error) {
        if self.service.is_unanswered() {
            let until = Instant::now() + self.options.negative_ttl;
            let error = Arc::new(error);
            self.service.set(State::Failed { error, until });
        }
    }

    /// Waits before the next try; whether it is time to end.
    async fn pause(&mut self) -> bool {
        let over = Instant::now() + jittered(self.back_off);
        self.back_off = (self.back_off * 2).min(BACK_OFF.1);
        loop {
            tokio::select! {
                () = sleep_until(over) => return false,
                () = sleep_until(self.idle_check) => {
                    if self.is_idle(Instant::now()) {
                        return true;
                    }
                }
                () = self.service.wanted() => {
                    if self.service.is_stale() {
                        self.service.set(State::Looking);
                        return false;
                    }
                }
            }
        }
    }

    async fn limited<T>(&self, answer: impl Future<Output = Result<T>>) -> Result<T> {
        let limit = self.options.timeout;
        timeout(limit, answer).await.unwrap_or_else(|_| {
            Err(Error::timeout(
                "go.micro.registry",
                format!(
                    "registry {}: no answer within {limit:?}; is it overloaded?",
                    self.registry.name()
                ),
            ))
        })
    }
}

/// However it ends, nobody goes on waiting for it.
impl Drop for Follower {
    fn drop(&mut self) {
        self.service.end();
    }
}

/// Within a tenth of the time, so that many processes do not ask in step.
fn jittered(time: Duration) -> Duration {
    time.mul_f64(0.9 + fastrand::f64() * 0.2)
}
