//! Watching: what comes, changes and goes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Subscriber;
use async_trait::async_trait;
use futures_util::StreamExt;
use micro_core::registry::{Action, Change, News, ServiceRecord, WatchSource};
use micro_core::{Error, Result};
use tokio::time::{Instant, sleep_until, timeout};

use crate::message::{Question, read_change};
use crate::own::{Key, key};
use crate::query::ask;
use crate::registry::Shared;

/// How often a node may fail to answer before it is gone.
const SILENCES: u8 = 2;

pub(crate) struct Watching {
    shared: Arc<Shared>,
    service: Option<String>,
    /// The nodes, each in a record of its own, and how often they did not answer.
    known: BTreeMap<Key, (ServiceRecord, u8)>,
    begun: Option<Begun>,
}

struct Begun {
    changes: Subscriber,
    losses: u64,
    ask_again: Instant,
}

impl Watching {
    pub(crate) fn new(shared: Arc<Shared>, service: Option<&str>) -> Self {
        Self {
            shared,
            service: service.map(str::to_owned),
            known: BTreeMap::new(),
            begun: None,
        }
    }

    fn question(&self) -> Question {
        match &self.service {
            Some(service) => Question::Get(service.clone()),
            None => Question::List,
        }
    }

    async fn subscribe(&mut self, losses: u64) -> Result<()> {
        let connection = &self.shared.connection;
        connection.check_subscribe(&self.shared.config.watch_subject)?;
        let subject = self.shared.config.watch_subject.clone();
        let subscribed = connection.client().subscribe(subject).await;
        let changes = subscribed.map_err(|_| connection.gone())?;
        connection.settled().await?;
        self.begun = Some(Begun {
            changes,
            losses,
            ask_again: self.next_poll(),
        });
        Ok(())
    }

    /// Not all watchers ask at the same time.
    fn next_poll(&self) -> Instant {
        let interval: Duration = self.shared.config.poll_interval;
        Instant::now() + interval.mul_f64(0.75 + fastrand::f64() / 2.0)
    }

    /// Takes note of who answered. Who did not is still there for a while.
    fn heard(&mut self, found: Vec<ServiceRecord>) {
        for (_, silences) in self.known.values_mut() {
            *silences += 1;
        }
        for record in found {
            self.set(record);
        }
        self.known.retain(|_, (_, silences)| *silences < SILENCES);
    }

    fn set(&mut self, mut record: ServiceRecord) {
        for node in std::mem::take(&mut record.nodes) {
            let single = record.with_nodes(vec![node]);
            let key = key(&single, &single.nodes[0]);
            self.known.insert(key, (single, 0));
        }
    }

    fn listing(&self) -> Vec<ServiceRecord> {
        self.known.values().map(|(record, _)| record.clone()).collect()
    }

    fn note(&mut self, change: &Change) {
        match change.action {
            Action::Delete => {
                for node in &change.service.nodes {
                    self.known.remove(&key(&change.service, node));
                }
            }
            Action::Create | Action::Update => self.set(change.service.clone()),
        }
    }

    /// What was said, where it concerns this watch.
    fn read(&self, said: &[u8]) -> Option<Change> {
        let change = read_change(said)?;
        let wanted = self.service.as_ref();
        wanted
            .is_none_or(|wanted| *wanted == change.service.name)
            .then_some(change)
    }

    fn interrupted(&self) -> Error {
        self.shared.connection.gone()
    }
}

#[async_trait]
impl WatchSource for Watching {
    async fn begin(&mut self) -> Result<Vec<ServiceRecord>> {
        self.begun = None;
        let patience = self.shared.config.request_timeout;
        let connection = self.shared.connection.clone();
        let subscribing = async {
            loop {
                connection.up().await;
                let losses = connection.losses();
                let subscribing = self.subscribe(losses);
                if let Some(subscribed) = connection.unless_lost(losses, subscribing).await {
                    return subscribed;
                }
            }
        };
        match timeout(patience, subscribing).await {
            Ok(subscribed) => subscribed?,
            Err(_) => return Err(self.interrupted()),
        }
        let found = ask(&self.shared, &self.question()).await?;
        // Who was there before an interruption has the time of a poll to answer.
        self.heard(found);
        Ok(self.listing())
    }

    async fn next(&mut self) -> Result<News> {
        loop {
            let connection = &self.shared.connection;
            let Some(begun) = &mut self.begun else {
                return Err(connection.gone());
            };
            let said = tokio::select! {
                biased;
                said = begun.changes.next() => Some(said),
                () = connection.lost(begun.losses) => return Err(connection.gone()),
                () = sleep_until(begun.ask_again) => None,
            };
            match said {
                Some(None) => return Err(connection.gone()),
                Some(Some(said)) => {
                    if let Some(change) = self.read(&said.payload) {
                        self.note(&change);
                        return Ok(News::Changes(vec![change]));
                    }
                }
                None => {
                    // What is said meanwhile waits, so that it counts more than what was answered before it.
                    let found = ask(&self.shared, &self.question()).await?;
                    self.heard(found);
                    let next = self.next_poll();
                    if let Some(begun) = &mut self.begun {
                        begun.ask_again = next;
                    }
                    return Ok(News::Listing(self.listing()));
                }
            }
        }
    }
}
