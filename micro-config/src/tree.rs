//! Values, and where each was said.

mod merge;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Number, Value};

/// How deep values may be nested. What is deeper is refused, so that nothing that walks through them can overflow.
pub(crate) const DEEPEST: usize = 128;

/// A value, and where it was said.
#[derive(Clone)]
pub(crate) struct Tree {
    pub(crate) node: Node,
    pub(crate) place: Place,
}

/// A value.
#[derive(Clone)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Tree>),
    Table(Table),
}

/// Values by their names.
#[derive(Clone, Default)]
pub(crate) struct Table {
    pub(crate) entries: BTreeMap<String, Tree>,
    /// It took the place of something that is not a table, and so hides every table before that. Thus merging is
    /// associative.
    replaces: bool,
}

/// Where a value was said.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) document: Arc<DocumentName>,
    /// From 1 on. 0: unknown.
    pub(crate) line: u32,
}

/// Which document it is.
#[derive(PartialEq, Eq)]
pub(crate) struct DocumentName {
    pub(crate) source: String,
    pub(crate) origin: String,
}

impl Place {
    /// A document as a whole.
    pub(crate) fn whole(document: Arc<DocumentName>) -> Self {
        Self { document, line: 0 }
    }

    pub(crate) fn on(&self, line: u32) -> Self {
        Self {
            document: Arc::clone(&self.document),
            line,
        }
    }
}

impl Tree {
    pub(crate) fn new(node: Node, place: Place) -> Self {
        Self { node, place }
    }

    /// Nothing yet.
    pub(crate) fn empty() -> Self {
        let nowhere = DocumentName {
            source: String::new(),
            origin: "the configuration".to_owned(),
        };
        Self::new(Node::Table(Table::default()), Place::whole(Arc::new(nowhere)))
    }

    /// A value that was not parsed from a text. None: it is nested too deep.
    pub(crate) fn of_value(value: Value, place: &Place, depth: usize) -> Option<Self> {
        let depth = depth.checked_sub(1)?;
        let node = match value {
            Value::Null => Node::Null,
            Value::Bool(value) => Node::Bool(value),
            Value::Number(number) => Node::Number(number),
            Value::String(text) => Node::Text(text),
            Value::Array(values) => {
                let values = values.into_iter();
                let trees = values.map(|value| Self::of_value(value, place, depth));
                Node::List(trees.collect::<Option<_>>()?)
            }
            Value::Object(values) => {
                let values = values.into_iter();
                let trees = values.map(|(name, value)| Some((name, Self::of_value(value, place, depth)?)));
                Node::table(trees.collect::<Option<_>>()?)
            }
        };
        Some(Self::new(node, place.clone()))
    }

    /// Without where it was said.
    pub(crate) fn to_value(&self) -> Value {
        match &self.node {
            Node::Null => Value::Null,
            Node::Bool(value) => Value::Bool(*value),
            Node::Number(number) => Value::Number(number.clone()),
            Node::Text(text) => Value::String(text.clone()),
            Node::List(trees) => trees.iter().map(Self::to_value).collect(),
            Node::Table(table) => {
                let entries = table.entries.iter();
                entries
                    .map(|(name, tree)| (name.clone(), tree.to_value()))
                    .collect()
            }
        }
    }

    /// Puts it under names, the outermost first.
    pub(crate) fn under(self, names: &[String]) -> Self {
        names.iter().rev().fold(self, |tree, name| {
            let place = tree.place.clone();
            Self::new(Node::table([(name.clone(), tree)].into()), place)
        })
    }

    /// What is at a path: names, and numbers that count the values of lists from 0 on. An empty path is the whole.
    pub(crate) fn at(&self, path: &str) -> Option<&Self> {
        if path.is_empty() {
            return Some(self);
        }
        path.split('.').try_fold(self, |tree, name| match &tree.node {
            Node::Table(table) => table.entries.get(name),
            Node::List(trees) => trees.get(name.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// Calls something with the path and the tree of each value that is neither a list nor a table, and of those that
    /// are empty.
    pub(crate) fn each_leaf<'a>(&'a self, path: &mut String, leaf: &mut impl FnMut(&str, &'a Tree)) {
        match &self.node {
            Node::Table(table) if !table.entries.is_empty() => {
                for (name, tree) in &table.entries {
                    with_name(path, name, |path| tree.each_leaf(path, leaf));
                }
            }
            Node::List(trees) if !trees.is_empty() => {
                for (index, tree) in trees.iter().enumerate() {
                    with_name(path, &index.to_string(), |path| tree.each_leaf(path, leaf));
                }
            }
            _ => leaf(path, self),
        }
    }

    /// Calls something with the path and each text in it.
    pub(crate) fn each_text(&mut self, path: &mut String, text: &mut impl FnMut(&str, &Place, &mut String)) {
        match &mut self.node {
            Node::Text(found) => text(path, &self.place, found),
            Node::Table(table) => {
                for (name, tree) in &mut table.entries {
                    with_name(path, name, |path| tree.each_text(path, text));
                }
            }
            Node::List(trees) => {
                for (index, tree) in trees.iter_mut().enumerate() {
                    with_name(path, &index.to_string(), |path| tree.each_text(path, text));
                }
            }
            Node::Null | Node::Bool(_) | Node::Number(_) => {}
        }
    }

    /// Calls something with the path of everything that differs, as far down as it can be told.
    pub(crate) fn each_difference(&self, other: &Self, path: &mut String, difference: &mut impl FnMut(&str)) {
        match (&self.node, &other.node) {
            (Node::Table(one), Node::Table(two)) => {
                let names = one.entries.keys();
                let added = two.entries.keys().filter(|name| !one.entries.contains_key(*name));
                for name in names.chain(added) {
                    let (one, two) = (one.entries.get(name), two.entries.get(name));
                    with_name(path, name, |path| match (one, two) {
                        (Some(one), Some(two)) => one.each_difference(two, path, difference),
                        (Some(only), None) | (None, Some(only)) => {
                            only.each_leaf(path, &mut |path, _| difference(path));
                        }
                        (None, None) => {}
                    });
                }
            }
            (one, two) if one == two => {}
            _ => difference(path),
        }
    }
}

fn with_name(path: &mut String, name: &str, inner: impl FnOnce(&mut String)) {
    let length = path.len();
    if length > 0 {
        path.push('.');
    }
    path.push_str(name);
    inner(path);
    path.truncate(length);
}

impl Node {
    pub(crate) fn table(entries: BTreeMap<String, Tree>) -> Self {
        Self::Table(Table {
            entries,
            replaces: false,
        })
    }

    /// What kind of value it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Number(number) if number.is_f64() => "floating point number",
            Self::Number(_) => "integer",
            Self::Text(_) => "string",
            Self::List(_) => "list",
            Self::Table(_) => "table",
        }
    }
}

/// Where it was said makes no difference.
impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        self.node == other.node
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(one), Self::Bool(two)) => one == two,
            (Self::Number(one), Self::Number(two)) => one == two,
            (Self::Text(one), Self::Text(two)) => one == two,
            (Self::List(one), Self::List(two)) => one == two,
            (Self::Table(one), Self::Table(two)) => one.entries == two.entries,
            _ => false,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.document.origin)?;
        match self.line {
            0 => Ok(()),
            line => write!(formatter, " line {line}"),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}
