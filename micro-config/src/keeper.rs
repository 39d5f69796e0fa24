//! The one that decides what counts.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::decrypt::{self, Answers};
use crate::feeder::Reading;
use crate::layer::layer;
use crate::rules::{Made, Rules, Sealed};
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
    /// Updates that wait for something to be decrypted, at most one of each source.
    pub(crate) asking: JoinSet<(Candidate, Answers)>,
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

/// What a source said that may be taken over.
pub(crate) struct Candidate {
    source: usize,
    documents: Vec<Document>,
    tree: Tree,
    taken: oneshot::Sender<bool>,
}

impl Keeper {
    /// Keeps until all sources are gone.
    pub(crate) async fn run(mut self) {
        loop {
            tokio::select! {
                reading = self.readings.recv() => match reading {
                    Some(reading) => self.take(reading),
                    None => return,
                },
                Some(answered) = self.asking.join_next() => {
                    // An Err: the runtime ends.
                    if let Ok((candidate, answers)) = answered {
                        let sealed = self.rules.learn(answers);
                        self.weigh(candidate, &sealed);
                    }
                }
            }
        }
    }

    /// Takes over what a source read, or refuses it, or lets it wait for what must be decrypted.
    fn take(&mut self, reading: Reading) {
        let Reading { source, read, taken } = reading;
        let is_taken = match read {
            Err(error) => {
                self.failed(source, error);
                false
            }
            Ok(documents) if self.layers[source].documents.as_ref() == Some(&documents) => {
                self.ready(source);
                true
            }
            Ok(documents) => match layer(&self.layers[source].name, documents.clone()) {
                Err(error) => {
                    self.refused(source, error);
                    false
                }
                Ok(tree) => {
                    let candidate = Candidate {
                        source,
                        documents,
                        tree,
                        taken,
                    };
                    return self.weigh(candidate, &Sealed::new());
                }
            },
        };
        // The source may be gone.
        let _ = taken.send(is_taken);
    }

    fn weigh(&mut self, candidate: Candidate, sealed: &Sealed) {
        let source = candidate.source;
        let merged = self.merged(Some((source, &candidate.tree)));
        let is_taken = match self.rules.view(merged, sealed) {
            Ok(Made::View { view, used }) => {
                self.rules.accepted(used);
                self.layers[source].tree = candidate.tree;
                self.layers[source].documents = Some(candidate.documents);
                self.update(source, view);
                self.ready(source);
                true
            }
            Ok(Made::Needs(texts)) => {
                let decrypt = self.rules.decrypt.clone();
                let asking = async move { (candidate, decrypt::all(decrypt, texts).await) };
                self.asking.spawn(asking);
                return;
            }
            Err(error) => {
                self.refused(source, error);
                false
            }
        };
        let _ = candidate.taken.send(is_taken);
    }

    fn update(&self, source: usize, view: View) {
        let change = self.change(source, &view);
        self.shared.replace(view);
        if let Some(change) = change {
            self.remember(change);
            self.changes.send_replace(());
        }
    }

    /// Makes the first view of what all say together.
    pub(crate) async fn begin(&mut self) -> Result<()> {
        let mut sealed = Sealed::new();
        loop {
            match self.rules.view(self.merged(None), &sealed)? {
                Made::View { view, used } => {
                    self.rules.accepted(used);
                    self.shared.replace(view);
                    return Ok(());
                }
                Made::Needs(texts) => {
                    let answers = decrypt::all(self.rules.decrypt.clone(), texts).await;
                    sealed = self.rules.learn(answers);
                }
            }
        }
    }

    /// What all say together, with another layer of one of them.
    fn merged(&self, other: Option<(usize, &Tree)>) -> Tree {
        let mut merged = Tree::empty();
        for (index, layer) in self.layers.iter().enumerate() {
            match other {
                Some((other, tree)) if other == index => merged.merge(tree.clone()),
                _ => merged.merge(layer.tree.clone()),
            }
        }
        merged
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

    /// What the source says is refused.
    pub(crate) fn refused(&self, source: usize, error: Error) {
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
        let before = status.state.clone();
        status.state = state(SystemTime::now(), error);
        status.state.goes_on_from(&before);
        is_new
    }
}

/// Nothing of this is to panic; if it does, sources that nobody listens to any more are not shown as well.
impl Drop for Keeper {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for status in &mut self.shared.report().sources {
            let message = format!(
                "{}: what takes it over panicked, and it is not followed any more",
                status.name
            );
            status.state = SourceState::Failing {
                since: SystemTime::now(),
                error: Error::new(ErrorKind::Misused, message),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::SourceStatus;

    #[test]
    fn a_keeper_that_panics_says_that_no_source_is_followed() {
        let (changes, told) = watch::channel(());
        let status = SourceStatus {
            name: "one".into(),
            optional: false,
            state: SourceState::Ready,
            read_at: None,
            documents: Vec::new(),
        };
        let shared = Arc::new(Shared::new(View::new(Tree::empty()), vec![status], told));
        let keeper = Keeper {
            shared: Arc::clone(&shared),
            layers: Vec::new(),
            rules: Rules {
                variable: Box::new(|_| None),
                decrypt: None,
                validate: Vec::new(),
                clear: HashMap::new(),
                used: HashSet::new(),
            },
            asking: JoinSet::new(),
            readings: mpsc::channel(1).1,
            changes,
            history: 0,
        };
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _keeper = keeper;
            panic!("as told");
        }));
        assert!(panicked.is_err());
        let state = shared.report().sources.remove(0).state;
        assert!(matches!(state, SourceState::Failing { .. }), "{state:?}");
    }
}
