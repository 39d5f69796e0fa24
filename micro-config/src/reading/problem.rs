//! Why a value is not of the type asked for.

use std::collections::HashSet;
use std::fmt;

use serde::de::{self, Expected, Unexpected};

use crate::tree::{Node, Place, Tree};
use crate::{Error, ErrorKind};

/// How many bytes in a row a reason of a type may not share with a value.
const RUN: usize = 5;
/// Values that are shorter than this, of those that are shorter than [`RUN`], are no secrets among others.
const SHORTEST: usize = 3;
/// A reason that is longer is not shown.
const LONGEST: usize = 1024;
const HIDDEN: &str = "it is not what its type asks for; the reason repeats the value and is not shown";

/// Why a value is not of the type asked for: what was expected and where, and never the value, which may be a secret.
#[derive(Debug)]
pub(crate) struct Problem {
    message: String,
    /// The type says so in its own words, which may repeat the value.
    is_custom: bool,
    /// From the innermost name on.
    path: Vec<String>,
    place: Option<Place>,
}

impl Problem {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            is_custom: false,
            path: Vec::new(),
            place: None,
        }
    }

    /// Says where, unless something further in did.
    pub(super) fn at(mut self, place: &Place) -> Self {
        self.place.get_or_insert_with(|| place.clone());
        self
    }

    /// Takes out the words of a type that repeat something of a value, unless something further in did.
    pub(super) fn without(mut self, tree: &Tree) -> Self {
        if self.is_custom && self.place.is_none() && repeats(&self.message, tree) {
            self.message = HIDDEN.into();
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
        Self {
            is_custom: true,
            ..Self::new(message.to_string())
        }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format!("missing field `{field}`"))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(format!("duplicate field `{field}`"))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(match expected {
            [] => format!("unknown field `{field}`, there are no fields"),
            _ => format!("unknown field `{field}`, expected {}", one_of(expected)),
        })
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::new(format!("invalid length {length}, expected {expected}"))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("invalid type: {}, expected {expected}", kind(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("invalid value: {}, expected {expected}", kind(found)))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("unknown variant, expected {}", one_of(expected)))
    }
}

fn one_of(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [only] => only.clone(),
        _ => format!("one of {}", quoted.join(", ")),
    }
}

/// Whether a message repeats something of a value, or of one in it.
fn repeats(message: &str, tree: &Tree) -> bool {
    if message.len() > LONGEST {
        return true;
    }
    let message = message.to_lowercase();
    let runs: HashSet<_> = message.as_bytes().windows(RUN).collect();
    let is_leaf = !matches!(tree.node, Node::Table(_) | Node::List(_));
    let mut found = false;
    tree.each_leaf(&mut String::new(), &mut |_, leaf| {
        let (said, shortest) = match &leaf.node {
            Node::Text(text) if is_leaf => (text.to_lowercase(), 1),
            Node::Text(text) => (text.to_lowercase(), SHORTEST),
            Node::Number(number) => (number.to_string(), SHORTEST),
            _ => return,
        };
        found |= match said.len() {
            length if length < RUN => length >= shortest && message.contains(&said),
            _ => said.as_bytes().windows(RUN).any(|run| runs.contains(run)),
        };
    });
    found
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
