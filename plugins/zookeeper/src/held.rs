//! What is registered here, and until when it lives without being registered again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

/// When a lapse that did not work is tried again.
const AGAIN: Duration = Duration::from_millis(500);
/// Later than anybody waits, and still a time.
const LATEST: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// The nodes that were registered with a time to live, by path.
///
/// A node lapses only while nobody registers it: a registration that meets a lapse under way writes in any case, so
/// that of the two the one that comes later at the server is seen by the other.
#[derive(Debug, Default)]
pub(crate) struct Held {
    entries: Mutex<HashMap<String, Entry>>,
    /// Tells that the next lapse may be earlier than it was.
    pub(crate) earlier: Notify,
}

#[derive(Debug)]
struct Entry {
    until: Instant,
    /// What to write when a new session begins. None: it was not registered wholly, or was deregistered.
    value: Option<Bytes>,
    /// How many registrations are under way.
    registering: usize,
    lapsing: bool,
}

/// A registration under way. Where it is given up, what it may have written lapses all the same.
pub(crate) struct Registration<'a> {
    held: &'a Held,
    path: &'a str,
    ttl: Option<Duration>,
    must_write: bool,
    settled: Option<Bytes>,
}

impl Held {
    /// Begins a registration.
    pub(crate) fn begin<'a>(&'a self, path: &'a str, ttl: Option<Duration>) -> Registration<'a> {
        let mut entries = self.lock();
        let now = Instant::now();
        let entry = entries.entry(path.to_owned()).or_insert(Entry {
            until: now,
            value: None,
            registering: 0,
            lapsing: false,
        });
        entry.registering += 1;
        Registration {
            held: self,
            path,
            ttl,
            must_write: entry.lapsing,
            settled: None,
        }
    }

    /// Notes that a node is not wanted any more. That it is gone is seen when it would lapse.
    pub(crate) fn withdraw(&self, path: &str) {
        if let Some(entry) = self.lock().get_mut(path) {
            entry.value = None;
        }
    }

    /// When something lapses next.
    pub(crate) fn next(&self) -> Option<Instant> {
        let entries = self.lock();
        let waiting = entries.values().filter(|entry| entry.may_lapse());
        waiting.map(|entry| entry.until).min()
    }

    /// Takes what is to lapse now.
    pub(crate) fn due(&self) -> Vec<String> {
        let now = Instant::now();
        let mut due = Vec::new();
        for (path, entry) in self.lock().iter_mut() {
            if entry.may_lapse() && entry.until <= now {
                entry.lapsing = true;
                entry.value = None;
                due.push(path.clone());
            }
        }
        due
    }

    /// Whether it is still right to let a node lapse.
    pub(crate) fn is_due(&self, path: &str) -> bool {
        let entries = self.lock();
        let entry = entries.get(path);
        entry.is_some_and(|entry| entry.registering == 0 && entry.until <= Instant::now())
    }

    /// A node has lapsed, or did not have to; or it could not be made to, and that is tried again.
    pub(crate) fn lapsed(&self, path: &str, done: bool) {
        let mut entries = self.lock();
        let now = Instant::now();
        let Some(entry) = entries.get_mut(path) else {
            return;
        };
        entry.lapsing = false;
        if entry.registering == 0 && entry.until <= now {
            if done {
                entries.remove(path);
            } else {
                entry.until = now + AGAIN;
            }
        }
    }

    /// What belongs into a new session: what lives on and has its value.
    pub(crate) fn living(&self) -> Vec<(String, Bytes)> {
        let now = Instant::now();
        let entries = self.lock();
        let living = entries.iter().filter(|(_, entry)| entry.until > now);
        living
            .filter_map(|(path, entry)| Some((path.clone(), entry.value.clone()?)))
            .collect()
    }

    /// A node was written into a new session. If it is not wanted any more, it lapses at once.
    pub(crate) fn restored(&self, path: &str) {
        if let Some(entry) = self.lock().get_mut(path)
            && entry.value.is_none()
            && entry.registering == 0
        {
            entry.until = Instant::now();
        }
        self.earlier.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn may_lapse(&self) -> bool {
        self.registering == 0 && !self.lapsing
    }
}

impl Registration<'_> {
    /// Whether to write even what seems to be there.
    pub(crate) fn must_write(&self) -> bool {
        self.must_write
    }

    /// It is done.
    pub(crate) fn settle(mut self, value: Bytes) {
        self.settled = Some(value);
    }
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        let mut entries = self.held.lock();
        let Some(entry) = entries.get_mut(self.path) else {
            return;
        };
        entry.registering -= 1;
        match (self.ttl, self.settled.take()) {
            (None, Some(_)) if entry.registering == 0 && !entry.lapsing => {
                entries.remove(self.path);
                return;
            }
            (None, Some(_)) => entry.value = None,
            (None, None) => {}
            (Some(ttl), settled) => {
                let now = Instant::now();
                let until = now.checked_add(ttl.min(LATEST)).unwrap_or(now);
                match settled {
                    Some(value) => {
                        entry.until = until;
                        entry.value = Some(value);
                    }
                    // What was there before may be there still.
                    None => entry.until = entry.until.max(until),
                }
            }
        }
        drop(entries);
        self.held.earlier.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(10);

    fn register(held: &Held) {
        held.begin("/a", Some(TTL)).settle("v".into());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_registered_again_is_due_after_its_time_to_live() {
        let held = Held::default();
        register(&held);
        assert_eq!(held.next(), Some(Instant::now() + TTL));
        tokio::time::advance(TTL / 2).await;
        register(&held);
        assert!(held.due().is_empty());
        tokio::time::advance(TTL).await;
        assert!(held.living().is_empty());
        assert_eq!(held.due(), ["/a"]);
        assert!(held.due().is_empty(), "it lapses once");
        assert!(held.is_due("/a"));
        held.lapsed("/a", false);
        assert_eq!(held.next(), Some(Instant::now() + AGAIN));
        tokio::time::advance(AGAIN).await;
        assert_eq!(held.due(), ["/a"]);
        held.lapsed("/a", true);
        assert_eq!(held.next(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_registration_under_way_holds_up_the_lapse() {
        let held = Held::default();
        register(&held);
        tokio::time::advance(TTL).await;
        let early = held.begin("/a", Some(TTL));
        assert!(!early.must_write());
        assert!(held.due().is_empty());
        drop(early);
        assert_eq!(held.next(), Some(Instant::now() + TTL), "it may have written");
        assert_eq!(
            held.living().len(),
            1,
            "and what was there before is better than nothing"
        );
        tokio::time::advance(TTL).await;
        assert_eq!(held.due(), ["/a"]);
        let late = held.begin("/a", Some(TTL));
        assert!(late.must_write());
        assert!(!held.is_due("/a"));
        late.settle("v".into());
        held.lapsed("/a", true);
        assert_eq!(held.living(), [("/a".to_owned(), "v".into())]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_stays_for_ever_or_was_deregistered_is_not_restored() {
        let held = Held::default();
        register(&held);
        held.withdraw("/a");
        assert!(held.living().is_empty());
        held.restored("/a");
        assert_eq!(held.due(), ["/a"], "it was restored too late");
        held.lapsed("/a", true);
        held.begin("/a", None).settle("v".into());
        assert_eq!(held.next(), None);
        held.begin("/a", Some(Duration::MAX)).settle("v".into());
        assert!(held.next().is_some());
    }
}
