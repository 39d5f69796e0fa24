//! The nodes of others, as far as somebody here wants to know of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use micro_core::registry::{Action, Change, ServiceRecord};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::record::{Key, LIST};
use crate::sighting::Sighting;

/// How long a late answer of a node that said goodbye is taken for what it is.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long a service is remembered that nobody looks up again.
const REMEMBERED: Duration = Duration::from_secs(120);
/// Bounds of what is remembered: services, nodes, bytes (estimated).
const MAX_SERVICES: usize = 2_048;
const MAX_NODES: usize = 16_384;
const MAX_WEIGHT: usize = 128 << 20;
const MAX_FAREWELLS: usize = 4_096;

/// What was heard of the services that were looked up or are watched.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    services: HashMap<String, Service>,
    farewells: HashMap<Key, Farewell>,
    watching_all: usize,
    nodes: usize,
    weight: usize,
}

#[derive(Debug, Default)]
struct Service {
    nodes: BTreeMap<(String, String), Seen>,
    watchers: usize,
    lookups: usize,
    used: Option<Instant>,
    looked_around: Option<LookedAround>,
    news: Arc<Notify>,
}

/// That somebody who began to watch has just heard all nodes.
#[derive(Debug)]
struct LookedAround {
    since: Instant,
    /// When it is no longer just now.
    until: Instant,
}

#[derive(Debug)]
struct Seen {
    record: ServiceRecord,
    heard: Instant,
    lapses: Instant,
    ttl: Duration,
    /// Did not answer a lookup that waited for it; the next ones do not wait.
    silent: bool,
    weight: usize,
}

#[derive(Debug)]
struct Farewell {
    until: Instant,
    /// Said by this process: then what is still under way of its announcements is stale as well.
    own: bool,
}

/// How a lookup stands.
#[derive(Debug)]
pub(crate) struct Progress {
    /// When the last of the answers came.
    pub(crate) last: Option<Instant>,
    /// Whether a node that ought to answer has not.
    pub(crate) incomplete: bool,
}

impl Heard {
    pub(crate) fn wants(&self, service: &str) -> bool {
        self.watching_all > 0 || self.services.contains_key(service)
    }

    /// Takes note of a sighting. Returns what changed, if it is watched.
    pub(crate) fn hear(&mut self, sighting: Sighting, announced: bool, now: Instant) -> Option<Change> {
        if !self.wants(&sighting.key.0) {
            return None;
        }
        if sighting.ttl == 0 {
            return self.farewell(&sighting.key, false, now);
        }
        if let Some(farewell) = self.farewells.get(&sighting.key)
            && now < farewell.until
            && (farewell.own || !announced)
        {
            return None;
        }
        self.farewells.remove(&sighting.key);
        self.insert(sighting, now)
    }

    /// Takes a node out at its goodbye. Returns what changed, if it is watched.
    pub(crate) fn farewell(&mut self, key: &Key, own: bool, now: Instant) -> Option<Change> {
        if self.farewells.len() >= MAX_FAREWELLS {
            self.farewells.retain(|_, farewell| now < farewell.until);
        }
        if self.farewells.len() < MAX_FAREWELLS {
            let until = now + FAREWELL;
            self.farewells.insert(key.clone(), Farewell { until, own });
        }
        self.remove(key)
    }

    /// A node of this process is not heard of, it is known.
    pub(crate) fn is_own_now(&mut self, key: &Key) {
        self.farewells.remove(key);
        self.remove(key);
    }

    fn insert(&mut self, sighting: Sighting, now: Instant) -> Option<Change> {
        let (name, version, id) = sighting.key;
        let watched = self.is_watched(&name);
        let ttl = Duration::from_secs(sighting.ttl.into());
        let seen = Seen {
            record: sighting.record,
            heard: now,
            lapses: now + ttl,
            ttl,
            silent: false,
            weight: sighting.weight,
        };
        if !self.has_room(&name, &seen, now) {
            tracing::warn!(
                service = name,
                node = id,
                "mdns: too many nodes to remember; this one is not"
            );
            return None;
        }
        let service = self.services.entry(name).or_default();
        let record = seen.record.clone();
        self.weight += seen.weight;
        let known = service.nodes.insert((version, id), seen);
        service.news.notify_waiters();
        let action = match known {
            None => {
                self.nodes += 1;
                Action::Create
            }
            Some(known) => {
                self.weight -= known.weight;
                if known.record == record {
                    return None;
                }
                Action::Update
            }
        };
        watched.then_some(Change {
            action,
            service: record,
        })
    }

    fn has_room(&mut self, name: &str, seen: &Seen, now: Instant) -> bool {
        let full = |heard: &Self| {
            heard.nodes >= MAX_NODES
                || heard.weight + seen.weight > MAX_WEIGHT
                || (heard.services.len() >= MAX_SERVICES && !heard.services.contains_key(name))
        };
        if full(self) {
            self.forget_idle(now);
        }
        !full(self)
    }

    fn remove(&mut self, key: &Key) -> Option<Change> {
        let watched = self.is_watched(&key.0);
        let service = self.services.get_mut(&key.0)?;
        let seen = service.nodes.remove(&(key.1.clone(), key.2.clone()))?;
        service.news.notify_waiters();
        self.nodes -= 1;
        self.weight -= seen.weight;
        watched.then_some(Change {
            action: Action::Delete,
            service: seen.record,
        })
    }

    fn is_watched(&self, name: &str) -> bool {
        let watched = |service: &Service| service.watchers > 0;
        name != LIST && (self.watching_all > 0 || self.services.get(name).is_some_and(watched))
    }

    /// Begins to want to know of a service. What is told meanwhile wakes the one that is returned.
    pub(crate) fn begin_lookup(&mut self, name: &str, now: Instant) -> Arc<Notify> {
        if self.services.len() >= MAX_SERVICES {
            self.forget_idle(now);
        }
        let service = self.services.entry(name.to_owned()).or_default();
        service.lookups += 1;
        service.used = Some(now);
        service.news.clone()
    }

    /// Ends a lookup. With `waited`, nodes that have not been heard since are not waited for any more.
    pub(crate) fn end_lookup(&mut self, name: &str, waited: Option<Instant>) {
        let Some(service) = self.services.get_mut(name) else {
            return;
        };
        service.lookups -= 1;
        if let Some(since) = waited {
            for seen in service.nodes.values_mut() {
                seen.silent |= seen.heard < since;
            }
        }
        if service.lookups == 0 && service.watchers == 0 && service.nodes.is_empty() {
            self.services.remove(name);
        }
    }

    pub(crate) fn progress(&self, name: &str, since: Instant, now: Instant) -> Progress {
        let nodes = self
            .services
            .get(name)
            .into_iter()
            .flat_map(|service| service.nodes.values());
        let mut progress = Progress {
            last: None,
            incomplete: false,
        };
        for seen in nodes {
            if seen.heard >= since {
                progress.last = progress.last.max(Some(seen.heard));
            } else if now < seen.lapses && !seen.silent {
                progress.incomplete = true;
            }
        }
        progress
    }

    /// The records of a service that were heard since, one a node.
    pub(crate) fn since(&self, name: &str, since: Instant) -> impl Iterator<Item = &ServiceRecord> {
        let nodes = self
            .services
            .get(name)
            .into_iter()
            .flat_map(|service| service.nodes.values());
        nodes
            .filter(move |seen| seen.heard >= since)
            .map(|seen| &seen.record)
    }

    /// Notes that a watcher heard all nodes since a time, which is news until another.
    pub(crate) fn note_looked_around(&mut self, name: &str, since: Instant, until: Instant) {
        if let Some(service) = self.services.get_mut(name) {
            service.looked_around = Some(LookedAround { since, until });
        }
    }

    /// Since when a watcher has just heard all nodes. Only while the service is watched, so that nothing was missed.
    pub(crate) fn looked_around(&self, name: &str, now: Instant) -> Option<Instant> {
        let service = self.services.get(name).filter(|service| service.watchers > 0)?;
        let looked = service.looked_around.as_ref()?;
        (now < looked.until).then_some(looked.since)
    }

    /// The records that have not lapsed, of one service or of all, one a node.
    pub(crate) fn records(
        &self,
        service: Option<&str>,
        now: Instant,
    ) -> impl Iterator<Item = &ServiceRecord> {
        self.services
            .iter()
            .filter(move |(name, _)| service.map_or(*name != LIST, |service| *name == service))
            .flat_map(|(_, service)| service.nodes.values())
            .filter(move |seen| now < seen.lapses)
            .map(|seen| &seen.record)
    }

    /// Begins to watch a service or all. Returns whether it was watched before.
    pub(crate) fn begin_watch(&mut self, service: Option<&str>) -> bool {
        let before = self.watching_all > 0 || service.is_some_and(|service| self.is_watched(service));
        match service {
            Some(service) => self.services.entry(service.to_owned()).or_default().watchers += 1,
            None => self.watching_all += 1,
        }
        before
    }

    pub(crate) fn end_watch(&mut self, service: Option<&str>) {
        match service {
            Some(name) => {
                if let Some(service) = self.services.get_mut(name) {
                    service.watchers -= 1;
                }
            }
            None => self.watching_all -= 1,
        }
    }

    /// A first watcher is told of what changes from now on: forgets what has not been heard since, unless somebody
    /// else watches it. Returns the changes for those who began to watch meanwhile.
    pub(crate) fn forget_before(&mut self, service: Option<&str>, since: Instant) -> Vec<Change> {
        let forgotten = |(name, known): (&String, &Service)| {
            let concerned = service.map_or(known.watchers == 0, |service| service == name);
            let nodes = known
                .nodes
                .iter()
                .filter(|(_, seen)| concerned && seen.heard < since);
            let keys = nodes.map(|((version, id), _)| (name.clone(), version.clone(), id.clone()));
            keys.collect::<Vec<Key>>()
        };
        let gone: Vec<Key> = self.services.iter().flat_map(forgotten).collect();
        gone.iter().filter_map(|key| self.remove(key)).collect()
    }

    /// Takes out the nodes that were not heard of within their time to live. Returns the changes that are watched.
    pub(crate) fn lapse(&mut self, now: Instant) -> Vec<Change> {
        self.farewells.retain(|_, farewell| now < farewell.until);
        let lapsed = |(name, service): (&String, &Service)| {
            let nodes = service.nodes.iter().filter(|(_, seen)| seen.lapses <= now);
            let keys = nodes.map(|((version, id), _)| (name.clone(), version.clone(), id.clone()));
            keys.collect::<Vec<Key>>()
        };
        let gone: Vec<Key> = self.services.iter().flat_map(lapsed).collect();
        let changes = gone.iter().filter_map(|key| self.remove(key)).collect();
        let all = self.watching_all > 0;
        let (nodes, weight) = (&mut self.nodes, &mut self.weight);
        self.services.retain(|_, service| {
            let idle = service.watchers == 0 && service.lookups == 0;
            let recent = service.used.is_some_and(|used| now < used + REMEMBERED);
            let kept = !idle || (!service.nodes.is_empty() && (all || recent));
            if !kept {
                *nodes -= service.nodes.len();
                *weight -= service.nodes.values().map(|seen| seen.weight).sum::<usize>();
            }
            kept
        });
        changes
    }

    /// When the next node lapses.
    pub(crate) fn next_lapse(&self) -> Option<Instant> {
        let nodes = self.services.values().flat_map(|service| service.nodes.values());
        nodes.map(|seen| seen.lapses).min()
    }

    pub(crate) fn is_watched_at_all(&self) -> bool {
        self.watching_all > 0 || self.services.values().any(|service| service.watchers > 0)
    }

    /// The names to ask for so that what is watched stays known. Empty when nobody watches.
    pub(crate) fn watched(&self) -> Vec<String> {
        if self.watching_all == 0 {
            let watched = self.services.iter().filter(|(_, service)| service.watchers > 0);
            return watched.map(|(name, _)| name.clone()).collect();
        }
        let mut names: Vec<String> = self.services.keys().cloned().collect();
        names.extend(
            self.listed()
                .filter(|name| !self.services.contains_key(*name))
                .map(str::to_owned),
        );
        if !self.services.contains_key(LIST) {
            names.push(LIST.to_owned());
        }
        names
    }

    /// The shortest time to live of what is watched.
    pub(crate) fn shortest_ttl(&self) -> Option<Duration> {
        let watched = self.services.iter().filter(|(name, _)| self.is_watched(name));
        watched
            .flat_map(|(_, service)| service.nodes.values())
            .map(|seen| seen.ttl)
            .min()
    }

    /// Whether the list told of a service that a watcher of all has heard nothing of yet.
    pub(crate) fn is_unexplored(&self, service: &str) -> bool {
        self.watching_all > 0 && !self.services.contains_key(service)
    }

    fn listed(&self) -> impl Iterator<Item = &str> {
        let list = self.services.get(LIST).into_iter();
        list.flat_map(|list| list.nodes.keys().map(|(_, name)| name.as_str()))
    }

    /// Makes room: forgets the half of the unwatched services that was used longest ago.
    fn forget_idle(&mut self, now: Instant) {
        drop(self.lapse(now));
        let idle = |service: &Service| service.watchers == 0 && service.lookups == 0;
        let services = self.services.iter().filter(|(_, service)| idle(service));
        let mut names: Vec<(Option<Instant>, String)> = services
            .map(|(name, service)| (service.used, name.clone()))
            .collect();
        names.sort();
        if self.watching_all > 0 {
            // Then all are watched; only those without a node may go.
            names.retain(|(_, name)| {
                self.services
                    .get(name)
                    .is_some_and(|service| service.nodes.is_empty())
            });
        }
        names.truncate(names.len().div_ceil(2));
        for (_, name) in names {
            if let Some(service) = self.services.remove(&name) {
                self.nodes -= service.nodes.len();
                self.weight -= service.nodes.values().map(|seen| seen.weight).sum::<usize>();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn sighting(service: &str, id: &str, ttl: u32) -> Sighting {
        Sighting {
            key: (service.into(), String::new(), id.into()),
            record: ServiceRecord::new(service, ""),
            ttl,
            weight: 1 << 20,
        }
    }

    fn actions(changes: impl IntoIterator<Item = Change>) -> Vec<Action> {
        changes.into_iter().map(|change| change.action).collect()
    }

    #[test]
    fn only_what_somebody_wants_is_remembered() {
        let now = Instant::now();
        let mut heard = Heard::default();
        assert!(!heard.wants("a"));
        assert_eq!(heard.hear(sighting("a", "1", 120), true, now), None);
        heard.begin_lookup("a", now);
        assert_eq!(
            heard.hear(sighting("a", "1", 120), true, now),
            None,
            "nobody watches"
        );
        assert_eq!(heard.since("a", now).count(), 1);
        heard.end_lookup("a", None);
        assert!(heard.wants("a"), "for the next lookup");
        drop(heard.lapse(now + REMEMBERED));
        assert!(!heard.wants("a"));
        assert_eq!((heard.nodes, heard.weight), (0, 0));
    }

    #[test]
    fn a_late_answer_does_not_bring_back_what_said_goodbye() {
        let now = Instant::now();
        let mut heard = Heard::default();
        heard.begin_watch(Some("a"));
        let mut hear = |ttl, announced, at| actions(heard.hear(sighting("a", "1", ttl), announced, at));
        assert_eq!(hear(120, true, now), [Action::Create]);
        assert_eq!(hear(120, true, now), []);
        assert_eq!(hear(0, true, now), [Action::Delete]);
        assert_eq!(hear(120, false, now), [], "an answer that was under way");
        assert_eq!(hear(120, true, now), [Action::Create], "registered anew");
        assert_eq!(hear(0, true, now), [Action::Delete]);
        assert_eq!(hear(120, false, now + 2 * SECOND), [Action::Create]);
        heard.farewell(&sighting("a", "1", 0).key, true, now);
        assert_eq!(
            heard.hear(sighting("a", "1", 120), true, now),
            None,
            "our own is gone"
        );
    }

    #[test]
    fn a_watched_node_lapses_unless_it_is_heard_again() {
        let now = Instant::now();
        let mut heard = Heard::default();
        heard.begin_watch(None);
        for id in ["1", "2"] {
            assert_eq!(
                actions(heard.hear(sighting("a", id, 10), true, now)),
                [Action::Create]
            );
        }
        assert_eq!(heard.hear(sighting("a", "2", 10), false, now + 5 * SECOND), None);
        assert_eq!(heard.next_lapse(), Some(now + 10 * SECOND));
        assert_eq!(actions(heard.lapse(now + 10 * SECOND)), [Action::Delete]);
        assert_eq!(heard.records(None, now + 10 * SECOND).count(), 1);
        assert_eq!(actions(heard.lapse(now + 15 * SECOND)), [Action::Delete]);
    }

    #[test]
    fn a_silent_node_is_waited_for_once() {
        let now = Instant::now();
        let later = now + SECOND;
        let mut heard = Heard::default();
        heard.begin_lookup("a", now);
        heard.hear(sighting("a", "1", 120), false, now);
        assert!(!heard.progress("a", now, now).incomplete);
        heard.begin_lookup("a", later);
        assert!(heard.progress("a", later, later).incomplete);
        heard.end_lookup("a", Some(later));
        assert!(!heard.progress("a", later, later).incomplete);
        heard.hear(sighting("a", "1", 120), false, later);
        assert_eq!(heard.progress("a", later, later).last, Some(later));
    }

    #[test]
    fn a_first_watcher_of_all_does_not_make_others_forget() {
        let now = Instant::now();
        let mut heard = Heard::default();
        heard.begin_watch(Some("a"));
        heard.begin_lookup("b", now);
        heard.hear(sighting("a", "1", 120), true, now);
        heard.hear(sighting("b", "1", 120), true, now);
        heard.begin_watch(None);
        let later = now + SECOND;
        assert_eq!(actions(heard.forget_before(None, later)), [Action::Delete]);
        let left: Vec<_> = heard
            .records(None, later)
            .map(|record| record.name.as_str())
            .collect();
        assert_eq!(left, ["a"]);
    }

    #[test]
    fn memory_is_bounded_and_room_is_made_of_what_is_idle() {
        let now = Instant::now();
        let mut heard = Heard::default();
        heard.begin_watch(Some("watched"));
        for service in 0..3_000_u64 {
            let name = format!("service-{service}");
            let at = now + Duration::from_millis(service);
            heard.begin_lookup(&name, at);
            heard.hear(sighting(&name, "1", 120), false, at);
            heard.end_lookup(&name, None);
        }
        assert!(heard.weight <= MAX_WEIGHT && heard.services.len() <= MAX_SERVICES);
        assert!(heard.wants("service-2999") && heard.wants("watched") && !heard.wants("service-0"));
        for node in 0..1_000 {
            heard.hear(sighting("watched", &node.to_string(), 120), true, now);
        }
        assert!(heard.weight <= MAX_WEIGHT);
        let weight: usize = heard
            .services
            .values()
            .flat_map(|known| known.nodes.values())
            .map(|seen| seen.weight)
            .sum();
        assert_eq!(weight, heard.weight);
    }
}
