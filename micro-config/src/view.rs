//! What all sources say together, at one moment.

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::tree::{Node, Tree};
use crate::{Error, ErrorKind, Result, reading};

/// What all sources say together, at one moment. It never changes, so that everything read from one view belongs
/// together.
///
/// Paths are names with dots between them, such as `database.pool.size`; in lists a number counts the values from 0
/// on. The empty path is the whole. Names compare exactly.
///
/// Its [`Debug`](fmt::Debug) prints no values.
pub struct View {
    tree: Tree,
}

/// Where a value was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The source, as it is called in messages.
    pub source: String,
    /// The document of the source: a file, a key, a variable.
    pub document: String,
    /// The line in it, from 1 on, where that is known.
    pub line: Option<u32>,
}

impl View {
    pub(crate) fn new(tree: Tree) -> Self {
        Self { tree }
    }

    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The value at a path, as a type.
    ///
    /// Numbers and truth values may be asked for as texts, texts as the numbers or truth values that they say, and a
    /// text as the list of what is between its commas, because variables and flags know texts only. An `Option` may be
    /// absent or null.
    ///
    /// # Errors
    ///
    /// [`Missing`](ErrorKind::Missing) where there is nothing, [`Invalid`](ErrorKind::Invalid) where it is not of the
    /// type, with the path, what was expected, the document and the line. Values are never repeated: they may be
    /// secrets.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        match self.tree.at(path) {
            Some(tree) => reading::read(tree, path),
            None => reading::read_nothing().ok_or_else(|| {
                Error::new(
                    ErrorKind::Missing,
                    format_args!("{path}: no source of the configuration says it"),
                )
            }),
        }
    }

    /// The value at a path, as a type, or another where there is nothing or null.
    ///
    /// # Errors
    ///
    /// Where it is not of the type: a mistake in a file is not hidden by a default.
    pub fn get_or<T: DeserializeOwned>(&self, path: &str, default: T) -> Result<T> {
        match self.tree.at(path) {
            None => Ok(default),
            Some(tree) if tree.node == Node::Null => Ok(default),
            Some(tree) => reading::read(tree, path),
        }
    }

    /// The whole, as a type.
    ///
    /// # Errors
    ///
    /// Where it is not of the type.
    pub fn scan<T: DeserializeOwned>(&self) -> Result<T> {
        self.scan_at("")
    }

    /// What is below a path, as a type. Where there is nothing, an empty table is read, so that the defaults of the
    /// type's fields hold.
    ///
    /// # Errors
    ///
    /// Where it is not of the type.
    pub fn scan_at<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        match self.tree.at(path) {
            Some(tree) if tree.node != Node::Null => reading::read(tree, path),
            _ => reading::read(&Tree::empty(), path),
        }
    }

    /// The value at a path, as it is.
    pub fn value(&self, path: &str) -> Option<Value> {
        self.tree.at(path).map(Tree::to_value)
    }

    /// Whether there is something at a path.
    pub fn contains(&self, path: &str) -> bool {
        self.tree.at(path).is_some()
    }

    /// Whether there is something at a path that is not null.
    pub(crate) fn says(&self, path: &str) -> bool {
        self.tree.at(path).is_some_and(|tree| tree.node != Node::Null)
    }

    /// Which source says what is at a path: for a table, the one that began it.
    pub fn origin_of(&self, path: &str) -> Option<Origin> {
        let place = &self.tree.at(path)?.place;
        Some(Origin {
            source: place.document.source.clone(),
            document: place.document.origin.clone(),
            line: Some(place.line).filter(|line| *line > 0),
        })
    }

    /// The paths of all values that are neither tables nor lists, and of those that are empty; in order.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        let mut leaf = |path: &str, _: &Tree| paths.push(path.to_owned());
        self.tree.each_leaf(&mut String::new(), &mut leaf);
        paths.retain(|path| !path.is_empty());
        paths
    }
}

impl fmt::Debug for View {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("View").finish_non_exhaustive()
    }
}
