//! What a handler answers.

use super::Body;
use crate::{Metadata, Text};

/// A response: its format, what travels beside it, and its message or messages.
///
/// Failure is no response but an [`Error`](crate::Error).
#[derive(Debug, Default)]
pub struct Response {
    /// The format of the body; empty means that of the request.
    pub content_type: Text,
    /// What else travels.
    pub metadata: Metadata,
    /// The message or messages.
    pub body: Body,
}

impl Response {
    /// A response in the format of its request, without metadata.
    pub fn new(body: impl Into<Body>) -> Self {
        Self {
            content_type: Text::new(),
            metadata: Metadata::new(),
            body: body.into(),
        }
    }
}
