//! Puts sources together.

use std::collections::HashMap;
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

    /// How long [`build`](Self::build) tries to reach sources that are not optional and cannot be reached. Default:
    /// 10 s.
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
        self.rules.decrypt = Some(Box::new(decrypt));
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
            return late(keeper, &waiting, patience);
        };
        let source = reading.source;
        if first(keeper, reading)? {
            waiting.retain(|waiting| *waiting != source);
        }
    }
    finish(keeper).await
}

/// Takes the first answer of a source. Whether it need not be waited for any more.
fn first(keeper: &mut Keeper, reading: Reading) -> Result<bool> {
    let source = reading.source;
    let optional = keeper.shared.report().sources[source].optional;
    let is_enough = match reading.read {
        Ok(documents) => {
            let layer_of = &mut keeper.layers[source];
            layer_of.tree = layer(&layer_of.name, documents.clone())?;
            layer_of.documents = Some(documents);
            keeper.ready(source);
            let _ = reading.taken.send(true);
            return Ok(true);
        }
        Err(error) => match error.kind() {
            ErrorKind::Invalid | ErrorKind::Misused => return Err(error),
            ErrorKind::Missing if !optional => return Err(error),
            ErrorKind::Missing | ErrorKind::Unavailable => {
                keeper.failed(source, error);
                optional
            }
        },
    };
    let _ = reading.taken.send(false);
    Ok(is_enough)
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

async fn finish(keeper: &mut Keeper) -> Result<()> {
    let view = keeper.view(None).await?;
    keeper.shared.replace(view);
    Ok(())
}
