//! Puts sources together.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::config::Config;
use crate::decrypt::Decrypt;
use crate::feeder::{Feeder, Reading};
use crate::keeper::{Keeper, Layer};
use crate::layer::layer;
use crate::rules::Rules;
use crate::shared::Shared;
use crate::tree::Tree;
use crate::{Error, ErrorKind, Result, Source, SourceState, SourceStatus, View};

/// The longest that can be waited for.
const LONGEST_PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// Puts sources together. [`Config::builder`] makes one.
#[must_use = "nothing is read before build"]
pub struct Builder {
    sources: Vec<(Box<dyn Source>, bool)>,
    debounce: Duration,
    patience: Duration,
    history: usize,
    rules: Rules,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            sources: Vec::new(),
            debounce: Duration::from_millis(100),
            patience: Duration::from_secs(10),
            history: 32,
            rules: Rules {
                variable: Box::new(|name| std::env::var(name).ok()),
                decrypt: None,
                validate: Vec::new(),
                clear: HashMap::new(),
                used: HashSet::new(),
            },
        }
    }

    /// Adds a source, which wins over those before it. [`build`](Self::build) fails where it cannot be read.
    pub fn source(mut self, source: impl Source) -> Self {
        self.sources.push((Box::new(source), false));
        self
    }

    /// Adds a source that may be missing or away. It counts as soon as it is there.
    pub fn optional(mut self, source: impl Source) -> Self {
        self.sources.push((Box::new(source), true));
        self
    }

    /// How long to wait after a change before reading, so that a burst of changes is read once. Default: 100 ms.
    pub fn debounce(mut self, debounce: Duration) -> Self {
        self.debounce = debounce;
        self
    }

    /// How long [`build`](Self::build) tries to reach sources that are not optional and cannot be reached, and how long
    /// it waits for any answer of those that are. Default: 10 s.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience.min(LONGEST_PATIENCE);
        self
    }

    /// Refuses what this does not agree to, and keeps what was before. Of several, all must agree. The error is a
    /// sentence about what is wrong, which is logged: it should not hold secrets. It must not block.
    pub fn validate(
        mut self,
        validate: impl Fn(&View) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.rules.validate.push(Box::new(validate));
        self
    }

    /// Decrypts the values that begin with `encrypted:`. Without it, such a value is an error.
    pub fn decrypt(mut self, decrypt: impl Decrypt) -> Self {
        self.rules.decrypt = Some(Arc::new(decrypt));
        self
    }

    /// How many changes [`Config::history`] remembers. Default: 32.
    pub fn history(mut self, changes: usize) -> Self {
        self.history = changes;
        self
    }

    /// Where the values of `${NAME}` are from. Default: the environment of the process.
    pub fn environment(mut self, variable: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        self.rules.variable = Box::new(variable);
        self
    }

    /// Reads all sources and follows them from then on, on tasks of the runtime that this is called in.
    ///
    /// May be dropped before it returns; nothing stays behind.
    ///
    /// # Errors
    ///
    /// When a source that is not optional is missing, or cannot be reached for as long as
    /// [`patience`](Self::patience) says; when what one says cannot be parsed or decrypted, or the validation refuses
    /// it.
    pub async fn build(self) -> Result<Config> {
        // Each source waits for its answer, and so has one reading in it, or two where it panics.
        let (sender, readings) = mpsc::channel(2 * self.sources.len() + 1);
        let mut tasks = JoinSet::new();
        let mut statuses = Vec::new();
        let mut layers = Vec::new();
        for (index, (source, optional)) in self.sources.into_iter().enumerate() {
            let name = source.to_string();
            statuses.push(SourceStatus {
                name: name.clone(),
                optional,
                state: SourceState::Starting,
                read_at: None,
                documents: Vec::new(),
            });
            let feeder = Feeder {
                index,
                name: name.clone(),
                source,
                debounce: self.debounce,
                readings: sender.clone(),
            };
            layers.push(Layer {
                name,
                documents: None,
                tree: Tree::empty(),
            });
            tasks.spawn(feeder.run());
        }
        let (changes, told) = watch::channel(());
        let shared = Arc::new(Shared::new(View::new(Tree::empty()), statuses, told));
        let mut keeper = Keeper {
            shared: Arc::clone(&shared),
            layers,
            rules: self.rules,
            asking: JoinSet::new(),
            readings,
            changes,
            history: self.history,
        };
        start(&mut keeper, self.patience).await?;
        tasks.spawn(keeper.run());
        Ok(Config::new(shared, tasks))
    }
}

/// Waits until every source has answered, and makes the first view.
async fn start(keeper: &mut Keeper, patience: Duration) -> Result<()> {
    let deadline = Instant::now() + patience;
    let mut waiting: Vec<usize> = (0..keeper.layers.len()).collect();
    while !waiting.is_empty() {
        let Ok(Some(reading)) = timeout_at(deadline, keeper.readings.recv()).await else {
            let optional = |source: &usize| keeper.shared.report().sources[*source].optional;
            let (silent, needed): (Vec<_>, Vec<_>) = waiting.iter().partition(|source| optional(source));
            if needed.is_empty() {
                give_up(keeper, &silent, patience);
                break;
            }
            return late(keeper, &needed, patience);
        };
        let source = reading.source;
        if first(keeper, reading)? {
            waiting.retain(|waiting| *waiting != source);
        }
    }
    keeper.begin().await
}

/// Takes the answer of a source. Whether it need not be waited for any more. A source that was read well before, while
/// others are waited for, does not hinder the beginning any more: what it said counts.
fn first(keeper: &mut Keeper, reading: Reading) -> Result<bool> {
    let Reading { source, read, taken } = reading;
    let was_read = keeper.layers[source].documents.is_some();
    let name = &keeper.layers[source].name;
    let read = read.and_then(|documents| Ok((layer(name, documents.clone())?, documents)));
    let is_read = read.is_ok();
    match read {
        Ok((tree, documents)) => {
            let layer = &mut keeper.layers[source];
            layer.tree = tree;
            layer.documents = Some(documents);
            keeper.ready(source);
        }
        Err(error) if !was_read && is_final(keeper, source, &error) => return Err(error),
        Err(error) if error.kind() == ErrorKind::Invalid => keeper.refused(source, error),
        Err(error) => keeper.failed(source, error),
    }
    let _ = taken.send(is_read);
    Ok(is_read || was_read || keeper.shared.report().sources[source].optional)
}

/// Whether waiting does not help.
fn is_final(keeper: &Keeper, source: usize, error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Invalid | ErrorKind::Misused => true,
        ErrorKind::Missing => !keeper.shared.report().sources[source].optional,
        ErrorKind::Unavailable => false,
    }
}

/// Goes on without optional sources that have not answered. They count once they do.
fn give_up(keeper: &Keeper, silent: &[usize], patience: Duration) {
    for source in silent {
        let name = &keeper.layers[*source].name;
        let message = format!("{name}: no answer within {patience:?}");
        keeper.failed(*source, Error::new(ErrorKind::Unavailable, message));
    }
}

fn late(keeper: &mut Keeper, waiting: &[usize], patience: Duration) -> Result<()> {
    let report = keeper.shared.report();
    let status = waiting.first().map(|source| &report.sources[*source]);
    let error = status.map(|status| match status.state.error() {
        Some(error) => error.clone(),
        None => Error::new(ErrorKind::Unavailable, format_args!("{}: no answer", status.name)),
    });
    let error = error.unwrap_or_else(|| Error::new(ErrorKind::Unavailable, "no source answers"));
    Err(error.context(format_args!(
        "the configuration cannot be read within {patience:?}"
    )))
}
