//! Watching: requests that Consul answers when something is new.

use std::time::Duration;

use async_trait::async_trait;
use micro_consul_connection::{Answer, Poll};
use micro_core::Result;
use micro_core::registry::{News, ServiceRecord, WatchSource, Watcher};
use tokio::time::{Instant, sleep_until};

use crate::catalog::{Catalog, Checks, Critical, critical_of};
use crate::message::{CheckState, Names};

/// What takes a time to look up is left alone for this many times as long, and for no longer than this.
const REST: u32 = 3;
const LONGEST_REST: Duration = Duration::from_secs(5);
/// Watches one service.
pub(crate) async fn watch_one(catalog: Catalog, name: &str) -> Result<Watcher> {
    let what = format!("the watch of {name} at consul");
    let source = One {
        poll: Poll::new(&catalog.client, catalog.service(name)),
        name: name.to_owned(),
        catalog,
        told: Instant::now(),
    };
    Watcher::follow(what, source).await
}

/// Watches all services.
pub(crate) async fn watch_all(catalog: Catalog) -> Result<Watcher> {
    let source = All {
        services: Poll::new(&catalog.client, catalog.services()),
        checks: Poll::new(&catalog.client, catalog.critical()),
        names: Vec::new(),
        looked_up: Checks::new(),
        critical: Critical::new(),
        rested: Instant::now(),
        catalog,
        told: Instant::now(),
    };
    Watcher::follow("the watch of all services at consul", source).await
}

struct One {
    catalog: Catalog,
    name: String,
    poll: Poll,
    /// When news was told last.
    told: Instant,
}

#[async_trait]
impl WatchSource for One {
    async fn begin(&mut self) -> Result<Vec<ServiceRecord>> {
        let answer = self.poll.begin().await?;
        let records = self.catalog.records(&self.name, &answer)?;
        self.told = Instant::now();
        Ok(records)
    }

    async fn next(&mut self) -> Result<News> {
        if self.told.elapsed() > Poll::UNREAD && !self.poll.is_waiting() {
            return Ok(News::Listing(self.begin().await?));
        }
        let answer = self.poll.next().await?;
        let records = self.catalog.records(&self.name, &answer)?;
        self.told = Instant::now();
        Ok(News::Listing(records))
    }
}

/// Consul has no request that lists all nodes. Two tell that something changed, whatever the number of services: the
/// names end their wait with any registration, the critical checks with any check. Then each service is looked up.
struct All {
    catalog: Catalog,
    services: Poll,
    checks: Poll,
    names: Vec<String>,
    /// The checks of the services as they were looked up.
    looked_up: Checks,
    /// What `checks` answered last. There are more than those of services: of agents that have none, or of what is not
    /// looked up.
    critical: Critical,
    /// When all may be looked up again.
    rested: Instant,
    /// When news was told last.
    told: Instant,
}

#[async_trait]
impl WatchSource for All {
    async fn begin(&mut self) -> Result<Vec<ServiceRecord>> {
        let answer = self.services.begin().await?;
        self.take_names(&answer)?;
        let answer = self.checks.begin().await?;
        self.take_critical(&answer)?;
        self.look_up().await
    }

    async fn next(&mut self) -> Result<News> {
        if self.told.elapsed() > Poll::UNREAD && !self.services.is_waiting() {
            return Ok(News::Listing(self.begin().await?));
        }
        loop {
            let is_news = tokio::select! {
                answer = self.services.next() => {
                    self.take_names(&answer?)?;
                    true
                }
                answer = self.checks.next() => {
                    let before = self.take_critical(&answer?)?;
                    is_news(&self.looked_up, &before, &self.critical)
                }
            };
            if is_news {
                sleep_until(self.rested).await;
                return Ok(News::Listing(self.look_up().await?));
            }
        }
    }
}

impl All {
    fn take_names(&mut self, answer: &Answer) -> Result<()> {
        let names: Names = answer.json(&self.catalog.client)?;
        self.names = names.0.into_keys().collect();
        Ok(())
    }

    /// Returns what was critical before.
    fn take_critical(&mut self, answer: &Answer) -> Result<Critical> {
        let checks: Vec<CheckState> = answer.json(&self.catalog.client)?;
        let critical = critical_of(checks.iter());
        Ok(std::mem::replace(&mut self.critical, critical))
    }

    async fn look_up(&mut self) -> Result<Vec<ServiceRecord>> {
        let began = Instant::now();
        let (found, checks) = self.catalog.look_up_all(self.names.iter().cloned()).await?;
        self.looked_up = checks;
        self.rested = Instant::now() + (began.elapsed() * REST).clamp(Poll::PAUSE, LONGEST_REST);
        self.told = Instant::now();
        Ok(found.into_values().flatten().collect())
    }
}

/// Whether other nodes may be alive than when they were looked up: a check of theirs is another now, or one that nobody
/// knew is critical.
fn is_news(looked_up: &Checks, before: &Critical, now: &Critical) -> bool {
    let is_other = looked_up
        .iter()
        .any(|(check, was_critical)| *was_critical != now.contains(check));
    is_other || now.difference(before).any(|check| !looked_up.contains_key(check))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_checks_of_what_is_looked_up_and_unknown_ones_are_news() {
        let check = |id: &str| ("agent".to_owned(), id.to_owned());
        let critical = |ids: &[&str]| -> Critical { ids.iter().map(|id| check(id)).collect() };
        let looked_up = Checks::from([(check("alive"), false), (check("dead"), true)]);
        let rows = [
            (&["dead", "foreign"][..], &["dead", "foreign"][..], false),
            (&["dead", "foreign"], &["dead"], false),
            (&["dead"], &["dead", "foreign"], true),
            (&["dead", "foreign"], &["dead", "alive", "foreign"], true),
            // It was so for a moment only, just when it was looked up.
            (&["foreign"], &["foreign"], true),
            (&["dead", "alive"], &["dead", "alive"], true),
        ];
        for (before, now, expected) in rows {
            let told = is_news(&looked_up, &critical(before), &critical(now));
            assert_eq!(told, expected, "{before:?} {now:?}");
        }
    }
}
