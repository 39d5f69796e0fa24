//! The one that decides what counts.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::{mpsc, watch};

use crate::feeder::Reading;
use crate::layer::layer;
use crate::rules::Rules;
use crate::shared::Shared;
use crate::tree::Tree;
use crate::{Change, Document, Error, ErrorKind, Refused, Result, SourceState, View};

/// How many paths of a change are logged.
const SHOWN: usize = 10;

/// The one that decides what counts: it takes what sources read, and puts a new view in the place of the old one, or
/// refuses.
pub(crate) struct Keeper {
    pub(crate) shared: Arc<Shared>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) rules: Rules,
    pub(crate) readings: mpsc::Receiver<Reading>,
    pub(crate) changes: watch::Sender<()>,
    /// How many changes are remembered.
    pub(crate) history: usize,
}

/// What one source said last that was taken over.
pub(crate) struct Layer {
    pub(crate) name: String,
    pub(crate) documents: Option<Vec<Document>>,
    pub(crate) tree: Tree,
}

impl Keeper {
    /// Keeps until all sources are gone.
    pub(crate) async fn run(mut self) {
        while let Some(reading) = self.readings.recv().await {
            let taken = self.take(reading.source, reading.read).await;
            // The source may be gone.
            let _ = reading.taken.send(taken);
        }
    }

    /// Takes over what a source read. Whether it could.
    async fn take(&mut self, source: usize, read: Result<Vec<Document>>) -> bool {
        let documents = match read {
            Ok(documents) => documents,
            Err(error) => {
                self.failed(source, error);
                return false;
            }
        };
        if self.layers[source].documents.as_ref() == Some(&documents) {
            self.ready(source);
            return true;
        }
        match self.update(source, documents).await {
            Ok(()) => {
                self.ready(source);
                true
            }
            Err(error) => {
                self.refused(source, error);
                false
            }
        }
    }

    async fn update(&mut self, source: usize, documents: Vec<Document>) -> Result<()> {
        let tree = layer(&self.layers[source].name, documents.clone())?;
        let view = self.view(Some((source, &tree))).await?;
        self.layers[source].tree = tree;
        self.layers[source].documents = Some(documents);
        let change = self.change(source, &view);
        self.shared.replace(view);
        if let Some(change) = change {
            self.remember(change);
            self.changes.send_replace(());
        }
        Ok(())
    }

    /// What all say together, with another layer of one of them.
    pub(crate) async fn view(&mut self, other: Option<(usize, &Tree)>) -> Result<View> {
        let mut merged = Tree::empty();
        for (index, layer) in self.layers.iter().enumerate() {
            match other {
                Some((other, tree)) if other == index => merged.merge(tree.clone()),
                _ => merged.merge(layer.tree.clone()),
            }
        }
        self.rules.view(merged).await
    }

    fn change(&self, source: usize, now: &View) -> Option<Change> {
        let before = self.shared.view.load();
        let mut paths = Vec::new();
        let mut more = 0;
        let mut difference = |path: &str| match paths.len() < Change::MOST_PATHS {
            true => paths.push(path.to_owned()),
            false => more += 1,
        };
        before
            .tree()
            .each_difference(now.tree(), &mut String::new(), &mut difference);
        paths.sort_unstable();
        (!paths.is_empty()).then(|| Change {
            at: SystemTime::now(),
            source: self.layers[source].name.clone(),
            paths,
            more,
        })
    }

    fn remember(&self, change: Change) {
        let some = &change.paths[..change.paths.len().min(SHOWN)];
        let more = change.paths.len() + change.more - some.len();
        tracing::info!(
            source = change.source,
            paths = some.join(", "),
            more,
            "the configuration changed"
        );
        let mut report = self.shared.report();
        report.history.push_back(change);
        while report.history.len() > self.history {
            report.history.pop_front();
        }
    }

    /// The source says what counts.
    pub(crate) fn ready(&self, source: usize) {
        let mut report = self.shared.report();
        let status = &mut report.sources[source];
        if status.state.error().is_some() {
            tracing::info!(source = status.name, "the source of configuration is well again");
        }
        let documents = self.layers[source].documents.iter().flatten();
        status.documents = documents.map(|document| document.origin.clone()).collect();
        status.read_at = Some(SystemTime::now());
        status.state = SourceState::Ready;
    }

    /// The source cannot be read.
    pub(crate) fn failed(&self, source: usize, error: Error) {
        let missing = error.kind() == ErrorKind::Missing;
        self.wrong(source, error, |since, error| match missing {
            true => SourceState::Missing { since, error },
            false => SourceState::Failing { since, error },
        });
    }

    fn refused(&self, source: usize, error: Error) {
        let is_new = self.wrong(source, error.clone(), |since, error| SourceState::Refused {
            since,
            error,
        });
        if is_new {
            let source = self.layers[source].name.clone();
            let at = SystemTime::now();
            self.shared.report().refused = Some(Refused { at, source, error });
        }
    }

    /// Says it once, as long as it stays the same. Whether it is new.
    fn wrong(
        &self,
        source: usize,
        error: Error,
        state: impl FnOnce(SystemTime, Error) -> SourceState,
    ) -> bool {
        let mut report = self.shared.report();
        let status = &mut report.sources[source];
        let before = status.state.error().map(ToString::to_string);
        let is_new = before.as_deref() != Some(error.to_string().as_str());
        if is_new && status.optional && error.kind() == ErrorKind::Missing {
            tracing::debug!(source = status.name, %error, "an optional source of configuration is missing");
        } else if is_new {
            tracing::warn!(
                source = status.name,
                %error,
                "a source of configuration is not taken over; what it said last counts"
            );
        }
        let since = status.state.since().unwrap_or_else(SystemTime::now);
        status.state = state(since, error);
        is_new
    }
}
