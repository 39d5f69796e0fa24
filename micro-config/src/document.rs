//! What a source gives.

use std::fmt;

use serde_json::Value;

use crate::Format;

/// One piece of configuration, as a source gives it.
#[derive(Clone, PartialEq)]
pub struct Document {
    /// Where exactly it is from, for messages: `config.toml`, `etcd key micro/config/database`.
    pub origin: String,
    /// The path under which it is put, from the outermost name on. Empty: it is the whole.
    pub path: Vec<String>,
    /// What it says.
    pub content: Content,
}

/// What a [`Document`] says.
#[derive(Clone, PartialEq)]
pub enum Content {
    /// Text, to be parsed.
    Text {
        /// How.
        format: Format,
        /// The text.
        text: String,
    },
    /// What needs no parsing.
    Value(Value),
}

impl Document {
    /// Text to be parsed.
    pub fn text(origin: impl Into<String>, format: Format, text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            origin: origin.into(),
            path: Vec::new(),
            content: Content::Text { format, text },
        }
    }

    /// What needs no parsing.
    pub fn value(origin: impl Into<String>, value: Value) -> Self {
        Self {
            origin: origin.into(),
            path: Vec::new(),
            content: Content::Value(value),
        }
    }

    /// Puts it under a path: `["database", "pool"]` makes `{"size": 4}` to `{"database": {"pool": {"size": 4}}}`.
    #[must_use]
    pub fn at<I: IntoIterator<Item: Into<String>>>(mut self, path: I) -> Self {
        self.path = path.into_iter().map(Into::into).collect();
        self
    }

    /// Whether it is a text without a letter in it.
    #[cfg(feature = "file")]
    pub(crate) fn is_empty(&self) -> bool {
        matches!(&self.content, Content::Text { text, .. } if text.is_empty())
    }
}

/// Says where it is from and never what it says.
impl fmt::Debug for Document {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Document")
            .field("origin", &self.origin)
            .field("path", &self.path)
            .field("content", &self.content)
            .finish()
    }
}

/// Says how it is written and never what it says.
impl fmt::Debug for Content {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { format, text } => write!(formatter, "{} bytes of {format}", text.len()),
            Self::Value(_) => formatter.write_str("a value"),
        }
    }
}
