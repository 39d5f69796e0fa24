//! Values that the program sets itself.

use std::fmt;

use async_trait::async_trait;
use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::depth::no_deeper;
use crate::tree::DEEPEST;
use crate::{Document, Result, Source};

/// Values that the program sets itself: defaults, what an administrator's endpoint changes, and tests.
///
/// A handle: its clones are one and the same. What would be nested deeper than 128 levels is left out, and the log says
/// so.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> micro_config::Result<()> {
/// use micro_config::{Config, Memory};
///
/// let memory = Memory::new();
/// memory.set("server.port", 8080);
/// let config = Config::builder().source(memory.clone()).build().await?;
/// let mut ports = config.watch::<u16>("server.port");
/// memory.set("server.port", 9090);
/// assert_eq!(ports.next().await.transpose()?, Some(9090));
/// # Ok(())
/// # }
/// ```
pub struct Memory {
    values: watch::Sender<Value>,
    read: watch::Receiver<Value>,
}

impl Memory {
    /// Without values.
    pub fn new() -> Self {
        Self::from(Value::Object(Map::new()))
    }

    /// Sets the value at a path of names with dots between them. What is on the way and no table becomes one. The empty
    /// path is the whole.
    pub fn set(&self, path: &str, value: impl Into<Value>) {
        let names = match path.is_empty() {
            true => 0,
            false => path.split('.').take(DEEPEST + 1).count(),
        };
        let Some(value) = not_too_deep(value.into(), DEEPEST.saturating_sub(names)) else {
            return;
        };
        self.values.send_modify(|whole| *entry(whole, path) = value);
    }

    /// Removes what is at a path. Whether there was something.
    pub fn remove(&self, path: &str) -> bool {
        self.values.send_if_modified(|whole| {
            let (table, name) = match path.rsplit_once('.') {
                Some((table, name)) => (
                    table
                        .split('.')
                        .try_fold(whole, |value, name| value.get_mut(name)),
                    name,
                ),
                None => (Some(whole), path),
            };
            let table = table.and_then(Value::as_object_mut);
            table.is_some_and(|table| table.remove(name).is_some())
        })
    }

    /// Puts other values in the place of all.
    pub fn replace(&self, values: impl Into<Value>) {
        if let Some(values) = not_too_deep(values.into(), DEEPEST) {
            self.values.send_replace(values);
        }
    }
}

fn not_too_deep(value: Value, levels: usize) -> Option<Value> {
    let value = no_deeper(value, levels);
    if value.is_none() {
        tracing::error!("a value in memory is left out: it would be nested deeper than {DEEPEST} levels");
    }
    value
}

fn entry<'a>(whole: &'a mut Value, path: &str) -> &'a mut Value {
    if path.is_empty() {
        return whole;
    }
    path.split('.').fold(whole, |value, name| {
        if !value.is_object() {
            *value = Value::Object(Map::new());
        }
        // Indexing a table with a name that is new adds it.
        &mut value[name]
    })
}

impl From<Value> for Memory {
    fn from(values: Value) -> Self {
        let values = not_too_deep(values, DEEPEST);
        let (values, read) = watch::channel(values.unwrap_or_else(|| Value::Object(Map::new())));
        Self { values, read }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for Memory {
    fn clone(&self) -> Self {
        Self {
            values: self.values.clone(),
            read: self.values.subscribe(),
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("memory")
    }
}

#[async_trait]
impl Source for Memory {
    async fn read(&mut self) -> Result<Vec<Document>> {
        let values = self.read.borrow_and_update().clone();
        Ok(vec![Document::value("memory", values)])
    }

    async fn changed(&mut self) -> Result<()> {
        // This handle is a sender too, so that there always is one.
        let _ = self.read.changed().await;
        Ok(())
    }
}
