//! Several registries as one: the way from one to another.

mod late;
mod merge;
mod remembered;
mod source;
mod watch;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::sleep;

use self::merge::merge;
use self::source::Source;
use super::{RegisterOptions, Registry, ServiceRecord, Watcher, service_not_found};
use crate::{Error, ErrorKind, Result};

pub use self::late::LateRegistry;

/// How a [`MultiRegistry`] treats its registries. Times below 10 ms count as 10 ms, those above a year as a year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MultiRegistryOptions {
    /// How long each registry may take for one answer. Default 4 s: less than the 5 s within which a service wants to
    /// be registered, and the 10 s that a [`RegistryCache`](super::RegistryCache) waits for an answer.
    pub timeout: Duration,
    /// Of how many services the last answer of each registry is kept, for when it is away; the one that was not asked
    /// for the longest makes room for a new one. Default 1024; 0 counts as 1.
    pub max_services: usize,
    /// How long a registry may be away before its last answers are forgotten: look-ups are without its nodes then, and
    /// watchers are told that they are gone. Default 10 min: long enough to start a registry anew, and short enough that
    /// nodes which died after the old registry was switched off are not called for ever.
    pub forget_after: Duration,
}

impl Default for MultiRegistryOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(4),
            max_services: 1024,
            forget_after: Duration::from_secs(600),
        }
    }
}

/// Several registries as one, so that services can move from one to another: they register in all, and are found by
/// what any of them knows.
///
/// The order counts: where several know a node, the record of the first is taken. The registries are asked at the same
/// time. One that is away is not missed as long as another one answers: what it said last of a service is counted
/// still, so that nodes which only it knows are not lost by its outage, unless that lasts for longer than
/// [10 min](MultiRegistryOptions::forget_after). One that did not answer in
/// [time](MultiRegistryOptions::timeout) is, for half a minute, not waited for longer than an eighth of that time.
///
/// - [`register`](Registry::register) succeeds when at least one registry took the record; it fails, and names every
///   one, when none did. Which one did not is logged, once in each outage. Once one took it, the others are waited for
///   no longer than a quarter of the record's time to live, so that they cannot keep the next registration from being
///   in time.
/// - [`deregister`](Registry::deregister) succeeds when all did; the error names those that did not.
/// - [`get_service`](Registry::get_service) says `NotFound` only when all registries said so. When one is away and
///   nothing is known from the others and from before, it fails with that one's error.
/// - [`list_services`](Registry::list_services) likewise.
/// - A registry that [only reads](Registry::takes_registrations), or answers that it cannot do what is asked for
///   ([`MethodNotAllowed`](crate::ErrorKind::MethodNotAllowed)), has no part in it: it counts neither as having taken a
///   record nor as having failed, and is left out of lists and watches that it does not have. Only when all are so does
///   their answer count.
/// - A node is gone for a [`Watcher`] when it is gone from every registry that had it; a registry that is away keeps
///   what it had until it is forgotten. A registry that is away when the watch begins is tried again after growing pauses. Of each outage a
///   watcher is told once, by an error that names the registry: when it begins, or, if the watch began within it, when
///   it ends.
///
/// All methods may be cancelled; some of the registries may have the new state then, and others the old.
pub struct MultiRegistry {
    name: String,
    sources: Vec<Arc<Source>>,
    timeout: Duration,
}

impl MultiRegistry {
    /// All of these registries, in this order, with the default options.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn new(registries: impl IntoIterator<Item = Arc<dyn Registry>>) -> Result<Self> {
        Self::with_options(registries, MultiRegistryOptions::default())
    }

    /// The same with other options.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn with_options(
        registries: impl IntoIterator<Item = Arc<dyn Registry>>,
        options: MultiRegistryOptions,
    ) -> Result<Self> {
        let longest = Duration::from_secs(31_536_000);
        let within = |time: Duration| time.clamp(Duration::from_millis(10), longest);
        let options = MultiRegistryOptions {
            timeout: within(options.timeout),
            max_services: options.max_services.max(1),
            forget_after: within(options.forget_after),
        };
        let sources: Vec<_> = registries
            .into_iter()
            .map(|registry| Arc::new(Source::new(registry, options)))
            .collect();
        if sources.is_empty() {
            return Err(Error::bad_request(
                "go.micro.registry",
                "several registries as one need at least one; none was given",
            ));
        }
        let names: Vec<_> = sources.iter().map(|source| source.name()).collect();
        Ok(Self {
            name: names.join(","),
            sources,
            timeout: options.timeout,
        })
    }

    /// Registers in all, and waits for as long as is right for those that do not answer. None: no answer yet.
    async fn register_within(
        &self,
        patience: Duration,
        service: &ServiceRecord,
        options: RegisterOptions,
    ) -> Vec<Option<Result<()>>> {
        let mut answers: Vec<Option<Result<()>>> = self.sources.iter().map(|_| None).collect();
        let registered = self.sources.iter().enumerate().map(|(place, source)| async move {
            let registered = source.ask_patiently(source.registry().register(service, options));
            (place, registered.await)
        });
        let mut registered: FuturesUnordered<_> = registered.collect();
        let enough = sleep(patience);
        tokio::pin!(enough);
        let mut is_taken = false;
        loop {
            tokio::select! {
                biased;
                answer = registered.next() => match answer {
                    Some((place, answer)) => {
                        is_taken |= answer.is_ok() && self.sources[place].takes_part(&answer);
                        answers[place] = Some(answer);
                    }
                    None => return answers,
                },
                () = &mut enough, if is_taken => return answers,
            }
        }
    }

    /// Asks all and waits for each as long as for one answer.
    async fn ask_all<'a, T, F: Future<Output = T>>(&'a self, ask: impl Fn(&'a Source) -> F) -> Vec<T> {
        join_all(self.sources.iter().map(|source| ask(source))).await
    }
}

impl fmt::Debug for MultiRegistry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MultiRegistry")
            .field("name", &self.name)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Registry for MultiRegistry {
    /// The names of the registries, separated by commas.
    fn name(&self) -> &str {
        &self.name
    }

    /// Whether one of them does.
    fn takes_registrations(&self) -> bool {
        let mut sources = self.sources.iter();
        sources.any(|source| source.registry().takes_registrations())
    }

    async fn register(&self, service: &ServiceRecord, options: RegisterOptions) -> Result<()> {
        let patience = options.ttl.map_or(self.timeout, |ttl| self.timeout.min(ttl / 4));
        let answers = self.register_within(patience, service, options).await;
        let has_taken = |(source, answer): (&Arc<Source>, &Option<Result<()>>)| {
            answer
                .as_ref()
                .is_some_and(|answer| answer.is_ok() && source.takes_part(answer))
        };
        let is_taken = self.sources.iter().zip(&answers).any(has_taken);
        let mut shares = Shares::default();
        for (source, answer) in self.sources.iter().zip(answers) {
            let answer = answer.unwrap_or_else(|| Err(source.too_slow(patience)));
            match &answer {
                Err(error) if source.takes_part(&answer) => source.refused(&service.name, error, is_taken),
                Ok(()) if source.takes_part(&answer) => source.took(&service.name),
                _ => drop(source.forget_refusal(&service.name)),
            }
            shares.add(source, answer);
        }
        if is_taken {
            return Ok(());
        }
        shares.unless_failed()
    }

    async fn deregister(&self, service: &ServiceRecord) -> Result<()> {
        let answers = self
            .ask_all(|source| {
                source.forget_refusal(&service.name);
                source.ask_patiently(source.registry().deregister(service))
            })
            .await;
        let mut shares = Shares::default();
        for (source, answer) in self.sources.iter().zip(answers) {
            shares.add(source, answer);
        }
        shares.unless_failed()
    }

    async fn get_service(&self, name: &str) -> Result<Vec<ServiceRecord>> {
        let (records, failures): (Vec<_>, Vec<_>) = self
            .ask_all(|source| source.service(name))
            .await
            .into_iter()
            .unzip();
        let mut merged = merge(records);
        merged.retain(|record| !record.nodes.is_empty());
        let failures: Vec<_> = failures.into_iter().flatten().collect();
        match (merged.is_empty(), failures.is_empty()) {
            (false, _) => Ok(merged),
            (true, true) => Err(service_not_found(name)),
            (true, false) => Err(together(failures)),
        }
    }

    async fn list_services(&self) -> Result<Vec<ServiceRecord>> {
        let (records, failures): (Vec<_>, Vec<_>) = self.ask_all(Source::list).await.into_iter().unzip();
        let merged = merge(records);
        let (aside, failures): (Vec<_>, Vec<_>) = failures.into_iter().flatten().partition(is_aside);
        if aside.len() == self.sources.len() {
            return Err(together(aside));
        }
        if merged.is_empty() && !failures.is_empty() {
            return Err(together(failures));
        }
        Ok(merged)
    }

    async fn watch(&self, service: Option<&str>) -> Result<Watcher> {
        watch::watch(&self.sources, service).await
    }
}

/// What came of a registration or its end, without those that took it.
#[derive(Default)]
struct Shares {
    failures: Vec<Error>,
    /// Of those that only read.
    aside: Vec<Error>,
    has_part: bool,
}

impl Shares {
    fn add(&mut self, source: &Source, answer: Result<()>) {
        let takes_part = source.takes_part(&answer);
        self.has_part |= takes_part;
        match answer {
            Err(error) if takes_part => self.failures.push(error),
            Err(error) => self.aside.push(error),
            Ok(()) => {}
        }
    }

    /// Those that only read count where there are no others.
    fn unless_failed(self) -> Result<()> {
        let failures = if self.has_part { self.failures } else { self.aside };
        match failures.is_empty() {
            true => Ok(()),
            false => Err(together(failures)),
        }
    }
}

/// Whether a registry says that it cannot do this at all.
fn is_aside(error: &Error) -> bool {
    error.kind() == ErrorKind::MethodNotAllowed
}

/// The errors of several registries, each of which names its own, as one. They keep their code when it is the same.
fn together(mut failures: Vec<Error>) -> Error {
    if failures.len() == 1 {
        return failures.remove(0);
    }
    let mut codes = failures.iter().map(Error::code);
    let code = codes.next().filter(|first| codes.all(|code| code == *first));
    let details: Vec<_> = failures.iter().map(Error::detail).collect();
    Error::new("go.micro.registry", code.unwrap_or(503), details.join("; "))
}
