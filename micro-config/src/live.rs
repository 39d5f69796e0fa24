//! A typed value that is always the latest.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use arc_swap::{ArcSwap, Guard};
use serde::de::DeserializeOwned;

use crate::shared::{Follow, Shared, unpoisoned};
use crate::{Error, Result, View};

/// A typed value that is always the latest. Reading it takes no lock and parses nothing, so that it can be read on
/// every call.
///
/// A value that is not of the type, or is gone, leaves the last good one: [`error`](Self::error) says so. Its clones
/// are one and the same. It stays as it is when the [`Config`](crate::Config) is closed.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> micro_config::Result<()> {
/// use micro_config::{Config, Memory};
///
/// let memory = Memory::new();
/// let config = Config::builder().source(memory.clone()).build().await?;
/// let limit = config.live_or("limits.calls", 100_u32)?;
/// assert_eq!(*limit.get(), 100);
///
/// let mut limits = config.watch::<u32>("limits.calls");
/// memory.set("limits.calls", 200);
/// limits.next().await;
/// assert_eq!(*limit.get(), 200);
/// # Ok(())
/// # }
/// ```
pub struct Live<T> {
    state: Arc<State<T>>,
}

struct State<T> {
    path: String,
    value: ArcSwap<T>,
    default: Option<Arc<T>>,
    error: Mutex<Option<Error>>,
}

impl<T: DeserializeOwned + Send + Sync + 'static> Live<T> {
    pub(crate) fn new(shared: &Shared, path: &str, default: Option<T>) -> Result<Self> {
        let default = default.map(Arc::new);
        let state = shared.follow(|view| {
            let value = read(view, path, default.as_ref())?;
            Ok(Arc::new(State {
                path: path.to_owned(),
                value: ArcSwap::new(value),
                default,
                error: Mutex::new(None),
            }))
        });
        state.map(|state| Self { state })
    }
}

impl<T> Live<T> {
    /// The value as it is now. Not to be kept for long: what is kept does not change.
    pub fn get(&self) -> LiveValue<T> {
        LiveValue(self.state.value.load())
    }

    /// The value as it is now, to be kept.
    pub fn get_full(&self) -> Arc<T> {
        self.state.value.load_full()
    }

    /// Why the latest value was not taken over, where it was not.
    pub fn error(&self) -> Option<Error> {
        unpoisoned(&self.state.error).clone()
    }
}

fn read<T: DeserializeOwned>(view: &View, path: &str, default: Option<&Arc<T>>) -> Result<Arc<T>> {
    match default {
        Some(default) if !view.says(path) => Ok(Arc::clone(default)),
        _ => view.get(path).map(Arc::new),
    }
}

impl<T: DeserializeOwned + Send + Sync> Follow for State<T> {
    fn follow(&self, before: &View, now: &View) {
        if before.tree().at(&self.path) == now.tree().at(&self.path) {
            return;
        }
        let read = read(now, &self.path, self.default.as_ref());
        let error = match read {
            Ok(value) => {
                self.value.store(value);
                None
            }
            Err(error) => {
                tracing::warn!(path = self.path, %error, "a live value keeps its last good state");
                Some(error)
            }
        };
        *unpoisoned(&self.error) = error;
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self {
            state: Arc::clone(&self.state),
        }
    }
}

impl<T> fmt::Debug for Live<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Live");
        debug.field("path", &self.state.path).finish_non_exhaustive()
    }
}

/// A value as it was when it was asked for.
pub struct LiveValue<T>(Guard<Arc<T>>);

impl<T> Deref for LiveValue<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
