//! Names of variables and flags, and what they say.

use serde_json::{Map, Value};

use crate::tree::DEEPEST;

/// The path that a name stands for: in lower case, and split at some letters. None: it stands for none, because nothing
/// is left of it or it is too deep.
pub(crate) fn path(name: &str, separators: &[char]) -> Option<Vec<String>> {
    let parts = name.split(separators).filter(|part| !part.is_empty());
    let path: Vec<_> = parts.map(str::to_lowercase).collect();
    (1..DEEPEST).contains(&path.len()).then_some(path)
}

/// What a text says: a whole number, true or false, or itself. Only what can be written back as it was becomes a
/// number or a truth value, so that `007` stays what it is.
pub(crate) fn guess(text: &str) -> Value {
    match text {
        "true" => return Value::Bool(true),
        "false" => return Value::Bool(false),
        _ => {}
    }
    match text.parse::<i64>() {
        Ok(number) if number.to_string() == text => number.into(),
        _ => text.into(),
    }
}

/// Puts a value at a path where nothing is yet. Whether it could: the first at a path wins, also over those below it.
pub(crate) fn insert(table: &mut Map<String, Value>, path: &[String], value: Value) -> bool {
    let Some((last, tables)) = path.split_last() else {
        return false;
    };
    let mut table = table;
    for name in tables {
        let next = table
            .entry(name.clone())
            .or_insert_with(|| Value::Object(Map::new()));
        match next {
            Value::Object(next) => table = next,
            _ => return false,
        }
    }
    if table.contains_key(last) {
        return false;
    }
    table.insert(last.clone(), value);
    true
}
