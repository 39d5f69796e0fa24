//! The live view.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use serde::de::DeserializeOwned;
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinSet;

use crate::builder::Builder;
use crate::shared::{Shared, unpoisoned};
use crate::tree::Tree;
use crate::{Change, Live, Refused, Result, SourceStatus, View, Watch};

/// What many sources say, as one view that follows every change.
///
/// Its clones are one and the same. When the last of them is dropped nothing is followed any more;
/// [`close`](Self::close) waits for that too. What was read last can be read for as long as there is a handle.
///
/// Values are asked for as the methods of [`View`] of the same names tell.
#[derive(Clone)]
pub struct Config {
    shared: Arc<Shared>,
    tasks: Arc<Tasks>,
}

struct Tasks {
    running: Mutex<JoinSet<()>>,
    ended: OnceCell<()>,
}

impl Config {
    /// Puts sources together.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn new(shared: Arc<Shared>, tasks: JoinSet<()>) -> Self {
        let tasks = Tasks {
            running: Mutex::new(tasks),
            ended: OnceCell::new(),
        };
        let tasks = Arc::new(tasks);
        Self { shared, tasks }
    }

    /// What all sources say together now. It does not change, so that everything that is read from it belongs together.
    pub fn view(&self) -> Arc<View> {
        self.shared.view.load_full()
    }

    /// The value at a path, as a type. See [`View::get`].
    ///
    /// # Errors
    ///
    /// Where there is nothing, or it is not of the type.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.shared.view.load().get(path)
    }

    /// The value at a path, or another where there is nothing or null. See [`View::get_or`].
    ///
    /// # Errors
    ///
    /// Where it is not of the type.
    pub fn get_or<T: DeserializeOwned>(&self, path: &str, default: T) -> Result<T> {
        self.shared.view.load().get_or(path, default)
    }

    /// The whole, as a type. See [`View::scan`].
    ///
    /// # Errors
    ///
    /// Where it is not of the type.
    pub fn scan<T: DeserializeOwned>(&self) -> Result<T> {
        self.shared.view.load().scan()
    }

    /// What is below a path, as a type. See [`View::scan_at`].
    ///
    /// # Errors
    ///
    /// Where it is not of the type.
    pub fn scan_at<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.shared.view.load().scan_at(path)
    }

    /// A typed value that is always the latest, and read in nanoseconds.
    ///
    /// # Errors
    ///
    /// Where there is nothing now, or it is not of the type.
    pub fn live<T: DeserializeOwned + Send + Sync + 'static>(&self, path: &str) -> Result<Live<T>> {
        Live::new(&self.shared, path, None)
    }

    /// A typed value that is always the latest, and another while there is nothing or null.
    ///
    /// # Errors
    ///
    /// Where it is not of the type now.
    pub fn live_or<T: DeserializeOwned + Send + Sync + 'static>(
        &self,
        path: &str,
        default: T,
    ) -> Result<Live<T>> {
        Live::new(&self.shared, path, Some(default))
    }

    /// The values of a path from now on, one after the other. Nothing needs to be there yet. It does not keep the
    /// configuration alive: it ends with the last handle.
    pub fn watch<T: DeserializeOwned>(&self, path: &str) -> Watch<T> {
        Watch::new(Arc::clone(&self.shared), path)
    }

    /// How the sources are, in the order in which later ones win.
    pub fn sources(&self) -> Vec<SourceStatus> {
        self.shared.report().sources.clone()
    }

    /// The last changes, the newest last.
    pub fn history(&self) -> Vec<Change> {
        self.shared.report().history.iter().cloned().collect()
    }

    /// The update that was refused last, whether or not its source is well again.
    pub fn refused(&self) -> Option<Refused> {
        self.shared.report().refused.clone()
    }

    /// Ends following the sources, for all handles, and waits until their tasks have ended. Values can still be read.
    ///
    /// May be dropped before it returns: the tasks end all the same. Whoever closes it too waits too.
    pub async fn close(&self) {
        unpoisoned(&self.tasks.running).abort_all();
        let ended = || poll_fn(|context| self.tasks.poll_ended(context));
        self.tasks.ended.get_or_init(ended).await;
    }
}

impl Tasks {
    /// One at a time may wait.
    fn poll_ended(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut running = unpoisoned(&self.running);
        while ready!(running.poll_join_next(context)).is_some() {}
        Poll::Ready(())
    }
}

/// Without sources: empty, and never otherwise.
impl Default for Config {
    fn default() -> Self {
        let (_, changes) = watch::channel(());
        let shared = Shared::new(View::new(Tree::empty()), Vec::new(), changes);
        Self::new(Arc::new(shared), JoinSet::new())
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sources = self.sources();
        let names: Vec<_> = sources.iter().map(|source| &source.name).collect();
        let mut debug = formatter.debug_struct("Config");
        debug.field("sources", &names).finish_non_exhaustive()
    }
}
