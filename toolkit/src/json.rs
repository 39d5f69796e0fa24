//! JSON as it came, laid out: numbers keep their digits, and objects the order of their fields.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::screen::{Paint, Palette, harmless};

/// Whether a text is JSON, and if not, why.
///
/// # Errors
///
/// With what is wrong and where.
pub(crate) fn check(text: &str) -> Result<(), String> {
    serde_json::from_str::<IgnoredAny>(text)
        .map(drop)
        .map_err(|problem| problem.to_string())
}

/// Valid JSON with one field or item a line. Other text comes back as it is.
pub(crate) fn indented(text: &str, palette: Palette) -> String {
    if check(text).is_err() {
        return harmless(text).into_owned();
    }
    let mut layout = Layout {
        written: String::with_capacity(text.len() * 2),
        depth: 0,
        palette,
    };
    let mut rest = text.trim();
    while let Some((token, after)) = next_token(rest) {
        let after = after.trim_start();
        rest = layout.write(token, after);
    }
    layout.written
}

/// Valid JSON without blanks between its parts.
pub(crate) fn compact(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    let mut rest = text.trim_start();
    while let Some((token, after)) = next_token(rest) {
        written += &harmless(token);
        rest = after.trim_start();
    }
    written
}

/// How far lines are indented at most.
const DEEPEST: usize = 64;

struct Layout {
    written: String,
    depth: usize,
    palette: Palette,
}

impl Layout {
    /// Writes a token; returns what is left, which is less than `after` where it wrote an empty pair at once.
    fn write<'a>(&mut self, token: &str, after: &'a str) -> &'a str {
        match token {
            "{" | "[" => {
                self.written += token;
                let closing = if token == "{" { '}' } else { ']' };
                if let Some(rest) = after.strip_prefix(closing) {
                    self.written.push(closing);
                    return rest.trim_start();
                }
                self.depth += 1;
                self.new_line();
            }
            "}" | "]" => {
                self.depth = self.depth.saturating_sub(1);
                self.new_line();
                self.written += token;
            }
            "," => {
                self.written.push(',');
                self.new_line();
            }
            ":" => self.written += ": ",
            key if after.starts_with(':') => {
                self.written += &self.palette.paint(Paint::Name, harmless(key));
            }
            value => self.written += &harmless(value),
        }
        after
    }

    fn new_line(&mut self) {
        self.written.push('\n');
        // What nests deeper than anybody reads would be mostly blanks.
        self.written
            .extend(std::iter::repeat_n("  ", self.depth.min(DEEPEST)));
    }
}

/// The first token of valid JSON, and what follows it.
fn next_token(text: &str) -> Option<(&str, &str)> {
    let first = text.chars().next()?;
    let length = match first {
        '{' | '}' | '[' | ']' | ',' | ':' => 1,
        '"' => string_length(text),
        _ => text
            .find(|character: char| "{}[],:\"".contains(character) || character.is_whitespace())
            .unwrap_or(text.len()),
    };
    Some(text.split_at(length))
}

/// How many bytes the string at the beginning takes, quotes included.
fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The fields of a JSON object, in their order. `None` where the text is no object.
pub(crate) fn fields(text: &str) -> Option<Vec<(String, String)>> {
    serde_json::from_str::<Fields>(text).ok().map(|fields| fields.0)
}

/// The items of a JSON array. `None` where the text is no array.
pub(crate) fn items(text: &str) -> Option<Vec<String>> {
    let items: Vec<Box<RawValue>> = serde_json::from_str(text).ok()?;
    Some(items.iter().map(|item| item.get().to_owned()).collect())
}

/// A value as a table's cell shows it: a string without its quotes, anything else without blanks.
pub(crate) fn cell(text: &str) -> String {
    serde_json::from_str::<String>(text).unwrap_or_else(|_| compact(text))
}

struct Fields(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    fields.push((name, value.get().to_owned()));
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_nesting_does_not_fill_the_memory() {
        let deep = "[".repeat(20_000) + "1" + &"]".repeat(20_000);
        assert!(indented(&deep, Palette::PLAIN).len() < 200 * deep.len());
    }

    #[test]
    fn json_is_laid_out_with_its_own_digits_and_order() {
        let text = r#" {"z":1.50e3,"a":["x, y: \"{\"",{}, [ ]], "big":12345678901234567890123} "#;
        assert_eq!(
            indented(text, Palette::PLAIN),
            "{\n  \"z\": 1.50e3,\n  \"a\": [\n    \"x, y: \\\"{\\\"\",\n    {},\n    []\n  ],\n  \
             \"big\": 12345678901234567890123\n}"
        );
        assert_eq!(indented("\"only\"", Palette::PLAIN), "\"only\"");
        assert_eq!(indented("not json", Palette::PLAIN), "not json");
        assert_eq!(indented("", Palette::PLAIN), "");
    }

    #[test]
    fn compact_json_has_no_blanks_but_those_of_strings() {
        assert_eq!(compact("{ \"a b\" : [ 1 , null ] }"), "{\"a b\":[1,null]}");
    }

    #[test]
    fn objects_and_arrays_come_apart_in_order() {
        let fields = fields(r#"{"b": {"c": 1}, "a": "x"}"#).unwrap();
        assert_eq!(fields[0], ("b".to_owned(), "{\"c\": 1}".to_owned()));
        assert_eq!(cell(&fields[0].1), "{\"c\":1}");
        assert_eq!(cell(&fields[1].1), "x");
        assert_eq!(items("[1, \"x\"]").unwrap(), ["1", "\"x\""]);
        assert!(super::fields("[1]").is_none() && items("{}").is_none());
    }

    #[test]
    fn what_is_no_json_is_told_with_its_place() {
        assert!(check("{\"a\":}").unwrap_err().contains("line 1 column 6"));
        assert!(check("{} {}").is_err() && check("").is_err());
        assert!(check("{\"a\":1e400}").is_ok());
    }
}
