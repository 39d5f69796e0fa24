//! How the sources are, and what changed.

use std::time::SystemTime;

use crate::Error;

/// How a source is.
#[derive(Debug, Clone)]
pub struct SourceStatus {
    /// What it is called in messages.
    pub name: String,
    /// Whether it may be missing.
    pub optional: bool,
    /// How it is now.
    pub state: SourceState,
    /// When what it says was last taken over or found to be the same. None: never.
    pub read_at: Option<SystemTime>,
    /// Where the documents are from that count now, in order.
    pub documents: Vec<String>,
}

/// How a source is. Whatever it is, what it said last and was taken over still counts.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SourceState {
    /// It has not answered yet.
    Starting,
    /// What it says was taken over.
    Ready,
    /// It does not exist.
    Missing {
        /// Since when.
        since: SystemTime,
        /// Why, in its words.
        error: Error,
    },
    /// It cannot be reached or read.
    Failing {
        /// Since when.
        since: SystemTime,
        /// Why, in its words.
        error: Error,
    },
    /// What it says was refused: it cannot be parsed or decrypted, or the validation was against it.
    Refused {
        /// Since when.
        since: SystemTime,
        /// Why.
        error: Error,
    },
}

impl SourceState {
    /// Whether what the source says now is what counts.
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Ready)
    }

    /// What is wrong.
    pub fn error(&self) -> Option<&Error> {
        match self {
            Self::Starting | Self::Ready => None,
            Self::Missing { error, .. } | Self::Failing { error, .. } | Self::Refused { error, .. } => {
                Some(error)
            }
        }
    }

    /// What is wrong in the same way as before is so since then.
    pub(crate) fn goes_on_from(&mut self, before: &Self) {
        match (self, before) {
            (Self::Missing { since, .. }, Self::Missing { since: before, .. })
            | (Self::Failing { since, .. }, Self::Failing { since: before, .. })
            | (Self::Refused { since, .. }, Self::Refused { since: before, .. }) => *since = *before,
            _ => {}
        }
    }
}

/// A change that was taken over.
#[derive(Debug, Clone)]
pub struct Change {
    /// When.
    pub at: SystemTime,
    /// The source that changed, as it is called in messages.
    pub source: String,
    /// The paths of what is new, gone or different: at most [`Change::MOST_PATHS`], in order.
    pub paths: Vec<String>,
    /// How many more paths there were.
    pub more: usize,
}

impl Change {
    /// How many paths are kept of one change.
    pub const MOST_PATHS: usize = 256;
}

/// An update that was refused.
#[derive(Debug, Clone)]
pub struct Refused {
    /// When it was first.
    pub at: SystemTime,
    /// The source that it was from, as it is called in messages.
    pub source: String,
    /// Why.
    pub error: Error,
}
