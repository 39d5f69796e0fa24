//! One watch over several registries.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, FuturesUnordered, SelectAll, StreamExt, TryStreamExt};
use tokio::time::{Instant, sleep_until};

use super::source::{Source, found};
use super::{is_aside, together};
use crate::registry::follow::Follower;
use crate::registry::{Action, Change, News, ServiceRecord, WatchSource, Watcher};
use crate::{Error, ErrorKind, Result};

/// How many services of a list are looked up at the same time.
const LOOKUPS: usize = 16;

/// Begins to watch all, and waits until each has begun or failed. Once one has begun, the others are waited for only as
/// long as for an answer; they go on beginning inside the watcher then.
pub(super) async fn watch(sources: &[Arc<Source>], service: Option<&str>) -> Result<Watcher> {
    let start = Instant::now();
    let patience: Vec<_> = sources.iter().map(|source| source.patience()).collect();
    let mut waiting: BTreeSet<usize> = (0..sources.len()).collect();
    let mut watch = Together::new(sources, service);
    let mut failures = Vec::new();
    let mut aside = Vec::new();
    loop {
        let longest = waiting
            .iter()
            .map(|place| patience[*place])
            .max()
            .unwrap_or_default();
        let has_begun = failures.len() + aside.len() + waiting.len() < sources.len();
        tokio::select! {
            biased;
            begun = watch.beginning.next() => match begun {
                Some(begun) => {
                    let place = begun.place;
                    waiting.remove(&place);
                    let failed = watch.take_beginning(begun);
                    if failed.as_ref().is_some_and(|error| error.kind() == ErrorKind::Timeout) {
                        sources[place].distrust(patience[place]);
                    }
                    match failed.as_ref().is_some_and(is_aside) {
                        true => aside.extend(failed),
                        false => failures.extend(failed),
                    }
                }
                None => break,
            },
            () = sleep_until(start + longest), if has_begun => {
                for place in waiting {
                    sources[place].distrust(patience[place]);
                }
                break;
            }
        }
    }
    if failures.len() + aside.len() == sources.len() {
        return Err(together(if failures.is_empty() { aside } else { failures }));
    }
    // What is there at the beginning counts as known.
    watch.pending.clear();
    Ok(Watcher::new(stream::unfold(watch, |mut watch| async {
        let next = watch.next().await;
        Some((next, watch))
    })))
}

/// Service, version, node.
type Key = (String, String, String);

/// The watches of all, and which node is where.
struct Together {
    beginning: FuturesUnordered<BoxFuture<'static, Begun>>,
    followed: SelectAll<BoxStream<'static, (usize, Result<Change>)>>,
    /// Of each node the records that the registries have, in their order. At least one has it.
    nodes: HashMap<Key, Vec<Option<ServiceRecord>>>,
    registries: usize,
    pending: VecDeque<Change>,
}

/// A watch of one registry that has begun, or has failed to.
struct Begun {
    place: usize,
    follower: Follower<Listener>,
    known: VecDeque<Change>,
    failure: Option<Error>,
}

impl Together {
    fn new(sources: &[Arc<Source>], service: Option<&str>) -> Self {
        let watched = service.map_or("all services", |service| service);
        let beginning = sources.iter().enumerate().map(|(place, source)| {
            let what = format!("the watch of {watched} at {}", source.name());
            let listener = Listener {
                source: source.clone(),
                service: service.map(str::to_owned),
                watcher: None,
                has_tried: false,
            };
            let (source, service) = (source.clone(), service.map(str::to_owned));
            let forget_after = source.forget_after();
            let remembered = move || (source.remembered(service.as_deref()), source.away_since());
            let begun = async move {
                let follower = Follower::new(what, listener);
                let mut follower = follower.forgetting_after(forget_after);
                let (known, failure) = match follower.begin_watch().await {
                    Ok(known) => (known, None),
                    // What look-ups give of it meanwhile; what of that is missing when it is back is told then.
                    Err(failure) => {
                        let (records, since) = remembered();
                        (follower.assume(records, since), Some(failure))
                    }
                };
                Begun {
                    place,
                    follower,
                    known,
                    failure,
                }
            };
            Box::pin(begun) as BoxFuture<'static, Begun>
        });
        Self {
            beginning: beginning.collect(),
            followed: SelectAll::new(),
            nodes: HashMap::new(),
            registries: sources.len(),
            pending: VecDeque::new(),
        }
    }

    async fn next(&mut self) -> Result<Change> {
        loop {
            if let Some(change) = self.pending.pop_front() {
                return Ok(change);
            }
            // A stream that has ended may be polled again: more may have been put into it.
            let (place, told) = tokio::select! {
                Some(begun) = self.beginning.next() => {
                    if let Some(failure) = self.take_beginning(begun) {
                        tracing::debug!("cannot watch yet: {failure}");
                    }
                    continue;
                }
                Some(told) = self.followed.next() => told,
                else => std::future::pending().await,
            };
            let told = told?;
            self.take(place, told);
        }
    }

    /// Follows a watch from now on, whether it has begun or not: the follower goes on trying. One that cannot be is left.
    fn take_beginning(&mut self, begun: Begun) -> Option<Error> {
        if begun.failure.as_ref().is_some_and(is_aside) {
            return begun.failure;
        }
        let place = begun.place;
        let followed = begun.follower.changes().map(move |told| (place, told));
        self.followed.push(followed.boxed());
        for change in begun.known {
            self.take(place, change);
        }
        begun.failure
    }

    /// Notes what happened to a node in one registry, and tells what that means for all.
    fn take(&mut self, place: usize, change: Change) {
        let Change { action, service } = change;
        let Some(node) = service.nodes.first() else {
            return;
        };
        let key = (service.name.clone(), service.version.clone(), node.id.clone());
        let record = (action != Action::Delete).then_some(service);
        let registries = self.registries;
        let holders = self
            .nodes
            .entry(key.clone())
            .or_insert_with(|| vec![None; registries]);
        let told = replace(holders, place, record);
        if holders.iter().all(Option::is_none) {
            self.nodes.remove(&key);
        }
        self.pending.extend(told);
    }
}

/// Puts a registry's record in its place. The first one in order is the node's: tells how that one changed.
fn replace(
    holders: &mut [Option<ServiceRecord>],
    place: usize,
    record: Option<ServiceRecord>,
) -> Option<Change> {
    let first = |holders: &[Option<ServiceRecord>]| holders.iter().flatten().next().cloned();
    let before = first(holders);
    holders[place] = record;
    let (action, service) = match (before, first(holders)) {
        (Some(before), Some(now)) if before == now => return None,
        (Some(_), Some(now)) => (Action::Update, now),
        (None, Some(now)) => (Action::Create, now),
        (Some(before), None) => (Action::Delete, before),
        (None, None) => return None,
    };
    Some(Change { action, service })
}

/// Watches one registry, and lists it after its watch has begun, so that nothing falls between the two.
struct Listener {
    source: Arc<Source>,
    service: Option<String>,
    watcher: Option<Watcher>,
    has_tried: bool,
}

impl Listener {
    async fn begin_at(&mut self) -> Result<(Watcher, Vec<ServiceRecord>)> {
        let watch = self.source.registry().watch(self.service.as_deref());
        let watcher = self.source.ask_for_watcher(watch).await?;
        let listing = listing(&self.source, self.service.as_deref()).await?;
        Ok((watcher, listing))
    }
}

#[async_trait]
impl WatchSource for Listener {
    async fn begin(&mut self) -> Result<Vec<ServiceRecord>> {
        self.watcher = None;
        let is_first = !std::mem::replace(&mut self.has_tried, true);
        match self.begin_at().await {
            Ok((watcher, listing)) => {
                self.source.is_there();
                self.watcher = Some(watcher);
                Ok(listing)
            }
            // One that was away and says only now that it cannot be watched so: it has nothing, and never will.
            Err(error) if !is_first && is_aside(&error) => {
                self.watcher = Some(Watcher::new(stream::pending()));
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    async fn next(&mut self) -> Result<News> {
        match &mut self.watcher {
            Some(watcher) => Ok(News::Changes(vec![watcher.next().await?])),
            None => Err(Error::unavailable("go.micro.registry", "not watched yet")),
        }
    }
}

/// All that is there of what is watched.
async fn listing(source: &Source, service: Option<&str>) -> Result<Vec<ServiceRecord>> {
    if let Some(service) = service {
        return lookup(source, service).await;
    }
    let listed = source.ask_for_watcher(source.registry().list_services()).await?;
    // The list may leave out nodes.
    let names: BTreeSet<String> = listed.into_iter().map(|record| record.name).collect();
    let lookups = stream::iter(names).map(|name| async move { lookup(source, &name).await });
    let records: Vec<Vec<ServiceRecord>> = lookups.buffer_unordered(LOOKUPS).try_collect().await?;
    Ok(records.into_iter().flatten().collect())
}

async fn lookup(source: &Source, service: &str) -> Result<Vec<ServiceRecord>> {
    found(
        source
            .ask_for_watcher(source.registry().get_service(service))
            .await,
    )
}
