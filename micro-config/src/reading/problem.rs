//! Why a value is not of the type asked for.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use crate::tree::{Node, Place};
use crate::{Error, ErrorKind};

/// Why a value is not of the type asked for: what was expected and where, and never the value, which may be a secret.
#[derive(Debug)]
pub(crate) struct Problem {
    message: String,
    /// From the innermost name on.
    path: Vec<String>,
    place: Option<Place>,
}

impl Problem {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            path: Vec::new(),
            place: None,
        }
    }

    /// Says where, unless something further in did.
    pub(super) fn at(mut self, place: &Place) -> Self {
        self.place.get_or_insert_with(|| place.clone());
        self
    }

    /// Takes out a text that the message repeats.
    pub(super) fn without(mut self, node: &Node) -> Self {
        if self.place.is_none()
            && let Node::Text(text) = node
            && !text.is_empty()
            && self.message.contains(text.as_str())
        {
            self.message =
                "it is not what its type asks for; the reason repeats the value and is not shown".into();
        }
        self
    }

    pub(super) fn within(mut self, name: &str) -> Self {
        self.path.push(name.to_owned());
        self
    }

    /// Puts the path that was asked for in front.
    pub(super) fn under(self, path: &str) -> Self {
        if path.is_empty() { self } else { self.within(path) }
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        let path: Vec<_> = problem.path.iter().rev().map(String::as_str).collect();
        let mut message = path.join(".");
        if !message.is_empty() {
            message.push_str(": ");
        }
        message.push_str(&problem.message);
        if let Some(place) = problem.place {
            message = format!("{message} ({place})");
        }
        Error::new(ErrorKind::Invalid, message)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl de::Error for Problem {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("invalid type: {}, expected {expected}", kind(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("invalid value: {}, expected {expected}", kind(found)))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        let expected: Vec<_> = expected.iter().map(|name| format!("`{name}`")).collect();
        Self::new(format!(
            "unknown variant, expected one of {}",
            expected.join(", ")
        ))
    }
}

/// What was found, without its value.
fn kind(found: Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "integer",
        Unexpected::Float(_) => "floating point number",
        Unexpected::Char(_) | Unexpected::Str(_) => "string",
        Unexpected::Bytes(_) => "bytes",
        Unexpected::Unit | Unexpected::Option => "null",
        Unexpected::Seq => "list",
        Unexpected::Map => "table",
        _ => "another value",
    }
}
