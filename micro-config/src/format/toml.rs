//! TOML, with the line of each value.

use serde_json::Number;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Flaw, without_place};
use crate::tree::{DEEPEST, Node, Place, Tree};

/// Parses a text.
pub(super) fn parse(text: &str, place: &Place) -> Result<Tree, Flaw> {
    let lines = Lines::of(text);
    let table = DeTable::parse(text).map_err(|problem| Flaw {
        line: problem.span().map_or(0, |span| lines.at(span.start)),
        message: without_place(problem.message()),
    })?;
    let span = table.span();
    let value = Spanned::new(span, DeValue::Table(table.into_inner()));
    let reader = Reader { lines, place };
    reader.tree(value, DEEPEST)
}

/// Where the lines of a text begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let begins = ends.map(|(end, _)| end + 1);
        Self(std::iter::once(0).chain(begins).collect())
    }

    /// The line of a byte, from 1 on.
    fn at(&self, byte: usize) -> u32 {
        let line = self.0.partition_point(|begin| *begin <= byte);
        u32::try_from(line).unwrap_or(0)
    }
}

struct Reader<'a> {
    lines: Lines,
    place: &'a Place,
}

impl Reader<'_> {
    fn tree(&self, value: Spanned<DeValue<'_>>, depth: usize) -> Result<Tree, Flaw> {
        let line = self.lines.at(value.span().start);
        let flaw = |message: &str| Flaw {
            line,
            message: message.to_owned(),
        };
        let Some(depth) = depth.checked_sub(1) else {
            return Err(flaw("it is nested too deep"));
        };
        let node = match value.into_inner() {
            DeValue::String(text) => Node::Text(text.into_owned()),
            DeValue::Integer(number) => {
                let number = integer(number.as_str(), number.radix());
                Node::Number(number.ok_or_else(|| flaw("an integer that has more than 64 bits"))?)
            }
            DeValue::Float(number) => float(number.as_str()),
            DeValue::Boolean(value) => Node::Bool(value),
            DeValue::Datetime(time) => Node::Text(time.to_string()),
            DeValue::Array(values) => {
                let trees = values.into_iter().map(|value| self.tree(value, depth));
                Node::List(trees.collect::<Result<_, _>>()?)
            }
            DeValue::Table(values) => {
                let trees = values
                    .into_iter()
                    .map(|(name, value)| Ok((name.into_inner().into_owned(), self.tree(value, depth)?)));
                Node::table(trees.collect::<Result<_, _>>()?)
            }
        };
        Ok(Tree::new(node, self.place.on(line)))
    }
}

fn integer(text: &str, radix: u32) -> Option<Number> {
    let signed = i64::from_str_radix(text, radix).map(Number::from);
    let number = signed.or_else(|_| u64::from_str_radix(text, radix).map(Number::from));
    number.ok()
}

/// What JSON has no number for stays a text, which can be read as a number too.
fn float(text: &str) -> Node {
    let number = text.parse().ok().and_then(Number::from_f64);
    number.map_or_else(|| Node::Text(text.to_owned()), Node::Number)
}
